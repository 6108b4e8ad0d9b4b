// An MQTT 3.1.1 client (OASIS) over the session: what comes in goes through `keep` and `next`, what goes out is put to the
// session's data. One connection, clean session, QoS 0 and 1, keep-alive, will. What the broker must answer it may take one
// tick for (`beat`). An answer that would make more wait than OUTGOING_LIMIT gives way to the next one. Its functions are
// sections. Leaves out QoS 2, more than one unacknowledged message, and sending one again: telemetry is made anew. A packet
// over PACKET_LIMIT is acknowledged and passed over.
import { hasOnline, hasPublish } from "product";
import { type Bytes, uint16 } from "../bytes";
import { KEEP_ALIVE_S, OUTGOING_LIMIT, PACKET_LIMIT } from "../profile";
import { MQTT_PROTOCOL, MQTT_REFUSED } from "../tls/alert";
import { outgoing } from "../tls/outgoing";
import {
  CONNACK,
  CONNECT,
  CONNECTION,
  DOWN,
  DUP,
  HEARD,
  PIECE,
  PINGRESP,
  PINGS,
  PRODUCT,
  PRODUCT_MESSAGE,
  PUBACK,
  PUBLISH,
  QOS_1,
  RETAIN,
  STATUS,
  STATUS_IDENTIFIER,
  SUBACK,
  SUBSCRIBE,
  SUBSCRIPTION_REFUSED,
} from "./packets";

/** What `next` finds, events of the application (app/event.ts): nothing more. */
export const USED_UP = 0;
/** A message: `name` and `payload` have it. */
export const MESSAGE = -10;
/** The broker has accepted us. */
export const ACCEPTED = -11;
/** It has refused a subscription. */
export const REFUSED = -12;
/** It lets us listen to our commands. */
export const GRANTED = -13;

/** First two parts of every topic of the device: `<product>/<serial>`. */
export let base: Bytes;
/** Bytes received that are no whole packet yet. */
let input: Bytes;
/** Bytes still to come of a packet that is passed over. */
let passOver: number;
/**
 * What the broker was asked (packets.ts) since the last tick and has not answered, before it, and what it has refused: a byte
 * each from the lowest on; and how many PINGREQs (PINGS).
 */
export let asked = 0;
export const OVERDUE = 8;
export const REFUSALS = 16;

/** Topic of the message that `next` has found, of ours what comes after `<base>`; and its payload. */
export let name: Bytes;
export let payload: Bytes;

/** A topic of the device as a length-prefixed field (1.5.3). */
export function topic(end: Bytes): Bytes {
  const length = base.length + end.length;
  return E.toString(length >> 8, length, base, end);
}

/** Begin a connection of the device `v<n>.<product>.<serial>`: put CONNECT out, its client identifier `<product>-<serial>`. */
export function begin(): void {
  const identity = section(import("../store/settings")).readSettings().id as string;
  base = identity.substr(identity.indexOf(".") + 1).replace(".", "/");
  input = "";
  passOver = 0;
  asked = 1 << CONNECTION;
  // protocol name and level; flags: clean session, will, will retained; the will says "0" on `<base>/state`
  section(import("./packets")).putPacket(
    CONNECT,
    E.toString("\0\x04MQTT\x04\x26", KEEP_ALIVE_S >> 8, KEEP_ALIVE_S, 0, base.length, base.replace("/", "-")),
    section(import("./client")).topic("/state") + "\0\x010",
  );
}

/** Subscribe to `<base><end>`, or, a PIECE, to all of `end`, with QoS 0. */
export function subscribe(what: number, end: Bytes): void {
  asked = (asked & ~(1 << (what + REFUSALS))) | (1 << what);
  section(import("./packets")).putPacket(
    SUBSCRIBE,
    E.toString(what, 1) +
      (what === PIECE ? E.toString(0, end.length, end) : section(import("./client")).topic(end)),
    what === PIECE ? "\0" : "\x01",
  );
}

/**
 * Publish `text` on `<base>/up/<end>`; `flags`: QOS_1 and RETAIN, and PRODUCT where it is not telemetry. False where it was not
 * taken: of each of the two one message of QoS 1 at a time waits for its acknowledgement.
 */
export function publish(end: Bytes, text: Bytes, flags: number): boolean {
  let head = section(import("./client")).topic("/up/" + end);
  if (hasPublish && flags & PRODUCT) {
    if (asked & (((1 << OVERDUE) + 1) << PRODUCT_MESSAGE)) return false;
    asked |= 1 << PRODUCT_MESSAGE;
    head += E.toString(PRODUCT_MESSAGE, 1);
  } else if (flags & QOS_1) {
    if (asked & (((1 << OVERDUE) + 1) << STATUS)) return false;
    asked |= 1 << STATUS;
    head += STATUS_IDENTIFIER;
  }
  section(import("./packets")).putPacket(PUBLISH | flags, head, text);
  return true;
}

