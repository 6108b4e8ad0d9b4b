// The record layer of TLS 1.2 (RFC 5246, 6.2) under AES-128-CCM (RFC 6655) and AES-128-CBC with encrypt-then-MAC
// (RFC 7366), or MAC-then-encrypt where the profile allows it. One connection at a time: its keys are this module's
// variables, for a variable costs less heap than a member. Leaves out compression and sequence numbers over 2^31-1.
import { CBC_DECRYPT, CBC_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import { finish, RUNNING } from "hal:digest";
import type { Bytes } from "../bytes";
import { difference, uint16 } from "../bytes";
import { ccm } from "../crypto/ccm";
import { random } from "../crypto/ctr_drbg";
import { hmac, hmacKey } from "../crypto/hmac";
import { FRAGMENT_LIMIT, requireEncryptThenMac } from "../profile";
import { BAD_RECORD_MAC, PROTOCOL_VERSION, RECORD_OVERFLOW, SENT, SEQUENCE_END, UNEXPECTED_MESSAGE } from "./alert";
import { CBC, CCM } from "./cipher_suites";
import { APPLICATION_DATA, CHANGE_CIPHER_SPEC } from "./constants";

/**
 * key_block (RFC 5246, 6.3): client and server MAC key (macLength each), client and server key (16 each), client
 * and server salt (4 each, CCM). Empty: nothing is protected yet.
 */
let keys: Bytes = "";
/** HMAC length of the suite, bytes: 20, 32, or 0 for CCM. */
let macLength = 0;
/** Tag length of the suite, bytes: 8 or 16 for CCM. */
let tagLength = 0;
/** Whether a CBC suite runs with encrypt-then-MAC. */
let encryptThenMac = true;
/** HMAC keys as digest states, kept where our own digest saves compressions by it. */
let writePads: Bytes = "";
let readPads: Bytes = "";
/** Number of the next record, each way; negative: that way is in the clear. */
let writeSequence = -1;
let readSequence = -1;

/** Take the keys of a finished key exchange. They are used from `protectWrite` and `protectRead` on. */
export function setKeys(keyBlock: Bytes, mac: number, tag: number, etm: boolean): void {
  keys = keyBlock;
  macLength = mac;
  tagLength = tag;
  if (!requireEncryptThenMac) encryptThenMac = etm;
  if (RUNNING && mac) {
    writePads = hmacKey(mac, keys.substr(0, mac));
    readPads = hmacKey(mac, keys.substr(mac, mac));
  }
}

/** Protect what is written from here on (our ChangeCipherSpec is sent). */
export function protectWrite(): void {
  writeSequence = 0;
}

/** Expect protected records from here on (the server's ChangeCipherSpec has come). */
export function protectRead(): void {
  readSequence = 0;
}

/** Forget the connection: overwrite the keys where the interpreter lets us and drop them. */
export function wipe(): void {
  new Uint8Array(E.toArrayBuffer(keys)).fill(0);
  keys = writePads = readPads = "";
  writeSequence = readSequence = -1;
}

/**
 * Build the record that carries `data` (at most FRAGMENT_LIMIT bytes) as content `type`: header and protected
 * fragment. Throws SEQUENCE_END after 2^31 - 1 records.
 */
export function protect(type: number, data: Bytes): Bytes {
  let body = data;
  if (writeSequence >= 0) {
    const n = writeSequence++;
    if (n === 0x7fffffff) throw SEQUENCE_END;
    const sequence = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n);
    const head = E.toString(sequence, type, 3, 3);
    const key = keys.substr(2 * macLength, 16);
    if (CCM && !macLength) {
      const additional = E.toString(head, data.length >> 8, data.length);
      const view = new Uint8Array(E.toArrayBuffer(data));
      body = E.toString(sequence, ccm(key, keys.substr(32, 4) + sequence, additional, view, tagLength));
    } else if (CBC) {
      const pads = RUNNING ? writePads : hmacKey(macLength, keys.substr(0, macLength));
      if (!requireEncryptThenMac && !encryptThenMac) {
        body = E.toString(data, hmac(macLength, pads, E.toString(head, data.length >> 8, data.length, data)));
      }
      const padding = 15 - (body.length & 15);
      const iv = random(16);
      body = E.toString(iv, aes(CBC_ENCRYPT, key, E.toString(body, { data: padding, count: padding + 1 }), iv));
      if (encryptThenMac) {
        body = E.toString(body, hmac(macLength, pads, E.toString(head, body.length >> 8, body.length, body)));
      }
    }
  }
  return E.toString(type, 3, 3, body.length >> 8, body.length, body);
}

