// The self-test: known answers of AES (a block of zeros under a key of zeros, SP 800-38D's H of test case 1) and both hashes
// (SHA-256 of SHA-1 of the empty message), for the console (console/selftest.ts) and for the bench (provision.ts), which tests
// Storage as well.
import { AES_CAN_DECRYPT, aes } from "hal:aes128";
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import { CBC_DECRYPT, CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import { TLS_PSK_WITH_AES_128_CBC_SHA } from "../profile";
import { AES_WRONG, FLASH_FAILED, HASH_WRONG } from "../tls/alert";

/** The scratch file, as long as a key record: a header of it that power has torn takes a record's without harm. */
const SCRATCH = "test";
const PATTERN = "\x55\xaa".repeat(38);

/**
 * Test cipher and hashes; of a known answer the first four bytes stand for all, for what is wrong is wrong in all. Throws AES_WRONG,
 * HASH_WRONG, or what a driver throws.
 */
export function testCrypto(): void {
  const zeros = "\0".repeat(16);
  const sealed = E.toString(aes(ECB_ENCRYPT, zeros, zeros));
  if (
    sealed.substr(0, 4) !== "\x66\xe9\x4b\xd4" ||
    // with an IV of zeros a block of CBC is one of ECB
    E.toString(aes(CBC_ENCRYPT, zeros, zeros)) !== sealed ||
    (AES_CAN_DECRYPT && E.toString(aes(CBC_DECRYPT, zeros, sealed)) !== zeros)
  )
    throw AES_WRONG;
  // a firmware without SHA-1 tests SHA-256 alone
  const digest = TLS_PSK_WITH_AES_128_CBC_SHA ? E.toString(finish(20, "")) : "";
  if (
    E.toString(finish(32, RUNNING ? update(32, "", digest) : digest)).substr(0, 4) !==
    (TLS_PSK_WITH_AES_128_CBC_SHA ? "\x53\x3b\x8c\x44" : "\xe3\xb0\xc4\x42")
  )
    throw HASH_WRONG;
}

/** Test Storage. Throws FLASH_FAILED. */
export function testStorage(): void {
  try {
    flash.write(SCRATCH, PATTERN);
  } catch (_) {
    throw FLASH_FAILED;
  }
  if (flash.read(SCRATCH) !== PATTERN) throw FLASH_FAILED;
  flash.erase(SCRATCH);
  if (flash.read(SCRATCH)) throw FLASH_FAILED;
}
