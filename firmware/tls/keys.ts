// The keys of the one connection that there is, for the records of both kinds (cbc_records.ts, ccm_records.ts). They are
// variables of a module, for a variable costs less heap than a member. Leaves out how they are made (key_schedule.ts).
import { RUNNING } from "hal:digest";
import type { Bytes } from "../bytes";
import { requireEncryptThenMac } from "../profile";
import { AGREED_MAC, AGREED_TAG, SEEN_ENCRYPT_THEN_MAC } from "./constants";
import { agreed } from "./handshake";

/** The two ends, as the key block has them. */
export const CLIENT = 0;
export const SERVER = 1;

/**
 * key_block (RFC 5246, 6.3): client and server MAC key (macLength each), client and server key (16 each), client
 * and server salt (4 each, CCM). Empty: nothing is protected yet.
 */
export let keys: Bytes = "";
/** HMAC length of the suite, bytes: 20, 32, or 0 for CCM. */
export let macLength: number;
/** Tag length of the suite, bytes: 8 or 16 for CCM. */
export let tagLength: number;
/** Whether a CBC suite runs with encrypt-then-MAC. */
export let encryptThenMac: unknown = true;
/** Pads of the HMAC keys, the client's and the server's, kept where our own digest saves compressions by it. */
export let clientPads: Bytes;
export let serverPads: Bytes;

/** Take the keys of a finished key exchange, for what was agreed. */
export function setKeys(keyBlock: Bytes): void {
  keys = keyBlock;
  macLength = (agreed >> AGREED_MAC) & 63;
  tagLength = (agreed >> AGREED_TAG) & 31;
  if (!requireEncryptThenMac) encryptThenMac = agreed & SEEN_ENCRYPT_THEN_MAC;
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
