// Control packets of MQTT 3.1.1 (OASIS) as far as a device needs them: clean sessions, QoS 0 and 1. Leaves out QoS 2, user
// name and password (the TLS identity says who we are) and UNSUBSCRIBE.
import type { Bytes } from "../bytes";
import { OUTGOING_LIMIT, SCARCE, SMALL } from "../profile";
import { outgoing } from "../tls/outgoing";
import { sending } from "../tls/session";
import { IS_SMALL } from "../tls/tidy";

/** First bytes of the fixed headers (2.2): packet type in the high half, flags in the low one. */
export const CONNECT = 0x10;
export const CONNACK = 0x20;
export const PUBLISH = 0x30;
export const PUBACK = 0x40;
export const SUBSCRIBE = 0x82;
export const SUBACK = 0x90;
export const PINGREQ = 0xc0;
export const PINGRESP = 0xd0;

/**
 * What the broker is asked and must answer, a bit each: the high byte of the packet identifier, but for CONNECTION, which has
 * none. No two of one kind are under way, so that the identifiers of what is are different (2.3.1).
 */
export const STATUS = 1;
export const STATUS_IDENTIFIER = "\x01\x01";
export const DOWN = 2;
export const OTA = 3;
export const PIECE = 4;
export const CONNECTION = 5;
/** What a product publishes at QoS 1, as `flags` too. */
export const PRODUCT_MESSAGE = 6;
/** Beside them: whether a message or a PINGRESP has come since the last tick. */
export const HEARD = 7;
/** From this bit on: how many PINGREQs have no answer yet. */
export const PINGS = 21;

/** What a SUBACK says of a subscription that is refused (3.9.3). */
export const SUBSCRIPTION_REFUSED = 0x80;

/** Flags of PUBLISH (3.3.1). */
export const RETAIN = 1;
export const QOS_1 = 2;
export const DUP = 8;
/** Beside them, of what is published at QoS 1: whether it is the product's, and not telemetry. */
export const PRODUCT = 256;

/** The answer that waits until what was sent is on its way, a whole packet. */
export let waiting: Bytes | undefined;
/** Answers that have given way to others since the start. */
export let dropped = 0;

/** As many bytes of acknowledgements may stand before an answer. */
const ACKNOWLEDGEMENTS = 99;

/**
 * Put a packet out: fixed header with the length of what follows, at most 16,383 bytes, then `head` and `payload`. The
 * payload is joined to nothing but what goes out: it may be as long as a record. A plain PUBLISH behind something that is not on
 * its way yet waits by itself where that is long or the heap scarce, and one that waits already is dropped for it.
 */
export function putPacket(header: number, head: Bytes, payload: Bytes): void {
  const length = head.length + payload.length;
  if (header === CONNECT) waiting = undefined;
  head =
    length < 128 ? E.toString(header, length, head) : E.toString(header, length | 128, length >> 7, head);
  if (
    header === PUBLISH &&
    (sending || outgoing.length > ACKNOWLEDGEMENTS) &&
    (SMALL || outgoing.length > OUTGOING_LIMIT || (IS_SMALL && process.memory().free < SCARCE))
  ) {
    if (waiting) dropped++;
    waiting = E.toString(head, payload);
  } else section(import("../tls/outgoing")).put([head, payload]);
}

/** Put out what waits. */
export function release(): void {
  if (waiting) section(import("../tls/outgoing")).put(waiting);
  waiting = undefined;
}