/** Ask for a sign of life. */
export function ping(): void {
  asked += 1 << PINGS;
  section(import("../tls/outgoing")).put("\xc0\0"); // PINGREQ
}

/** Ask for a sign of life; what was asked and has no answer by the next tick is overdue. */
export function beat(): void {
  section(import("./client")).ping();
  asked = (asked & ~255) | ((asked & ~(1 << HEARD) & 255) << OVERDUE);
}

/** Keep what a record has brought, packets in pieces of any size, for `next`. */
export function keep(): void {
  input = E.toString(input, section(import("../tls/record")).take());
}

/** Give the payload from a byte on, and hold it no longer. */
export function rest(start: number): Bytes {
  const end = payload.substr(start);
  payload = "";
  return end;
}

/**
 * Work through the bytes that were kept, up to the next thing that the application must know. Throws MQTT_PROTOCOL, or
 * MQTT_REFUSED plus the broker's code.
 */
export function next(): number {
  payload = "";
  for (;;) {
    if (passOver) {
      const passed = passOver < input.length ? passOver : input.length;
      passOver -= passed;
      input = input.substr(passed);
    }
    // fixed header (2.2): type and flags, then the remaining length, 7 bits a byte, low ones first
    let length = 0;
    let start = 0;
    let digit = 128;
    while (digit & 128) {
      if (++start >= input.length) return USED_UP;
      if (start > 4) throw MQTT_PROTOCOL;
      digit = input.charCodeAt(start);
      length |= (digit & 127) << (7 * start - 7);
    }
    const end = ++start + length;
    const long = end > PACKET_LIMIT;
    const type = input.charCodeAt(0);
    // of a packet that is too long, the part that holds its packet identifier is looked at
    if (input.length < (long ? PACKET_LIMIT : end)) return USED_UP;
    passOver = end;
    // the CONNACK comes first and once (3.2); types with other flags than theirs are none (2.2.2)
    if (!!(asked & (1 << CONNECTION)) !== (type === CONNACK)) throw MQTT_PROTOCOL;
    const first = input.charCodeAt(start);
    if (type >> 4 === PUBLISH >> 4 && (type & 6) <= QOS_1 && (type & (DUP | QOS_1)) !== DUP) {
      const topicEnd = start + 2 + uint16(input, start);
      // QOS_1 is 2, the bytes of the packet identifier
      const textStart = topicEnd + (type & QOS_1);
      if (textStart > end || topicEnd === start + 2) throw MQTT_PROTOCOL;
      if (textStart !== topicEnd && textStart <= input.length && outgoing.length < 2 * OUTGOING_LIMIT)
        section(import("../tls/outgoing")).put("\x40\x02" + input.substr(topicEnd, 2)); // PUBACK
      asked |= 1 << HEARD;
      if (!long) {
        name = input.substr(start + 2, topicEnd - start - 2);
        payload = input.substr(textStart, end - textStart);
        input = input.substr(end); // off the heap before the answer is made
        passOver = 0;
        if (!name.indexOf(base + "/")) name = name.substr(base.length);
        else if (name[0] === "/") continue; // like one of ours without its beginning
        return MESSAGE;
      }
    } else if (type === CONNACK && length === 2) {
      const code = input.charCodeAt(start + 1);
      if (code && code < 6) throw MQTT_REFUSED + code;
      // there is no session that could be present (3.2.2.2)
      if (code || first) throw MQTT_PROTOCOL;
      asked = 0;
      // "1" on the retained state
      section(import("./packets")).putPacket(
        PUBLISH | RETAIN,
        section(import("./client")).topic("/state"),
        "1",
      );
      section(import("./client")).subscribe(DOWN, "/down/#");
      return ACCEPTED;
    } else if (type === [PINGRESP, 0, PUBACK, SUBACK][length]) {
      if (length) asked &= ~(((1 << OVERDUE) + 1) << first);
      else asked = (asked | (1 << HEARD)) - (1 << PINGS);
      if (length > 2) {
        // what is granted, at most what was asked for, or a refusal (3.9.3)
        const code = input.charCodeAt(start + 2);
        if (code > 1) {
          if (code !== SUBSCRIPTION_REFUSED) throw MQTT_PROTOCOL;
          asked |= 1 << (first + REFUSALS);
          return REFUSED;
        }
        if (hasOnline && first === DOWN) return GRANTED;
      }
    } else throw MQTT_PROTOCOL;
  }
}
