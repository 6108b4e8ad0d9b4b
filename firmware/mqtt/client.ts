// An MQTT 3.1.1 client (OASIS) over the session: what comes in goes through `keep` and `nextMessage`, what goes out is put
// to the session's data. One connection, clean session, QoS 0 and 1, keep-alive, will. A message of QoS 1 is kept until
// its PUBACK and sent again on the next connection. Its functions are sections. Leaves out QoS 2 and more than one
// unacknowledged message; a packet over PACKET_LIMIT is acknowledged and passed over.
import { type Bytes, uint16 } from "../bytes";
import { KEEP_ALIVE_S, PACKET_LIMIT } from "../profile";
import { MQTT_PROTOCOL, MQTT_REFUSED, MQTT_SILENT } from "../tls/alert";
import {
  CONNACK,
  CONNECT,
  DUP,
  PINGRESP,
  PUBACK,
  PUBLISH,
  QOS_1,
  RETAIN,
  SUBACK,
  SUBSCRIBE,
} from "./packets";

/** First two parts of every topic of the device: `<product>/<serial>`. */
export let base: Bytes;
/** Bytes received that are no whole packet yet. */
let input: Bytes;
/** Bytes still to come of a packet that is passed over. */
let passOver: number;
/** Head and payload of the PUBLISH of QoS 1 that waits for its PUBACK. */
let unacknowledged: Bytes | undefined;
/** Packet identifier of that message, 2..32,767; SUBSCRIBE has 1. */
let identifier = 1;
/** Whether a PINGREQ waits for its answer. */
export let pinged: boolean;

/** Payload of the message whose topic `nextMessage` has returned. */
export let payload: Bytes;

/** A topic of the device as a length-prefixed field (1.5.3). */
export function topic(name: Bytes): Bytes {
  const length = base.length + name.length;
  return E.toString(length >> 8, length, base, name);
}

/**
 * Begin a connection of the device `identity`, `v<n>.<product>.<serial>`, at most 64 bytes: put CONNECT out. Its client
 * identifier is `<product>-<serial>`.
 */
export function begin(identity: Bytes): void {
  base = identity.substr(identity.indexOf(".") + 1).replace(".", "/");
  input = "";
  passOver = 0;
  pinged = false;
  // protocol name and level; flags: clean session, will, will retained; the will says "0" on `<base>/state`
  section(import("./packets")).putPacket(
    CONNECT,
    E.toString("\0\x04MQTT\x04\x26", KEEP_ALIVE_S >> 8, KEEP_ALIVE_S, 0, base.length, base.replace("/", "-")),
    section(import("./client")).topic("/state") + "\0\x010",
  );
}

/**
 * Publish `text` on `<base>/up/<name>`; `flags`: QOS_1, RETAIN. One message of QoS 1 at a time waits for its acknowledgement:
 * a second one is dropped.
 */
export function publish(name: Bytes, text: Bytes, flags: number): void {
  let head = section(import("./client")).topic("/up/" + name);
  if (flags & QOS_1) {
    if (unacknowledged) return;
    identifier = identifier < 32767 ? identifier + 1 : 2;
    head = E.toString(head, identifier >> 8, identifier);
    unacknowledged = head + text;
  }
  section(import("./packets")).putPacket(PUBLISH | flags, head, text);
}

/** Ask for a sign of life. Throws MQTT_SILENT when the last PINGREQ has no answer yet. */
export function ping(): void {
  if (pinged) throw MQTT_SILENT;
  pinged = true;
  section(import("../tls/record")).put("\xc0\0"); // PINGREQ
}

/** Keep bytes that the session brought, in pieces of any size, for `nextMessage`. */
export function keep(data: Bytes): void {
  input = input ? E.toString(input, data) : data;
}

/**
 * Work through the bytes that were kept, up to the next message. Returns its topic, after `<base>` where it is
 * ours, and leaves its payload in `payload`; "" when the broker has accepted us; undefined when there is no more. Throws
 * MQTT_PROTOCOL, or MQTT_REFUSED plus the broker's code.
 */
export function nextMessage(): Bytes | undefined {
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
      if (++start >= input.length) return;
      if (start > 4) throw MQTT_PROTOCOL;
      digit = input.charCodeAt(start);
      length |= (digit & 127) << (7 * start - 7);
    }
    const end = ++start + length;
    const long = end > PACKET_LIMIT;
    const type = input.charCodeAt(0);
    // of a packet that is too long, the part that holds its packet identifier is looked at
    if (input.length < (long ? PACKET_LIMIT : end)) return;
    passOver = end;
    if (type >> 4 === PUBLISH >> 4 && (type & 6) <= QOS_1) {
      const topicEnd = start + 2 + uint16(input, start);
      // QOS_1 is 2, the bytes of the packet identifier
      const textStart = topicEnd + (type & QOS_1);
      if (textStart > end) throw MQTT_PROTOCOL;
      if (textStart !== topicEnd && textStart <= input.length)
        section(import("../tls/record")).put("\x40\x02" + input.substr(topicEnd, 2)); // PUBACK
      if (!long) {
        const topic = input.substr(start + 2, topicEnd - start - 2);
        payload = input.substr(textStart, end - textStart);
        input = input.substr(end); // off the heap before the answer is made
        passOver = 0;
        if (topic) return topic.indexOf(base + "/") ? topic : topic.substr(base.length);
      }
    } else if (type === CONNACK && length === 2) {
      const refused = input.charCodeAt(start + 1);
      if (refused) throw MQTT_REFUSED + (refused < 5 ? refused : 5);
      const packet = section(import("./packets")).putPacket;
      const full = section(import("./client")).topic;
      // "1" on the retained state; packet identifier 1 and QoS 1 for the subscription
      packet(PUBLISH | RETAIN, full("/state"), "1");
      packet(SUBSCRIBE, "\0\x01" + full("/down/#"), "\x01");
      if (unacknowledged) packet(PUBLISH | QOS_1 | DUP, unacknowledged, "");
      return "";
    } else if (type === PUBACK && length === 2) {
      if (uint16(input, start) === identifier) unacknowledged = undefined;
    } else if (type === PINGRESP && !length) pinged = false;
    else if (type !== SUBACK || long) throw MQTT_PROTOCOL;
  }
}
