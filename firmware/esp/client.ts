// What is said in the datagrams, in the place of MQTT (../README.md 14): `up/<name> <payload>` from the device, `down/<name> <payload>` to it, and
// `ping`, which the other end answers by `pong`. Functions and events are those of mqtt/client.ts, as sections. The other end has proved that it
// has the key, and that what it says is new, by its first packet: so long the connection counts as none. Leaves out acknowledgements and
// what is retained: a datagram that is lost is lost. Other words are passed over.
import { hasOnline } from "product";
import type { Bytes } from "../bytes";
import { CONNECTION, DOWN, HEARD, PINGS } from "./packets";

/** What `next` finds, events of the application (app/event.ts): nothing more. */
export const USED_UP = 0;
/** A message: `name` and `payload` have it. */
export const MESSAGE = -10;
/** The other end is the one that has the key. */
export const ACCEPTED = -11;
/** What comes for the product is taken from here on. */
export const GRANTED = -13;

/** Nobody looks at it. */
export const base: Bytes = "";
/** The datagram that was received. */
let input: Bytes;
/** What waits for an answer (packets.ts), before it what had none by the last tick. */
export let asked = 0;
export const OVERDUE = 8;
/** There are none. */
export const REFUSALS = 16;

/** Topic of the message that `next` has found, `/down/<name>`; and its payload. */
export let name: Bytes;
export let payload: Bytes;

/** Begin a connection. */
export function begin(): void {
  input = "";
  section(import("./client")).ping();
  asked = 1 << CONNECTION;
}

/** There is nothing to ask for: what is for the device comes. */
export function subscribe(_what: number, _end: Bytes): void {}

/** Send `text` as `up/<end>`; nothing waits for an acknowledgement. False where it is too long, or too much waits to be sent. */
export function publish(end: Bytes, text: Bytes, _flags: number): boolean {
  return section(import("./packets")).putDatagram("up/" + end + " ", text);
}

/** Ask for a sign of life. */
export function ping(): void {
  asked |= 1 << PINGS;
  section(import("../tls/outgoing")).put("\0\x04ping");
}

/** Ask for a sign of life; what was asked and has no answer by the next tick is overdue. */
export function beat(): void {
  section(import("./client")).ping();
  asked = (asked & ~255) | ((asked & ~(1 << HEARD) & 255) << OVERDUE);
}

/** Keep the datagram that a packet has brought, for `next`. */
export function keep(): void {
  input = section(import("../tls/record")).take();
}

/** Nobody asks for a part of it. */
export function rest(_start: number): Bytes {
  return payload;
}

/** Look at the datagram that was kept: the next thing that the application must know. */
export function next(): number {
  payload = "";
  if (asked & (1 << CONNECTION)) {
    asked = 1 << DOWN;
    return ACCEPTED;
  }
  if (hasOnline && asked & (1 << DOWN)) {
    asked &= ~(1 << DOWN);
    return GRANTED;
  }
  asked &= ~(1 << DOWN);
  const end = input.indexOf(" ");
  const isPong = input === "pong";
  const isMessage = end > 5 && input.substr(0, 5) === "down/";
  if (input) asked |= 1 << HEARD;
  if (isPong) asked &= ~(1 << PINGS);
  if (isMessage) {
    name = "/" + input.substr(0, end);
    payload = input.substr(end + 1);
  }
  input = "";
  return isMessage ? MESSAGE : USED_UP;
}
