// The record layer of TLS 1.2 (RFC 5246, 6.2) under AES-128-CCM (RFC 6655) and AES-128-CBC with encrypt-then-MAC
// (RFC 7366), or MAC-then-encrypt where the profile allows it. One connection at a time: its keys and its receive buffer
// are this module's variables, for a variable costs less heap than a member. Sending and receiving are sections; what
// they do is ordered so that a record is on the heap once, or twice while natives turn it. Leaves out compression.

import { finish, RUNNING, update } from "hal:digest";
import type { Socket } from "../../hal/hal";
import { CBC_DECRYPT, CBC_ENCRYPT } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
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
import { AGREED_LIMIT, AGREED_MAC, AGREED_TAG, CHANGE_CIPHER_SPEC, SEEN_ENCRYPT_THEN_MAC } from "./constants";
import { agreed } from "./handshake";

/**
 * key_block (RFC 5246, 6.3): client and server MAC key (macLength each), client and server key (16 each), client
 * and server salt (4 each, CCM). Empty: nothing is protected yet.
 */
let keys: Bytes = "";
/** HMAC length of the suite, bytes: 20, 32, or 0 for CCM. */
let macLength: number;
/** Tag length of the suite, bytes: 8 or 16 for CCM. */
let tagLength: number;
/** Whether a CBC suite runs with encrypt-then-MAC. */
let encryptThenMac: unknown = true;
/** Pads of the HMAC keys, kept where our own digest saves compressions by it. */
let writePads: Bytes;
let readPads: Bytes;
/** Number of the next record, each way; negative: that way is in the clear, up to its ChangeCipherSpec. */
let writeSequence = -1;
let readSequence = -1;
/** Bytes received that are no whole record yet. */
let input: Bytes = "";
/** ContentType of the record that `receiveRecord` has returned. */
export let contentType: number;
/** Application data that waits to be sent: here, so that no caller holds it while its ciphertext grows. */
export let outgoing: Bytes;

/** Take the keys of a finished key exchange, for what was agreed. Each way is protected after its ChangeCipherSpec. */
export function setKeys(keyBlock: Bytes): void {
  keys = keyBlock;
  macLength = (agreed >> AGREED_MAC) & 63;
  tagLength = (agreed >> AGREED_TAG) & 31;
  if (!requireEncryptThenMac) encryptThenMac = agreed & SEEN_ENCRYPT_THEN_MAC;
  if (RUNNING && macLength) {
    const hmacKey = section(import("../crypto/hmac")).hmacKey;
    writePads = hmacKey(macLength, keys.substr(0, macLength));
    readPads = hmacKey(macLength, keys.substr(macLength, macLength));
  }
}

/** Forget the connection: overwrite the keys where the interpreter's strings let us, and drop them. */
export function wipe(): void {
  // not fill(0): the class of that method would come to stay, 9 variables
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = outgoing = input = "";
  if (RUNNING) writePads = readPads = "";
  writeSequence = readSequence = -1;
}

/** Add to `outgoing`. */
export function put(data: Bytes): void {
  outgoing = outgoing ? E.toString(outgoing, data) : data;
}

