// The record layer under AKEP2: the handshake's messages with their length before them (handshake.ts), and then records of TLS 1.2 under
// CCM (RFC 5246, 6.2; RFC 6655; tls/aead_records.ts). One connection at a time: its state is this module's variables. Before there are keys
// nothing else is sent: EAP has no alert for who is asked, so TCP is closed.
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT } from "../profile";
import {
  BAD_RECORD_MAC,
  DECODE_ERROR,
  PROTOCOL_VERSION,
  RECORD_OVERFLOW,
  SEQUENCE_END,
  UNEXPECTED_MESSAGE,
} from "../tls/alert";
import { ALERT, APPLICATION_DATA, HANDSHAKE } from "../tls/constants";
import { keys, wipeKeys } from "../tls/keys";
import { clearOutgoing } from "../tls/outgoing";
import { wipeSecrets } from "./handshake";
import { tagLength } from "./server_hello";

/** Longest message of the handshake that is taken, bytes: the server's identity may be long. */
const MESSAGE_LIMIT = 512;

/** Number of the next record, each way. */
let writeSequence: number;
let readSequence: number;
/** Bytes received that are no whole record yet. */
let input: Bytes = "";
/** ContentType of the record that `receiveRecord` has opened, and what it has brought, until `take` has it. */
export let contentType: number;
export let incoming: Bytes;

/** Forget the connection. */
export function wipe(): void {
  wipeKeys();
  wipeSecrets();
  clearOutgoing();
  incoming = input = "";
  writeSequence = readSequence = 0;
}

/**
 * Write the record that carries `message`, or else what waits for one (outgoing.ts), as content `type` to `transport`; nothing before there are
 * keys. Throws SEQUENCE_END after 2^31 - 1 records.
 */
export function send(transport: Socket, type: number, message?: Bytes): void {
  if (!keys) return;
  if ((writeSequence + 1) >> 31) throw SEQUENCE_END;
  section(import("../tls/aead_records")).protect(
    transport,
    section(import("../tls/record_head")).recordHead(writeSequence++, type),
    message || section(import("../tls/outgoing")).cut(),
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
 * Open the next message or record that was kept: it, or its plaintext, in `incoming`, its type in `contentType`. Returns whether there was
 * one. Lengths and types are checked before a body is waited for: decode_error, unexpected_message, protocol_version, record_overflow.
 * A record whose tag is wrong is bad_record_mac.
 */
export function receiveRecord(): boolean | undefined {
  const front = keys ? 5 : 2;
  if (input.length < front) return;
  const length = uint16(input, front - 2);
  contentType = HANDSHAKE;
  if (keys) {
    contentType = input.charCodeAt(0);
    if (contentType !== ALERT && contentType !== APPLICATION_DATA) throw -UNEXPECTED_MESSAGE;
    if (uint16(input, 1) !== 0x303) throw -PROTOCOL_VERSION;
    if (length > FRAGMENT_LIMIT + 8 + tagLength) throw -RECORD_OVERFLOW;
  } else if (length < 4 || length > MESSAGE_LIMIT) throw -DECODE_ERROR;
  if (input.length < front + length) return;
  incoming = input.substr(front, length);
  input = input.substr(front + length);
  if (keys) {
    if ((readSequence + 1) >> 31) throw SEQUENCE_END;
    incoming = section(import("../tls/aead_records")).unprotect(
      section(import("../tls/record_head")).recordHead(readSequence, contentType),
      section(import("./record")).take(),
    ) as Bytes;
    if (incoming === undefined) throw -BAD_RECORD_MAC;
    readSequence++;
  }
  return true;
}
