// The record layer under ESP: packets in TCP (RFC 9329, 3), each with its length before it, 2 bytes, big-endian, that count. How a packet is
// protected: packet.ts. One connection at a time: its state is this module's variables. Nothing but packets is sent: ESP has no word for
// an end. Leaves out IKE: its messages are packets with an SPI of 0, which is not ours.
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT } from "../profile";
import { ESP_FORM } from "../tls/alert";
import { APPLICATION_DATA } from "../tls/constants";
import { wipeKeys } from "./keys";
import { clearOutgoing } from "./outgoing";

/** Longest packet that is taken, bytes: SPI, number and IV (24), IPv4 and UDP (28), a datagram, padding (257), tag (16). */
const PACKET_BYTES = 24 + 28 + FRAGMENT_LIMIT + 257 + 16;
/** What keeps a NAT's state alive (RFC 3948, 2.3): passed over. */
const KEEP_ALIVE = "\xff";

/** Bytes received that are no whole packet yet. */
let input: Bytes = "";
/** All that comes is the application's. */
export const contentType = APPLICATION_DATA;
/** The datagram that the last packet has brought, until `take` has it; "": it brought none. */
export let incoming: Bytes;

/** Forget the connection. */
export function wipe(): void {
  wipeKeys();
  clearOutgoing();
  incoming = input = "";
}

/** Send the next datagram that waits for it (outgoing.ts); nothing of another `type`. Throws what sequence.ts throws. */
export function send(transport: Socket, type: number): void {
  if (type === APPLICATION_DATA)
    section(import("./packet")).protect(
      transport,
      section(import("../store/sequence")).next(),
      section(import("./outgoing")).cut(),
    );
}

/** Keep bytes that TCP brought for `receiveRecord`, in one piece. */
export function keep(data: Bytes): void {
  input = E.toString(input, data);
}

/** Give what the packet has brought, and hold it no longer. */
export function take(): Bytes {
  const taken = incoming;
  incoming = "";
  return taken;
}

/**
 * Open the next packet that was kept: its datagram in `incoming`. Returns whether there was one. A length is checked before its body is
 * waited for: ESP_FORM. Throws what packet.ts throws.
 */
export function receiveRecord(): boolean | undefined {
  if (input.length < 2) return;
  const length = uint16(input, 0);
  if (length < 3 || length > 2 + PACKET_BYTES) throw ESP_FORM;
  if (input.length < length) return;
  incoming = input.substr(2, length - 2);
  input = input.substr(length);
  incoming =
    incoming === KEEP_ALIVE ? "" : section(import("./packet")).unprotect(section(import("./record")).take());
  return true;
}
