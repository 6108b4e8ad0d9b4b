// The record layer of TLS 1.3 (RFC 8446, 5): from what TCP brings to the plaintext of a record and back; aead_records.ts protects. One
// connection at a time: its state is this module's variables. Leaves out padding of our own, and compression, which there is none of.
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT } from "../profile";
import {
  BAD_RECORD_MAC,
  PROTOCOL_VERSION,
  RECORD_OVERFLOW,
  SEQUENCE_END,
  UNEXPECTED_MESSAGE,
} from "../tls/alert";
import { ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE } from "../tls/constants";
import { clearOutgoing } from "../tls/outgoing";
import { expected } from "./handshake";
import { CLIENT, wipeKeys } from "./keys";
import { tagLength } from "./server_hello";

/** Longest record before there are keys, bytes (5.1): the limits that we ask for are those of protected ones. */
const CLEAR_LIMIT = 16384;

/** Number of the next record, each way; negative: that way is in the clear. */
let writeSequence = -1;
let readSequence = -1;
/** Bytes received that are no whole record yet. */
let input: Bytes = "";
/** Bytes still to come of a handshake record in the clear, which is taken as it comes. */
let left = 0;
/** ContentType of the record that `receiveRecord` has opened, and what it has brought, until `take` has it. */
export let contentType: number;
export let incoming: Bytes;

/** Forget the connection. */
export function wipe(): void {
  wipeKeys();
  section(import("./secrets")).forget();
  clearOutgoing();
  incoming = input = "";
  writeSequence = readSequence = -1;
  left = 0;
}

/** Begin with new keys of an `end` (5.3: its numbers begin anew). Throws unexpected_message where a record in the clear goes on (5.1). */
export function restart(end: number): void {
  if (left) throw -UNEXPECTED_MESSAGE;
  if (end === CLIENT) writeSequence = 0;
  else readSequence = 0;
}

/**
 * Write the record that carries `message`, or else what waits for one (outgoing.ts), as content `type` to `transport`. Throws
 * SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, message?: Bytes): void {
  if (writeSequence < 0) {
    const text = message as Bytes;
    transport.write(E.toString(type, 3, 3, text.length >> 8, text.length, text));
    return;
  }
  if ((writeSequence + 1) >> 31) throw SEQUENCE_END;
  section(import("./aead_records")).protect(
    transport,
    writeSequence++,
    E.toString(message || section(import("../tls/outgoing")).cut(), type),
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
 * Open the next record that was kept: its plaintext in `incoming`, its type in `contentType`. Returns whether there was one; there is none
 * while keys are to be made first. The header is checked before a body is waited for: unexpected_message, protocol_version, and
 * record_overflow for more than FRAGMENT_LIMIT and what protection adds to it. A change_cipher_spec comes in the clear at any time (5); the
 * handshake judges it.
 */
export function receiveRecord(): boolean | undefined {
  if (expected < 0) return;
  if (!left) {
    if (input.length < 5) return;
    const length = uint16(input, 3);
    contentType = input.charCodeAt(0);
    const isClear = readSequence < 0 || contentType === CHANGE_CIPHER_SPEC;
    // the content types are 20 to 23, and what is protected has but one
    if (contentType >> 2 !== 5 || (!isClear && contentType !== APPLICATION_DATA)) throw -UNEXPECTED_MESSAGE;
    // the minor version is ignored (5.1)
    if (input.charCodeAt(1) !== 3) throw -PROTOCOL_VERSION;
    // the content's type is one byte more than the content (5.2)
    if (length > (isClear ? CLEAR_LIMIT : FRAGMENT_LIMIT + 1 + tagLength)) throw -RECORD_OVERFLOW;
    if (isClear && contentType === HANDSHAKE && length) {
      input = input.substr(5);
      left = length;
    } else {
      if (input.length < length + 5) return;
      incoming = input.substr(5, length);
      input = input.substr(5 + length);
      if (!isClear) unprotect();
      return true;
    }
  }
  incoming = input.substr(0, left);
  input = input.substr(left);
  left -= incoming.length;
  return !!incoming;
}

/** Turn `incoming` from the body of a protected record into its content. Every fault of tag or length is bad_record_mac (5.2). */
function unprotect(): void {
  if ((readSequence + 1) >> 31) throw SEQUENCE_END;
  incoming = section(import("./aead_records")).unprotect(
    readSequence,
    section(import("./record")).take(),
  ) as Bytes;
  if (incoming === undefined) throw -BAD_RECORD_MAC;
  readSequence++;
  // padding may follow the type (5.4); of nothing but zeros there is no type
  let end = incoming.length;
  do contentType = incoming.charCodeAt(--end);
  while (!contentType && end > 0);
  if (!(contentType >= ALERT && contentType <= APPLICATION_DATA)) throw -UNEXPECTED_MESSAGE;
  incoming = incoming.substr(0, end);
}
