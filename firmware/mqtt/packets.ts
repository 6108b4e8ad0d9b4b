// Control packets of MQTT 3.1.1 (OASIS) as far as a device needs them: clean sessions, QoS 0 and 1. Leaves out QoS 2, user
// name and password (the TLS identity says who we are) and UNSUBSCRIBE.
import type { Bytes } from "../bytes";

/** First bytes of the fixed headers (2.2): packet type in the high half, flags in the low one. */
export const CONNECT = 0x10;
export const CONNACK = 0x20;
export const PUBLISH = 0x30;
export const PUBACK = 0x40;
export const SUBSCRIBE = 0x82;
export const SUBACK = 0x90;
export const PINGREQ = 0xc0;
export const PINGRESP = 0xd0;

/** Flags of PUBLISH (3.3.1). */
export const RETAIN = 1;
export const QOS_1 = 2;
export const DUP = 8;

/**
 * Put a packet out: fixed header with the length of what follows, at most 16,383 bytes, then `head` and `payload`. The
 * payload is joined to nothing but what goes out: it may be as long as a record.
 */
export function putPacket(header: number, head: Bytes, payload: Bytes): void {
  const length = head.length + payload.length;
  section(import("../tls/record")).put(
    length < 128 ? E.toString(header, length, head) : E.toString(header, length | 128, length >> 7, head),
  );
  if (payload) section(import("../tls/record")).put(payload);
}
