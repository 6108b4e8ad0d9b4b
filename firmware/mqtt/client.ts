// An MQTT 3.1.1 client (OASIS) as an engine: what comes in goes through `received`, which returns what goes out. One
// connection, clean session, QoS 0 and 1, keep-alive, will. A message of QoS 1 is kept until its PUBACK and sent again
// on the next connection. Leaves out QoS 2 and more than one unacknowledged message; a packet over PACKET_LIMIT is
// acknowledged and passed over.
import type { Bytes } from "../bytes";
import { uint16 } from "../bytes";
import { KEEP_ALIVE_S, PACKET_LIMIT } from "../profile";
import { MQTT_PROTOCOL, MQTT_REFUSED, MQTT_SILENT } from "../tls/alert";
import {
  CONNACK,
  CONNECT,
  DUP,
  PINGRESP,
  PUBACK,
  PUBLISH,
  packet,
  QOS_1,
  RETAIN,
  SUBACK,
  SUBSCRIBE,
} from "./packets";

/** First two parts of every topic of the device: `<product>/<serial>`. */
let base: Bytes = "";
/** Bytes received that are no whole packet yet. */
let input: Bytes = "";
/** Bytes still to come of a packet that is passed over. */
let passOver = 0;
/** Head and payload of the PUBLISH of QoS 1 that waits for its PUBACK. */
let unacknowledged: Bytes = "";
/** Packet identifier of that message, 2..32,767; SUBSCRIBE has 1. */
let identifier = 1;
/** Whether a PINGREQ waits for its answer. */
let pinged = false;

/** A topic of the device as a length-prefixed field (1.5.3). */
function topic(name: Bytes): Bytes {
  const length = base.length + name.length;
  return E.toString(length >> 8, length, base, name);
}

/** Begin a connection as `identity`, `v<n>.<product>.<serial>`, at most 64 bytes. Returns the CONNECT packet. */
export function begin(identity: Bytes): Bytes {
  base = identity.substr(identity.indexOf(".") + 1).replace(".", "/");
  input = "";
  passOver = 0;
  pinged = false;
  // protocol name and level; flags: clean session, will, will retained; the will says "0" on `<base>/state`
  return packet(
    CONNECT,
    E.toString("\0\x04MQTT\x04\x26", KEEP_ALIVE_S >> 8, KEEP_ALIVE_S, 0, identity.length, identity),
    topic("/state") + "\0\x010",
  );
}

/**
 * Build the packet that publishes `payload` on `<base>/<name>`; `flags`: QOS_1, RETAIN. Returns "" where it cannot be
 * taken: one message of QoS 1 at a time waits for its acknowledgement.
 */
export function publish(name: Bytes, payload: Bytes, flags: number): Bytes {
  let head = topic("/" + name);
  if (flags & QOS_1) {
    if (unacknowledged) return "";
    identifier = identifier < 32767 ? identifier + 1 : 2;
    head = E.toString(head, identifier >> 8, identifier);
    unacknowledged = head + payload;
  }
  return packet(PUBLISH | flags, head, payload);
}

/** Ask for a sign of life. Throws MQTT_SILENT when the last PINGREQ has no answer yet. */
export function ping(): Bytes {
  if (pinged) throw MQTT_SILENT;
  pinged = true;
  return "\xc0\0"; // PINGREQ
}

/** Keep bytes that the session brought, in pieces of any size, for `received`. */
export function keep(data: Bytes): void {
  input = input ? E.toString(input, data) : data;
}

/**
 * Work through the bytes that were kept. `onMessage` is called with "" when the broker has accepted us, then with each
 * message's name, its topic after `<base>/down/`; what it returns goes out. Returns the packets to send. Throws
 * MQTT_PROTOCOL, or MQTT_REFUSED plus the broker's code.
 */
export function received(onMessage: (name: Bytes, payload: Bytes) => Bytes): Bytes {
  let output = "";
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
      if (++start >= input.length) return output;
      if (start > 4) throw MQTT_PROTOCOL;
      digit = input.charCodeAt(start);
      length |= (digit & 127) << (7 * start - 7);
    }
    const end = ++start + length;
    const long = end > PACKET_LIMIT;
    const type = input.charCodeAt(0);
    // of a packet that is too long, the part that holds its packet identifier is looked at
    if (input.length < (long ? PACKET_LIMIT : end)) return output;
    if (type >> 4 === PUBLISH >> 4 && (type & 6) <= QOS_1) {
      const topicEnd = start + 2 + uint16(input, start);
      const payload = type & QOS_1 ? topicEnd + 2 : topicEnd;
      if (payload > end) throw MQTT_PROTOCOL;
      if (payload !== topicEnd && payload <= input.length) output += "\x40\x02" + input.substr(topicEnd, 2); // PUBACK
      if (!long) {
        // the topic is `<base>/down/<name>`, for we subscribe to nothing else. Of the packet only these two are kept
        // while the answer is made
        const name = input.substring(start + 8 + base.length, topicEnd);
        const text = input.substring(payload, end);
        input = input.substr(end);
        const answer = onMessage(name, text);
        output = output ? E.toString(output, answer) : answer;
        continue;
      }
    } else if (type === CONNACK && length === 2) {
      const refused = input.charCodeAt(start + 1);
      if (refused) throw MQTT_REFUSED + (refused < 5 ? refused : 5);
      // "1" on the retained state; packet identifier 1 and QoS 1 for the subscription
      output =
        packet(PUBLISH | RETAIN, topic("/state"), "1") +
        packet(SUBSCRIBE, "\0\x01" + topic("/down/#"), "\x01");
      if (unacknowledged) output += packet(PUBLISH | QOS_1 | DUP, unacknowledged, "");
      output += onMessage("", "");
    } else if (type === PUBACK && length === 2) {
      if (uint16(input, start) === identifier) unacknowledged = "";
    } else if (type === PINGRESP && !length) pinged = false;
    else if (type !== SUBACK || long) throw MQTT_PROTOCOL;
    passOver = end;
  }
}
