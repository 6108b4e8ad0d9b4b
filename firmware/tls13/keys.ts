// The keys of the one connection that there is, for its records (aead_records.ts). They are variables of a module, for a variable costs
// less heap than a member. Leaves out how they are made (key_schedule.ts).
import type { Bytes } from "../bytes";

/** The two ends. */
export const CLIENT = 0;
export const SERVER = 1;

/**
 * Traffic secrets of client and server (32 bytes each), their keys (16 each), their IVs (12 each), and during the handshake the
 * finished_key of each (32). Empty: nothing is protected.
 */
export let keys: Bytes = "";
/** Where the keys and the IVs begin. */
export const AT_KEYS = 64;
export const AT_IVS = 96;
/** Where the finished_keys begin: up to there are the keys of the application's data. */
export const AT_FINISHED = 120;

/** Take the keys of both ends. */
export function setKeys(newKeys: Bytes): void {
  keys = newKeys;
}

/** Overwrite the keys where the interpreter's strings let us, and drop them. */
export function wipeKeys(): void {
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = "";
}
