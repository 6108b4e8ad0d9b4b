// An MQTT 3.1.1 client (OASIS) over the session's socket: one connection, clean session, QoS 0 and 1, keep-alive, will.
// A message of QoS 1 is kept until its PUBACK and sent again on the next connection. Leaves out QoS 2 and more than
// one unacknowledged message; a packet over PACKET_LIMIT is acknowledged and passed over.
import { flash } from "hal:flash";
import type { Bytes } from "../bytes";
import { uint16 } from "../bytes";
import { PACKET_LIMIT } from "../profile";
import { MQTT_PROTOCOL, MQTT_REFUSED, MQTT_SILENT } from "../tls/alert";
import { shutdown, type TlsSocket } from "../tls/session";
import { CONNACK, DUP, PINGRESP, PUBACK, PUBLISH, packet, QOS_1, SUBACK } from "./packets";

/** First two parts of every topic of the device: `<product>/<serial>`. */
let base: Bytes = "";
let socket: TlsSocket;
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
/** What the application gives: called with "" when the broker has accepted us, then with each message's name. */
let onMessage: (name: Bytes, payload: Bytes) => void;

/**
 * Run MQTT over `session` as soon as it stands, as the identity in the file `conf`: `v<n>.<product>.<serial>`. A
 * message's name is its topic after `<base>/down/`. Failures end the session with MQTT_PROTOCOL, MQTT_SILENT or
 * MQTT_REFUSED plus the broker's code.
 */
export function runOver(session: TlsSocket, messages: (name: Bytes, payload: Bytes) => void): void {
  socket = session;
  onMessage = messages;
  input = "";
  passOver = 0;
  pinged = false;
  session.on("connect", open);
  session.on("data", receive);
}

/** The session stands: open the connection. */
function open(): void {
  const identity: Bytes = JSON.parse(flash.read("conf") as Bytes).id;
  base = identity.substr(identity.indexOf(".") + 1).replace(".", "/");
  socket.write(section(import("./open"))(identity, base));
}

/**
 * Publish `payload` on `<base>/<name>`; `flags`: QOS_1, RETAIN. Returns whether it was taken: one message of QoS 1 at
 * a time can wait for its acknowledgement.
 */
export function publish(name: Bytes, payload: Bytes, flags: number): boolean {
  const topic = base + "/" + name;
  let head = E.toString(topic.length >> 8, topic.length, topic);
  if (flags & QOS_1) {
    if (unacknowledged) return false;
    identifier = identifier < 32767 ? identifier + 1 : 2;
    head = E.toString(head, identifier >> 8, identifier);
    unacknowledged = head + payload;
  }
  socket.write(packet(PUBLISH | flags, head, payload));
  return true;
}

/** Ask for a sign of life, every half keep-alive; the one before must have been answered. */
export function ping(): void {
  if (pinged) shutdown(MQTT_SILENT);
  else {
    pinged = true;
    socket.write("\xc0\0"); // PINGREQ
  }
}

/** Take what the session brought: any bytes, in pieces of any size. */
function receive(data: Bytes): void {
  input = input ? E.toString(input, data) : data;
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
      if (start > 4) return shutdown(MQTT_PROTOCOL);
      digit = input.charCodeAt(start);
      length |= (digit & 127) << (7 * start - 7);
    }
    const end = ++start + length;
    const long = end > PACKET_LIMIT;
    const type = input.charCodeAt(0);
    // of a packet that is too long, the part that holds its packet identifier is looked at
    if (input.length < (long ? PACKET_LIMIT : end)) return;
    if (type >> 4 === PUBLISH >> 4 && (type & 6) <= QOS_1) {
      const topicEnd = start + 2 + uint16(input, start);
      const payload = type & QOS_1 ? topicEnd + 2 : topicEnd;
      if (payload > end) return shutdown(MQTT_PROTOCOL);
      if (payload !== topicEnd && payload <= input.length) socket.write("\x40\x02" + input.substr(topicEnd, 2)); // PUBACK
      // in a turn of its own: then what brought the message is no longer held
      if (!long) setTimeout(onMessage, 0, input.substring(start + 8 + base.length, topicEnd), input.substring(payload, end));
    } else if (type === CONNACK && length === 2) {
      const refused = input.charCodeAt(start + 1);
      if (refused) return shutdown(MQTT_REFUSED + (refused < 5 ? refused : 5));
      socket.write(section(import("./open"))("", base));
      if (unacknowledged) socket.write(packet(PUBLISH | QOS_1 | DUP, unacknowledged, ""));
      onMessage("", "");
    } else if (type === PUBACK && length === 2) {
      if (uint16(input, start) === identifier) unacknowledged = "";
    } else if (type === PINGRESP && !length) pinged = false;
    else if (type !== SUBACK || long) return shutdown(MQTT_PROTOCOL);
    passOver = end;
  }
}
