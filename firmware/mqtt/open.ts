// The packets that open an MQTT connection (MQTT 3.1.1, 3.1, 3.8), as a section: they are built once and dropped.
import type { Bytes } from "../bytes";
import { KEEP_ALIVE_S } from "../profile";
import { CONNECT, PUBLISH, packet, RETAIN, SUBSCRIBE } from "./packets";

/**
 * Build CONNECT for the client `identity`, with a will that says "0" on the retained topic `<base>/state`; or, where
 * `identity` is "", what follows the CONNACK: "1" on that topic and the subscription to `<base>/down/#`. Base and
 * identity have at most 64 bytes.
 */
export default function open(identity: Bytes, base: Bytes): Bytes {
  const state = E.toString(0, base.length + 6, base, "/state");
  return identity
    ? // protocol name and level; flags: clean session, will, will retained
      packet(
        CONNECT,
        E.toString("\0\x04MQTT\x04\x26", KEEP_ALIVE_S >> 8, KEEP_ALIVE_S, 0, identity.length, identity),
        state + "\0\x010",
      )
    : // packet identifier 1, QoS 1
      packet(PUBLISH | RETAIN, state, "1") +
        packet(SUBSCRIBE, E.toString(0, 1, 0, base.length + 7, base), "/down/#\x01");
}
