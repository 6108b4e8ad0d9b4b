// The key record, file `key`: psk, ota, console, rekey (16 bytes each, ../README.md 3), then their check values in the same
// order, 3 bytes each: the first of CMAC(key, 16 zero bytes). The check values come last, so that a record of which power
// cut the writing short is not whole, and counts as none.
import type { Bytes } from "../bytes";

/** Length of a record, bytes; erased flash of that length is the place for one. */
export const RECORD_LENGTH = 76;
/** Where the check values begin. */
export const CHECK_VALUES = 64;
/** Where the `ota` key begins. */
export const OTA_KEY = 16;
/** Where the console key begins. */
export const CONSOLE_KEY = 32;
/** Where the `rekey` key begins. */
export const REKEY_KEY = 48;

/** Compute the first `length` bytes of CMAC(key, data) under each of the record's keys, joined. */
export function macs(record: Bytes, data: Bytes, length: number): Bytes {
  const cmac = section(import("../crypto/cmac")).cmac;
  let all = "";
  for (let i = 0; i < CHECK_VALUES; i += 16) all += cmac(record.substr(i, 16), data).substr(0, length);
  return all;
}

/** Compute the check values of the keys that `record` begins with. */
export function checkValues(record: Bytes): Bytes {
  return section(import("./key_record")).macs(record, "\0".repeat(16), 3);
}