/**
 * Check the header at the front of `input` (RFC 5246, 6.2.1; at least 5 bytes) and return the length of its fragment.
 * The * minor version is held to 3.3 once records are protected: an alert about the version may come under another. Throws unexpected_message, protocol_version, or
 * record_overflow for a fragment that is longer than the agreed limit and what its protection adds.
 */
export function fragmentLength(input: Bytes): number {
  const type = input.charCodeAt(0);
  const length = uint16(input, 3);
  if (type < CHANGE_CIPHER_SPEC || type > APPLICATION_DATA) throw SENT + UNEXPECTED_MESSAGE;
  if (input.charCodeAt(1) !== 3 || (readSequence >= 0 && input.charCodeAt(2) !== 3)) throw SENT + PROTOCOL_VERSION;
  // CCM adds an 8-byte nonce and the tag; CBC an IV of 16, the HMAC and, at this length, 16 of padding
  if (length > FRAGMENT_LIMIT + (readSequence < 0 ? 0 : macLength ? 32 + macLength : 8 + tagLength)) {
    throw SENT + RECORD_OVERFLOW;
  }
  return length;
}

/**
 * Return the plaintext of the record at the front of `input`, whose fragment has `length` bytes. Every fault of MAC,
 * tag, padding or length is the one alert bad_record_mac (6.2.3.2), and the sequence number then stays.
 */
export function unprotect(input: Bytes, length: number): Bytes {
  if (readSequence < 0) return input.substr(5, length);
  const n = readSequence;
  if (n === 0x7fffffff) throw SEQUENCE_END;
  const head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, input.substr(0, 3));
  const key = keys.substr(2 * macLength + 16, 16);
  // views by subarray: a length of 0 given to a constructor means all that follows
  const bytes = new Uint8Array(E.toArrayBuffer(input));
  let output: Bytes | undefined;
  if (CCM && !macLength) {
    const size = length - 8 - tagLength;
    if (size >= 0) {
      const nonce = keys.substr(36, 4) + input.substr(5, 8);
      const additional = E.toString(head, size >> 8, size);
      output = ccm(key, nonce, additional, bytes.subarray(13, 13 + size), input.substr(13 + size, tagLength));
    }
  } else if (CBC) {
    const pads = RUNNING ? readPads : hmacKey(macLength, keys.substr(macLength, macLength));
    const size = encryptThenMac ? length - macLength : length;
    let bad = size < (encryptThenMac ? 32 : 17 + macLength) || size & 15;
    if (!bad && encryptThenMac) {
      const mac = E.toString(head, size >> 8, size, bytes.subarray(5, 5 + size));
      bad = difference(E.toString(hmac(macLength, pads, mac)), input.substr(5 + size, macLength));
    }
    if (!bad) {
      const text = new Uint8Array(aes(CBC_DECRYPT, key, bytes.subarray(21, 5 + size), input.substr(5, 16)));
      const padding = text[text.length - 1];
      let end = text.length - 1 - padding;
      if (!requireEncryptThenMac && !encryptThenMac) {
        // Lucky 13 and its forerunners: the same loops and as many compressions whatever the padding says. A padding
        // longer than the record counts as none, and the blocks that a longer padding spares are hashed for nothing.
        const longest = text.length - 1 - macLength;
        end -= macLength;
        bad = end >> 31;
        if (bad) end = longest;
        for (let i = Math.min(255, text.length - 1); i > 0; i--) {
          bad |= (text[text.length - 1 - i] ^ padding) & ~((padding - i) >> 31);
        }
        const content = text.subarray(0, end);
        const mac = E.toString(hmac(macLength, pads, E.toString(head, end >> 8, end, content)));
        bad |= difference(mac, E.toString(text.subarray(end, end + macLength)));
        // 22: the 13 bytes before the content and the 9 that SHA adds
        finish(macLength, "\0".repeat((((longest + 85) >> 6) - ((end + 85) >> 6)) * 64 + 55));
      } else {
        bad = end >> 31;
        for (let i = text.length - 1; i-- > end && !bad; ) bad = text[i] ^ padding;
      }
      if (!bad) output = E.toString(text.subarray(0, end));
    }
  }
  if (output === undefined) throw SENT + BAD_RECORD_MAC;
  if (output.length > FRAGMENT_LIMIT) throw SENT + RECORD_OVERFLOW;
  readSequence++;
  return output;
}
