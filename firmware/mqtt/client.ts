// An MQTT 3.1.1 client (OASIS) over the session's socket: one connection, clean session, QoS 0 and 1, keep-alive, will.
// A message of QoS 1 is kept until its PUBACK and sent again on the next connection. Leaves out QoS 2 and more than
// one unacknowledged message; a packet over PACKET_LIMIT is acknowledged and passed over.
import type { Bytes } from "../bytes";
import { uint16 } from "../bytes";
import { PACKET_LIMIT } from "../profile";
import { MQTT_PROTOCOL, MQTT_REFUSED, MQTT_SILENT } from "../tls/alert";
import { shutdown, type TlsSocket } from "../tls/session";
import { CONNACK, DUP, field, PINGREQ, PINGRESP, PUBACK, PUBLISH, packet, QOS_1, SUBACK } from "./packets";

/** First two parts of every topic of the device: `<product>/<serial>`. */
let base: Bytes = "";
let socket: TlsSocket;
/** Bytes received that are no whole packet yet. */
let input: Bytes = "";
/** Bytes still to come of a packet that is passed over. */
let passOver = 0;
/** Body of the PUBLISH of QoS 1 that waits for its PUBACK. */
let unacknowledged: Bytes = "";
/** Packet identifier of that message, 2..65,535; SUBSCRIBE has 1. */
let identifier = 1;
/** Whether a PINGREQ waits for its answer. */
let pinged = 0;
/** What the application gave: called with the CONNACK, and with each message, its topic without `<base>/down/`. */
let onOpen: () => void;
let onMessage: (name: Bytes, payload: Bytes) => void;

/**
 * Open an MQTT connection over a session that stands. `identity` is `v<n>.<product>.<serial>` and the client
 * identifier. Failures end the session with MQTT_PROTOCOL, MQTT_SILENT or MQTT_REFUSED plus the broker's code.
 */
export function open(
  session: TlsSocket,
  identity: Bytes,
  opened: () => void,
  message: (name: Bytes, payload: Bytes) => void,
): void {
  socket = session;
  base = identity.substr(identity.indexOf(".") + 1).replace(".", "/");
  onOpen = opened;
  onMessage = message;
  input = "";
  passOver = pinged = 0;
  socket.on("data", receive);
  socket.write(section(import("./open"))(false, identity, base));
}

/**
 * Publish `payload` on `<base>/<name>`; `flags`: QOS_1, RETAIN. Returns whether it was taken: one message of QoS 1 at
 * a time can wait for its acknowledgement.
 */
export function publish(name: Bytes, payload: Bytes, flags: number): boolean {
  let head = field(base + "/" + name);
  if (flags & QOS_1) {
    if (unacknowledged) return false;
    identifier = (identifier % 65535) + 1;
    if (identifier < 2) identifier = 2;
    head = E.toString(head, identifier >> 8, identifier);
    unacknowledged = head + payload;
  }
  socket.write(packet(PUBLISH | flags, head + payload));
  return true;
}

/** Ask for a sign of life, every half keep-alive; the one before must have been answered. */
export function ping(): void {
  if (pinged) shutdown(MQTT_SILENT);
  else {
    pinged = 1;
    socket.write(packet(PINGREQ, ""));
  }
}

/** Take what the session brought: any bytes, in pieces of any size. */
function receive(data: Bytes): void {
  input = input ? E.toString(input, data) : data;
  for (;;) {
    if (passOver) {
      const passed = Math.min(passOver, input.length);
      passOver -= passed;
      input = input.substr(passed);
    }
    // fixed header (2.2): type and flags, then the remaining length, 7 bits a byte, low ones first
    let length = 0;
    let start = 0;
    let digit = 128;
    while (digit & 128) {
      if (++start === input.length || !input) return;
      if (start > 4) return shutdown(MQTT_PROTOCOL);
      digit = input.charCodeAt(start);
      length |= (digit & 127) << (7 * start - 7);
    }
    const end = ++start + length;
    const type = input.charCodeAt(0);
    // of a packet that is too long, the part up to its packet identifier is looked at
    if (input.length < (end > PACKET_LIMIT ? PACKET_LIMIT : end)) return;
    if ((type & 0xf0) === PUBLISH) {
      const qos = type & 6;
      const topicEnd = start + 2 + uint16(input, start);
      const payload = qos ? topicEnd + 2 : topicEnd;
      if (qos > QOS_1 || payload > end) return shutdown(MQTT_PROTOCOL);
      if (qos && payload <= input.length) socket.write(packet(PUBACK, input.substr(topicEnd, 2)));
      if (end <= PACKET_LIMIT) {
        // the topic is `<base>/down/<name>`, for we subscribe to nothing else
        onMessage(input.substring(start + 8 + base.length, topicEnd), input.substring(payload, end));
      }
    } else if (end > PACKET_LIMIT) return shutdown(MQTT_PROTOCOL);
    else if (type === CONNACK) {
      if (length !== 2) return shutdown(MQTT_PROTOCOL);
      const refused = input.charCodeAt(start + 1);
      if (refused) return shutdown(MQTT_REFUSED + Math.min(refused, 5));
      socket.write(section(import("./open"))(true, "", base));
      if (unacknowledged) socket.write(packet(PUBLISH | QOS_1 | DUP, unacknowledged));
      onOpen();
    } else if (type === PUBACK) {
      if (length !== 2) return shutdown(MQTT_PROTOCOL);
      if (uint16(input, start) === identifier) unacknowledged = "";
    } else if (type === PINGRESP) pinged = 0;
    else if (type !== SUBACK) return shutdown(MQTT_PROTOCOL);
    passOver = end;
  }
}
