// What datagrams are and what waits for an answer, by the names of mqtt/packets.ts, which this stands in the place of.
import type { Bytes } from "../bytes";
import { FRAGMENT_LIMIT, OUTGOING_LIMIT } from "../profile";
import { outgoing } from "../tls/outgoing";

/** What the other end is asked and must answer, a bit each. */
export const CONNECTION = 5;
/** Beside them: whether the product is still to be told; whether a datagram has come since the last tick. */
export const DOWN = 2;
export const HEARD = 7;
/** Whether a sign of life was asked for and has not come. */
export const PINGS = 21;
/** Of updates, which this profile has not. */
export const OTA = 3;
export const PIECE = 4;

/** Flags of a message. A datagram has no quality of service, and nobody retains it: they are not looked at. */
export const RETAIN = 1;
export const QOS_1 = 2;
export const PRODUCT = 256;

/** Datagrams that were not sent since the start. */
export let dropped = 0;

/**
 * Put the datagram `head` and `text` out. False, and dropped, where it is longer than FRAGMENT_LIMIT or more than OUTGOING_LIMIT bytes would
 * wait to be sent.
 */
export function putDatagram(head: Bytes, text: Bytes): boolean {
  const length = head.length + text.length;
  if (length > FRAGMENT_LIMIT || (outgoing && outgoing.length + length > OUTGOING_LIMIT)) {
    dropped++;
    return false;
  }
  section(import("../tls/outgoing")).put([length >> 8, length, head, text]);
  return true;
}

/** What waits the session sends itself. */
export function release(): void {}
