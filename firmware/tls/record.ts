// The record layer of TLS 1.2 (RFC 5246, 6.2) under AES-128-CCM (RFC 6655) and AES-128-CBC with encrypt-then-MAC
// (RFC 7366), or MAC-then-encrypt where the profile allows it. One connection at a time: its keys are this module's
// variables, for a variable costs less heap than a member. Few and long functions, for each costs heap whatever its
// length, and no methods of typed arrays, whose classes cost heap for ever. Leaves out compression.
import { CBC_DECRYPT, CBC_ENCRYPT } from "../../hal/hal";
import { aes } from "hal:aes128";
import { finish, RUNNING } from "hal:digest";
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { difference } from "../bytes";
import { ccm, PIECE } from "../crypto/ccm";
import { random } from "../crypto/ctr_drbg";
import { hmac, hmacKey } from "../crypto/hmac";
import { FRAGMENT_LIMIT, requireEncryptThenMac } from "../profile";
import { BAD_RECORD_MAC, PROTOCOL_VERSION, RECORD_OVERFLOW, SENT, SEQUENCE_END, UNEXPECTED_MESSAGE } from "./alert";
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
/** HMAC keys in the form that our own digest keeps. */
let writeKey: Bytes = "";
let readKey: Bytes = "";
/** Number of the next record, each way; negative: that way is in the clear, up to its ChangeCipherSpec. */
let writeSequence = -1;
let readSequence = -1;

/** Take the keys of a finished key exchange. Each way is protected after its ChangeCipherSpec. */
export function setKeys(keyBlock: Bytes, mac: number, tag: number, etm: boolean): void {
  keys = keyBlock;
  macLength = mac;
  tagLength = tag;
  if (!requireEncryptThenMac) encryptThenMac = etm;
  if (RUNNING && mac) {
    writeKey = hmacKey(mac, keys.substr(0, mac));
    readKey = hmacKey(mac, keys.substr(mac, mac));
  }
}

/** Forget the connection: overwrite the keys where the interpreter's strings let us, and drop them. */
export function wipe(): void {
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = "";
  if (RUNNING) writeKey = readKey = "";
  writeSequence = readSequence = -1;
}

/**
 * Write the record that carries `data` (at most FRAGMENT_LIMIT bytes) as content `type` to `transport`. Throws
 * SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, data: Bytes): void {
  let body = data;
  if (writeSequence >= 0) {
    const n = writeSequence++;
    if (n === 0x7fffffff) throw SEQUENCE_END;
    let head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, type, 3, 3, body.length >> 8, body.length);
    const key = keys.substr(2 * macLength, 16);
    if (CCM && !macLength) {
      const nonce = head.substr(0, 8);
      body = nonce + ccm(key, keys.substr(32, 4) + nonce, head, body, 0, body.length, tagLength);
    } else if (CBC) {
      const macKey = RUNNING ? writeKey : keys.substr(0, macLength);
      if (!requireEncryptThenMac && !encryptThenMac) body += hmac(macLength, macKey, head, body);
      const padding = 15 - (body.length & 15);
      const text = E.toString(body, { data: padding, count: padding + 1 });
      body = random(16);
      for (let i = 0; i < text.length; i += PIECE) {
        body += E.toString(aes(CBC_ENCRYPT, key, text.substr(i, PIECE), body.slice(-16)));
      }
      if (encryptThenMac) {
        head = E.toString(head.substr(0, 11), body.length >> 8, body.length);
        body += hmac(macLength, macKey, head, body);
      }
    }
  }
  // two writes, not one of both: the queue is their only copy
  transport.write(E.toString(type, 3, 3, body.length >> 8, body.length));
  transport.write(body);
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
  if (length > FRAGMENT_LIMIT + (n < 0 ? 0 : macLength ? 32 + macLength : 8 + tagLength)) throw SENT + RECORD_OVERFLOW;
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
    const macKey = RUNNING ? readKey : keys.substr(macLength, macLength);
    let bad = size < (encryptThenMac ? 32 : 17 + macLength) || size & 15;
    if (!bad && encryptThenMac) {
      bad = difference(hmac(macLength, macKey, head, input.substr(5, size)), input.substr(5 + size, macLength));
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
        head = E.toString(head.substr(0, 11), end >> 8, end);
        bad |= difference(hmac(macLength, macKey, head, text.substr(0, end)), text.substr(end, macLength));
        // 85: 13 bytes before the content, 9 that SHA adds, 63 to round up; 55: a message of one block
        finish(macLength, "\0".repeat((((longest + 85) >> 6) - ((end + 85) >> 6)) * 64 + 55));
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
