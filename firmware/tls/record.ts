// The record layer of TLS 1.2 (RFC 5246, 6.2): from what TCP brings to the plaintext of a record and back. How a record is
// protected is the suite's: cbc_records.ts, aead_records.ts. One connection at a time: its state is this module's
// variables, for a variable costs less heap than a member. Sending and receiving are sections. Leaves out compression.
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT } from "../profile";
import { BAD_RECORD_MAC, PROTOCOL_VERSION, RECORD_OVERFLOW, SEQUENCE_END, UNEXPECTED_MESSAGE } from "./alert";
import { AEAD, CBC } from "./cipher_suites";
import { CHANGE_CIPHER_SPEC, HANDSHAKE } from "./constants";
import { keys, wipeKeys } from "./keys";
import { clearOutgoing } from "./outgoing";
import { encryptThenMac, macLength, tagLength } from "./server_hello";

/** Longest record before there are keys, bytes (RFC 5246, 6.2.1): the limits that we ask for are those of protected ones. */
const CLEAR_LIMIT = 16384;

/** Number of the next record, each way; negative: that way is in the clear, up to its ChangeCipherSpec. */
let writeSequence = -1;
let readSequence = -1;
/** Bytes received that are no whole record yet. */
let input: Bytes = "";
/** Bytes still to come of a handshake record in the clear, which is taken as it comes: it may be longer than the heap has room. */
let left = 0;
/** ContentType of the record that `receiveRecord` has opened, and what it has brought, until `take` has it. */
export let contentType: number;
export let incoming: Bytes;

/** Forget the connection. */
export function wipe(): void {
  wipeKeys();
  clearOutgoing();
  incoming = input = "";
  writeSequence = readSequence = -1;
  left = 0;
}

/**
 * Write the record that carries `message`, or else what waits for one (outgoing.ts), as content `type` to `transport`. Throws
 * SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, message?: Bytes): void {
  if (writeSequence < 0) {
    const text = message as Bytes;
    transport.write(E.toString(type, 3, 3, text.length >> 8, text.length, text));
    if (type === CHANGE_CIPHER_SPEC) writeSequence = 0;
    return;
  }
  if ((writeSequence + 1) >> 31) throw SEQUENCE_END;
  // in the call itself: a variable would hold the text while its ciphertext grows
  (CBC && (!AEAD || macLength)
    ? section(import("./cbc_records")).protect
    : section(import("./aead_records")).protect)(
    transport,
    section(import("./record_head")).recordHead(writeSequence++, type),
    message || section(import("./outgoing")).cut(),
  );
}

/** Keep bytes that TCP brought for `receiveRecord`, in one piece. */
export function keep(data: Bytes): void {
  input = E.toString(input, data);
}

/** Give what the record has brought, and hold it no longer. */
export function take(): Bytes {
  const taken = incoming;
  incoming = "";
  return taken;
}

/**
 * Open the next record that was kept: its plaintext in `incoming`, its type in `contentType`. Returns whether there was one
 * (RFC 5246, 6.2.1). The header is checked before a body is waited for: unexpected_message, protocol_version, and
 * record_overflow for more than FRAGMENT_LIMIT and what protection adds to it. Every fault of MAC, tag, padding or length
 * is the one alert bad_record_mac (6.2.3.2), and the sequence number then stays.
 */
export function receiveRecord(): boolean | undefined {
  if (!left) {
    if (input.length < 5) return;
    const isClear = readSequence < 0;
    const length = uint16(input, 3);
    contentType = input.charCodeAt(0);
    // the content types are 20 to 23
    if (contentType >> 2 !== 5) throw -UNEXPECTED_MESSAGE;
    // before there are keys an alert about the version may come under another minor one
    if (input.charCodeAt(1) !== 3 || (!isClear && input.charCodeAt(2) !== 3)) throw -PROTOCOL_VERSION;
    // CBC adds an IV of 16, the HMAC and up to 256 of padding; an AEAD an 8-byte nonce and the tag
    if (length > (isClear ? CLEAR_LIMIT : FRAGMENT_LIMIT + (macLength ? 272 + macLength : 8 + tagLength)))
      throw -RECORD_OVERFLOW;
    if (isClear && contentType === HANDSHAKE && length) {
      input = input.substr(5);
      left = length;
    } else {
      if (input.length < length + 5) return;
      // a MAC behind the text is cut off here, where the heap is emptiest
      const end = isClear || !encryptThenMac ? length : length - macLength;
      const mac = input.substr(5 + end, macLength);
      incoming = input.substr(5, end);
      input = input.substr(5 + length);
      if (!isClear) unprotect(mac);
      // whether it may come now is the handshake's to judge: if not, the session ends here
      else if (keys && contentType === CHANGE_CIPHER_SPEC) readSequence = 0;
      return true;
    }
  }
  incoming = input.substr(0, left);
  input = input.substr(left);
  left -= incoming.length;
  return !!incoming;
}

/** Turn `incoming`, the body of a protected record without the `mac` that stood behind it, into its plaintext. */
function unprotect(mac: Bytes): void {
  if ((readSequence + 1) >> 31) throw SEQUENCE_END;
  incoming = (
    CBC && (!AEAD || macLength)
      ? section(import("./cbc_records")).unprotect
      : section(import("./aead_records")).unprotect
  )(
    section(import("./record_head")).recordHead(readSequence, contentType),
    section(import("./record")).take(),
    mac,
  ) as Bytes;
  if (incoming === undefined) throw -BAD_RECORD_MAC;
  if (incoming.length > FRAGMENT_LIMIT) throw -RECORD_OVERFLOW;
  readSequence++;
}
