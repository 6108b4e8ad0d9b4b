// The self-test: known answers of AES (FIPS 197, appendix C.1) and of the hashes (FIPS 180-4: "abc"), for the console
// (console/selftest.ts) and for the bench (provision.ts), which tests Storage as well.
import { AES_CAN_DECRYPT, aes } from "hal:aes128";
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import { CBC_DECRYPT, CBC_ENCRYPT, ECB_ENCRYPT } from "../hal/hal";
import type { Bytes } from "./bytes";
import { AES_WRONG, FLASH_FAILED, HASH_WRONG } from "./tls/alert";

/** The scratch file, as long as a key record: a header of it that power has torn takes a record's without harm. */
const SCRATCH = "test";
const PATTERN = "\x55\xaa".repeat(38);

/** Digest "abc" with SHA-1 (`length` 20) or SHA-256 (32), in base64. */
function digest(length: number): Bytes {
  return btoa(E.toString(finish(length, RUNNING ? update(length, "", "abc") : "abc")));
}

/** Test cipher and hashes. Throws AES_WRONG, HASH_WRONG, or what a driver throws. */
export function testCrypto(): void {
  const key = atob("AAECAwQFBgcICQoLDA0ODw==");
  const clear = "ABEiM0RVZneImaq7zN3u/w==";
  const sealed = "acTg2Gp7BDDYzbeAcLTFWg==";
  if (
    btoa(E.toString(aes(ECB_ENCRYPT, key, atob(clear)))) !== sealed ||
    // with an IV of zeros a block of CBC is one of ECB
    btoa(E.toString(aes(CBC_ENCRYPT, key, atob(clear)))) !== sealed ||
    (AES_CAN_DECRYPT && btoa(E.toString(aes(CBC_DECRYPT, key, atob(sealed)))) !== clear)
  )
    throw AES_WRONG;
  if (
    digest(20) !== "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=" ||
    digest(32) !== "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
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
