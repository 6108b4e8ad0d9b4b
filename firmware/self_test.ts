// The self-test: known answers of AES (a block of zeros under a key of zeros, SP 800-38D's H of test case 1) and of the
// hashes (the empty message: SHAVS), for the console (console/selftest.ts) and for the bench (provision.ts), which tests
// Storage as well.
import { AES_CAN_DECRYPT, aes } from "hal:aes128";
import { finish } from "hal:digest";
import { flash } from "hal:flash";
import { CBC_DECRYPT, ECB_ENCRYPT } from "../hal/hal";
import type { Bytes } from "./bytes";
import { AES_WRONG, FLASH_FAILED, HASH_WRONG } from "./tls/alert";

/** The scratch file, as long as a key record: a header of it that power has torn takes a record's without harm. */
const SCRATCH = "test";
const PATTERN = "\x55\xaa".repeat(38);

/** Digest the empty message with SHA-1 (`length` 20) or SHA-256 (32): the first 6 bytes in base64, and the sum of all. */
function digest(length: number): Bytes {
  const bytes = E.toUint8Array(finish(length, ""));
  return btoa(E.toString(bytes).substr(0, 6)) + E.sum(bytes);
}

/** Test cipher and hashes. Throws AES_WRONG, HASH_WRONG, or what a driver throws. */
export function testCrypto(): void {
  const zeros = "\0".repeat(16);
  const sealed = E.toString(aes(ECB_ENCRYPT, zeros, zeros));
  if (
    btoa(sealed) !== "ZulL1O+KLDuITPpZyjQrLg==" ||
    // with an IV of zeros a block of CBC is one of ECB
    (AES_CAN_DECRYPT && E.toString(aes(CBC_DECRYPT, zeros, sealed)) !== zeros)
  )
    throw AES_WRONG;
  if (digest(20) !== "2jmj7l5r2350" || digest(32) !== "47DEQpj84399") throw HASH_WRONG;
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
