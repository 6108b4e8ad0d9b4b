// The keys of the one connection that there is, for the records of both kinds (cbc_records.ts, aead_records.ts). They are
// variables of a module, for a variable costs less heap than a member. Leaves out how they are made (key_schedule.ts).
import { RUNNING } from "hal:digest";
import type { Bytes } from "../bytes";
import { macLength } from "./server_hello";

/** The two ends, as the key block has them. */
export const CLIENT = 0;
export const SERVER = 1;

/**
 * key_block (RFC 5246, 6.3): client and server MAC key (macLength each), client and server key (16 each), client
 * and server salt (4 each, an AEAD). Empty: nothing is protected yet.
 */
export let keys: Bytes = "";
/** Pads of the HMAC keys, the client's and the server's, kept where our own digest saves compressions by it. */
export let clientPads: Bytes;
export let serverPads: Bytes;

/** Take the keys of a finished key exchange. */
export function setKeys(keyBlock: Bytes): void {
  keys = keyBlock;
  if (RUNNING && macLength) {
    const hmacKey = section(import("../crypto/hmac")).hmacKey;
    clientPads = hmacKey(macLength, keys.substr(0, macLength));
    serverPads = hmacKey(macLength, keys.substr(macLength, macLength));
  }
}

/** Overwrite the keys where the interpreter's strings let us, and drop them. */
export function wipeKeys(): void {
  // not fill(0): the class of that method would come to stay, 9 variables
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = "";
  if (RUNNING) clientPads = serverPads = "";
}