/**
 * Write the record that carries `message`, or else what `outgoing` has for one (as much as the server takes in one), as content
 * `type` to `transport`. Throws SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, message?: Bytes): void {
  const n = writeSequence;
  let text = message || outgoing.substr(0, agreed >> AGREED_LIMIT);
  if (!message) outgoing = outgoing.substr(agreed >> AGREED_LIMIT);
  let size = text.length;
  // what a MAC covers first: the number of 8 bytes, type and version (RFC 5246, 6.2.3.1); then comes the length
  const head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, type, 3, 3);
  const key = keys.substr(2 * macLength, 16);
  // what stands before the text and after it
  let front = "";
  let tag = "";
  if (n >= 0) {
    if (++writeSequence >> 31) throw SEQUENCE_END;
    if (CCM && !macLength) {
      front = head.substr(0, 8); // the explicit part of the nonce is the number
      tag = E.toString(size >> 8, size);
      // key, B0 and associated data, as crypto/ccm.ts takes them
      tag = E.toString(key, 58 + 4 * tagLength, keys.substr(32, 4), front, 0, tag, 0, 13, head, tag, 0);
      text = E.toString(section(import("../crypto/ccm")).ccmMac(tag, text), text, {
        data: 0,
        count: -size & 15,
      });
      text = section(import("../crypto/ccm")).ccmTurn(tag, text);
      tag = text.substr(0, tagLength);
      text = text.substr(16, size);
    } else if (CBC) {
      const hmac = section(import("../crypto/hmac")).hmac;
      const pads = RUNNING
        ? writePads
        : section(import("../crypto/hmac")).hmacKey(macLength, keys.substr(0, macLength));
      if (!requireEncryptThenMac && !encryptThenMac)
        tag = hmac(macLength, pads, [head, size >> 8, size, text]);
      // the MAC where it is inside, then the padding; the whole is a multiple of 16
      const padding = 15 - ((size + tag.length) & 15);
      text = E.toString(section(import("../crypto/ctr_drbg")).random(16), text, tag, {
        data: padding,
        count: padding + 1,
      });
      text = section(import("../crypto/cbc")).cbcTurn(CBC_ENCRYPT, key, text);
      size = text.length;
      tag = encryptThenMac ? hmac(macLength, pads, [head, size >> 8, size, text]) : "";
    }
    size = front.length + text.length + tag.length;
  }
  transport.write(E.toString(head.substr(8), size >> 8, size, front));
  transport.write(text);
  transport.write(tag);
  if (type === CHANGE_CIPHER_SPEC) writeSequence = 0;
}

/** Keep bytes that TCP brought for `receiveRecord`, in one piece. */
export function keep(data: Bytes): void {
  input = E.toString(input, data);
}

/**
 * Return the plaintext of the next record that was kept, its type in `contentType`; undefined while none is whole (RFC
 * 5246, 6.2.1). The header is checked before a body is waited for: unexpected_message,
 * protocol_version, and record_overflow for more than FRAGMENT_LIMIT and what protection adds to it. Every fault of MAC,
 * tag, padding or length is the one alert bad_record_mac (6.2.3.2), and the sequence number then stays.
 */
