// The record layer of TLS 1.2 (RFC 5246, 6.2) under AES-128-CCM (RFC 6655) and AES-128-CBC with encrypt-then-MAC
// (RFC 7366), or MAC-then-encrypt where the profile allows it. One connection at a time: its keys are this module's
// variables, for a variable costs less heap than a member. Few and long functions, for each costs heap whatever its
// length, and no methods of typed arrays, whose classes cost heap for ever. Leaves out compression.

import { aes } from "hal:aes128";
import { finish, RUNNING, update } from "hal:digest";
import type { Socket } from "../../hal/hal";
import { CBC_DECRYPT, CBC_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { difference } from "../bytes";
import { ccm, PIECE } from "../crypto/ccm";
import { random } from "../crypto/ctr_drbg";
import { hmac, hmacKey } from "../crypto/hmac";
import { FRAGMENT_LIMIT, requireEncryptThenMac } from "../profile";
import {
  BAD_RECORD_MAC,
  PROTOCOL_VERSION,
  RECORD_OVERFLOW,
  SENT,
  SEQUENCE_END,
  UNEXPECTED_MESSAGE,
} from "./alert";
import { CBC, CCM } from "./cipher_suites";
import { CHANGE_CIPHER_SPEC } from "./constants";

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
/** Pads of the HMAC keys, kept where our own digest saves compressions by it. */
let writePads: Bytes = "";
let readPads: Bytes = "";
/** Longest plaintext of a record that the server takes, bytes. */
let writeLimit = 0;
/** Number of the next record, each way; negative: that way is in the clear, up to its ChangeCipherSpec. */
let writeSequence = -1;
let readSequence = -1;

/** Take the keys of a finished key exchange. Each way is protected after its ChangeCipherSpec. */
export function setKeys(keyBlock: Bytes, mac: number, tag: number, etm: boolean, limit: number): void {
  writeLimit = limit;
  keys = keyBlock;
  macLength = mac;
  tagLength = tag;
  if (!requireEncryptThenMac) encryptThenMac = etm;
  if (RUNNING && mac) {
    writePads = hmacKey(mac, keys.substr(0, mac));
    readPads = hmacKey(mac, keys.substr(mac, mac));
  }
}

/** Forget the connection: overwrite the keys where the interpreter's strings let us, and drop them. */
export function wipe(): void {
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = outgoing = "";
  if (RUNNING) writePads = readPads = "";
  writeSequence = readSequence = -1;
}

/** Application data that waits to be sent: here, so that no caller holds it while its ciphertext grows. */
export let outgoing: Bytes = "";

/** Add to `outgoing`. */
export function put(data: Bytes): void {
  outgoing = outgoing ? E.toString(outgoing, data) : data;
}

/**
 * Write the record that carries `message`, or else what `outgoing` has for one (at most writeLimit bytes), as content `type` to
 * `transport`, in pieces: its queue is their only copy. Throws SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, message?: Bytes): void {
  const n = writeSequence;
  let data = message || (outgoing.length > writeLimit ? outgoing.substr(0, writeLimit) : outgoing);
  if (!message) outgoing = outgoing.substr(writeLimit);
  let size = data.length;
  // what MACs cover before the text: the sequence number of 8 bytes, then type, version and length (RFC 5246, 6.2.3.1)
  let head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, type, 3, 3, size >> 8, size);
  if (n < 0) transport.write(head.substr(8) + data);
  else {
    if (n === 0x7fffffff) throw SEQUENCE_END;
    writeSequence++;
    const key = keys.substr(2 * macLength, 16);
    if (CCM && !macLength) {
      size += 8 + tagLength;
      const nonce = head.substr(0, 8); // the explicit part: the sequence number
      transport.write(E.toString(type, 3, 3, size >> 8, size, nonce));
      ccm(key, keys.substr(32, 4) + nonce, head, data, 0, data.length, tagLength, transport);
    } else if (CBC) {
      const pads = RUNNING ? writePads : hmacKey(macLength, keys.substr(0, macLength));
      let inner = pads.substr(0, pads.length >> 1);
      let rest = "";
      if (!requireEncryptThenMac && !encryptThenMac) {
        inner = RUNNING ? update(macLength, inner, head + data) : E.toString(inner, head, data);
        rest = hmac(macLength, pads, inner);
      }
      // the MAC where it is inside, then the padding; the whole is a multiple of 16
      const padding = 15 - ((size + rest.length) & 15);
      rest = E.toString(rest, { data: padding, count: padding + 1 });
      size += rest.length + 16;
      if (encryptThenMac) {
        head = E.toString(head.substr(0, 11), size >> 8, size);
        inner = RUNNING ? update(macLength, inner, head) : inner + head;
        size += macLength;
      }
      transport.write(E.toString(type, 3, 3, size >> 8, size));
      const start = inner.length;
      let piece = random(16);
      for (let i = 0; piece; i += PIECE) {
        // a native digest wants all of the message: then that is the only copy of the ciphertext until the MAC is made
        if (RUNNING && encryptThenMac) inner = update(macLength, inner, piece);
        if (RUNNING || !encryptThenMac) transport.write(piece);
        else inner += piece;
        const iv = piece.slice(-16);
        piece = data.substr(i, PIECE);
        const room = PIECE - piece.length;
        if (room) {
          piece += rest.substr(0, room);
          rest = rest.substr(room);
        }
        if (piece) piece = E.toString(aes(CBC_ENCRYPT, key, piece, iv));
      }
      data = "";
      if (encryptThenMac) {
        piece = hmac(macLength, pads, inner);
        if (!RUNNING)
          for (let i = start; i < inner.length; i += PIECE) transport.write(inner.substr(i, PIECE));
        transport.write(piece);
      }
    }
  }
  if (type === CHANGE_CIPHER_SPEC) writeSequence = 0;
}

/**
 * Return the plaintext of the record at the front of `input` (RFC 5246, 6.2.1; at least its 5-byte header), or
 * undefined while the record is not whole. The header is checked first: unexpected_message, protocol_version, and
 * record_overflow for more than FRAGMENT_LIMIT and what protection adds to it. Every fault of MAC, tag, padding or
 * length is the one alert bad_record_mac (6.2.3.2), and the sequence number then stays.
 */
export function receiveRecord(input: Bytes): Bytes | undefined {
  const n = readSequence;
  const length = (input.charCodeAt(3) << 8) | input.charCodeAt(4);
  // the content types are 20 to 23
  if (input.charCodeAt(0) >> 2 !== 5) throw SENT + UNEXPECTED_MESSAGE;
  // before there are keys an alert about the version may come under another minor one
  if (input.charCodeAt(1) !== 3 || (n >= 0 && input.charCodeAt(2) !== 3)) throw SENT + PROTOCOL_VERSION;
  // CBC adds an IV of 16, the HMAC and, at this length, 16 of padding; CCM an 8-byte nonce and the tag
  if (length > FRAGMENT_LIMIT + (n < 0 ? 0 : macLength ? 32 + macLength : 8 + tagLength))
    throw SENT + RECORD_OVERFLOW;
  if (input.length < length + 5) return;
  if (n < 0) {
    // whether it may come now is the handshake's to judge: if not, the session ends here
    if (keys && input.charCodeAt(0) === CHANGE_CIPHER_SPEC) readSequence = 0;
    return input.substr(5, length);
  }
  if (n === 0x7fffffff) throw SEQUENCE_END;
  let output: Bytes | undefined;
  const key = keys.substr(2 * macLength + 16, 16);
  // what the MAC covers after its 13 bytes: with CCM the plaintext, with CBC the ciphertext or, below, the plaintext
  let size = macLength ? (encryptThenMac ? length - macLength : length) : length - 8 - tagLength;
  let head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, input.substr(0, 3), size >> 8, size);
  if (CCM && !macLength) {
    if (size >= 0) {
      const nonce = keys.substr(36, 4) + input.substr(5, 8);
      output = ccm(key, nonce, head, input, 13, size, input.substr(13 + size, tagLength));
    }
  } else if (CBC) {
    const pads = RUNNING ? readPads : hmacKey(macLength, keys.substr(macLength, macLength));
    let inner = pads.substr(0, pads.length >> 1);
    let bad = size < (encryptThenMac ? 32 : 17 + macLength) || size & 15;
    if (!bad && encryptThenMac) {
      inner = RUNNING ? update(macLength, inner, head) : inner + head;
      for (let i = 5; i < 5 + size; i += PIECE) {
        const piece = input.substr(i, 5 + size - i < PIECE ? 5 + size - i : PIECE);
        if (RUNNING) inner = update(macLength, inner, piece);
        else inner += piece;
      }
      bad = difference(hmac(macLength, pads, inner), input.substr(5 + size, macLength));
      inner = "";
    }
    if (!bad) {
      let text = "";
      // the IV of each piece is the block of ciphertext before it, and the record's IV comes first
      for (let i = 21; i < 5 + size; i += PIECE) {
        const piece = input.substr(i, 5 + size - i < PIECE ? 5 + size - i : PIECE);
        text += E.toString(aes(CBC_DECRYPT, key, piece, input.substr(i - 16, 16)));
      }
      size -= 17;
      const padding = text.charCodeAt(size);
      let end = size - padding;
      if (!requireEncryptThenMac && !encryptThenMac) {
        // Lucky 13 and its forerunners: the same loops and as many compressions whatever the padding says. A padding
        // longer than the record counts as none, and the blocks that a longer padding spares are hashed for nothing.
        const longest = size - macLength;
        end -= macLength;
        bad = end >> 31;
        if (bad) end = longest;
        for (let i = size < 255 ? size : 255; i > 0; i--) {
          bad |= (text.charCodeAt(size - i) ^ padding) & ~((padding - i) >> 31);
        }
        head = E.toString(head.substr(0, 11), end >> 8, end, text.substr(0, end));
        inner = RUNNING ? update(macLength, inner, head) : inner + head;
        bad |= difference(hmac(macLength, pads, inner), text.substr(end, macLength));
        // 85: 13 bytes before the content, 9 that SHA adds, 63 to round up; 55: a message of one block
        inner = "\0".repeat((((longest + 85) >> 6) - ((end + 85) >> 6)) * 64 + 55);
        finish(macLength, RUNNING ? update(macLength, "", inner) : inner);
      } else {
        bad = end >> 31;
        for (let i = size; i-- > end && !bad; ) bad = text.charCodeAt(i) ^ padding;
      }
      if (!bad) output = text.substr(0, end);
    }
  }
  if (output === undefined) throw SENT + BAD_RECORD_MAC;
  if (output.length > FRAGMENT_LIMIT) throw SENT + RECORD_OVERFLOW;
  readSequence++;
  return output;
}
