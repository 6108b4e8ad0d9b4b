// The packets that open an MQTT connection (MQTT 3.1.1, 3.1, 3.8), as a section: they are built once and dropped.
import type { Bytes } from "../bytes";
import { KEEP_ALIVE_S } from "../profile";
import { CONNECT, field, PUBLISH, packet, RETAIN, SUBSCRIBE } from "./packets";

/**
 * Build CONNECT (`opened` false) for the client `identity`, with a will that says "0" on the retained topic
 * `<base>/state`; or (`opened` true) what follows the CONNACK: "1" on that topic and the subscription to `<base>/down/#`.
 */
export default function open(opened: boolean, identity: Bytes, base: Bytes): Bytes {
  const state = field(base + "/state");
  if (opened) {
    return (
      packet(PUBLISH | RETAIN, state + "1") +
      packet(SUBSCRIBE, E.toString(0, 1, field(base + "/down/#"), 1)) // packet identifier 1, QoS 1
    );
  }
  // protocol name and level; flags: clean session, will, will retained
  return packet(
    CONNECT,
    E.toString("\0\x04MQTT\x04", 0x26, KEEP_ALIVE_S >> 8, KEEP_ALIVE_S, field(identity), state, field("0")),
  );
}