export function receiveRecord(): Bytes | undefined {
  if (input.length < 5) return;
  const n = readSequence;
  const length = uint16(input, 3);
  contentType = input.charCodeAt(0);
  // the content types are 20 to 23
  if (contentType >> 2 !== 5) throw SENT + UNEXPECTED_MESSAGE;
  // before there are keys an alert about the version may come under another minor one
  if (input.charCodeAt(1) !== 3 || (n >= 0 && input.charCodeAt(2) !== 3)) throw SENT + PROTOCOL_VERSION;
  // CBC adds an IV of 16, the HMAC and, at this length, 16 of padding; CCM an 8-byte nonce and the tag
  if (length > FRAGMENT_LIMIT + (n < 0 ? 0 : macLength ? 32 + macLength : 8 + tagLength))
    throw SENT + RECORD_OVERFLOW;
  if (input.length < length + 5) return;
  // the text, in what way ever: with CCM the ciphertext behind the nonce, with CBC that from the IV on; and its tag or MAC
  const after = n < 0 ? 0 : macLength ? (encryptThenMac ? macLength : 0) : tagLength;
  const start = n < 0 || macLength ? 5 : 13;
  let size = length + 5 - start - after;
  let text = input.substr(start, size);
  let tag = input.substr(start + size, after);
  const explicit = input.substr(5, 8);
  input = input.substr(5 + length);
  if (n < 0) {
    // whether it may come now is the handshake's to judge: if not, the session ends here
    if (keys && contentType === CHANGE_CIPHER_SPEC) readSequence = 0;
    return text;
  }
  if ((n + 1) >> 31) throw SEQUENCE_END;
  const head = E.toString(0, 0, 0, 0, n >> 24, n >> 16, n >> 8, n, contentType, 3, 3);
  let key = keys.substr(2 * macLength + 16, 16);
  const length16 = E.toString(size >> 8, size);
  let bad: unknown = size < 0;
  if (CCM && !macLength) {
    if (!bad) {
      // with B0 and associated data behind it, as crypto/ccm.ts takes them
      key = E.toString(
        key,
        58 + 4 * tagLength,
        keys.substr(36, 4),
        explicit,
        0,
        length16,
        0,
        13,
        head,
        length16,
        0,
      );
      text = E.toString(tag, { data: 0, count: 16 - tagLength }, text, { data: 0, count: -size & 15 });
      text = section(import("../crypto/ccm")).ccmTurn(key, text);
      tag = text.substr(0, tagLength);
      text = text.substr(16, size);
      bad = section(import("../bytes")).difference(
        section(import("../crypto/ccm")).ccmMac(key, text).substr(0, tagLength),
        tag,
      );
    }
  } else if (CBC) {
    bad = size < (encryptThenMac ? 32 : 17 + macLength) || size & 15;
    if (!bad && encryptThenMac)
      bad = section(import("../bytes")).difference(
        section(import("../crypto/hmac")).hmac(
          macLength,
          RUNNING
            ? readPads
            : section(import("../crypto/hmac")).hmacKey(macLength, keys.substr(macLength, macLength)),
          [head, length16, text],
        ),
        tag,
      );
    if (!bad) {
      text = section(import("../crypto/cbc")).cbcTurn(CBC_DECRYPT, key, text);
      if (!requireEncryptThenMac && !encryptThenMac) {
        text = section(import("./record")).openMacThenEncrypt(head, text) as Bytes;
        bad = text === undefined;
      } else {
        const padding = text.charCodeAt(--size);
        const end = size - padding;
        bad = end < 16;
        for (let i = size; i-- > end && !bad; ) bad = text.charCodeAt(i) ^ padding;
        text = text.substr(16, end - 16);
      }
    }
  }
  if (bad) throw SENT + BAD_RECORD_MAC;
  if (text.length > FRAGMENT_LIMIT) throw SENT + RECORD_OVERFLOW;
  readSequence++;
  return text;
}

/**
 * Take the content out of `text` (IV, content, HMAC and padding, decrypted) under MAC-then-encrypt; `head` is what the MAC
 * covers before the length. Undefined where padding or MAC is wrong. Lucky 13 and its forerunners: the same loops and as
 * many compressions whatever the padding says. A padding longer than the record counts as none, and the blocks that a
 * longer padding spares are hashed for nothing.
 */
export function openMacThenEncrypt(head: Bytes, text: Bytes): Bytes | undefined {
  text = text.substr(16);
  const size = text.length - 1;
  const padding = text.charCodeAt(size);
  const longest = size - macLength;
  let end = longest - padding;
  let bad = end >> 31;
  if (bad) end = longest;
  for (let i = size < 255 ? size : 255; i > 0; i--)
    bad |= (text.charCodeAt(size - i) ^ padding) & ~((padding - i) >> 31);
  const mac = text.substr(end, macLength);
  text = text.substr(0, end);
  bad |= section(import("../bytes")).difference(
    section(import("../crypto/hmac")).hmac(
      macLength,
      RUNNING
        ? readPads
        : section(import("../crypto/hmac")).hmacKey(macLength, keys.substr(macLength, macLength)),
      [head, end >> 8, end, text],
    ),
    mac,
  );
  // 85: 13 bytes before the content, 9 that SHA adds, 63 to round up; 55: a message of one block
  const rest = "\0".repeat((((longest + 85) >> 6) - ((end + 85) >> 6)) * 64 + 55);
  finish(macLength, RUNNING ? update(macLength, "", rest) : rest);
  return bad ? undefined : text;
}
