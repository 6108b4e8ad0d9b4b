// What an image costs on the wire, by calculation: bytes of TLS both ways that one device needs for all pieces, without TCP
// and IP. It asks for a few at a time (SUBSCRIBE with one filter for each, MQTT 3.1.1, 3.8), gets SUBACK and each piece as a
// PUBLISH of QoS 0 (3.3), each packet in records of its own under CCM_8 (RFC 6655, 3: header, explicit nonce, tag).
import { FRAGMENT_LIMIT } from "../../../firmware/profile";
import { piecesPrefix } from "./manifest";
import type { Update } from "./update_file";

/** Bytes that a record adds: header 5, explicit nonce 8, tag 8. */
const RECORD = 5 + 8 + 8;

/** Bytes of a packet with what follows its fixed header (2.2.3), in records of at most `fragment` bytes. */
function onTheWire(following: number, fragment: number): number {
  const packet = (following < 128 ? 2 : 3) + following;
  return packet + RECORD * Math.ceil(packet / fragment);
}

/** Count the bytes to the device and from it, with `window` pieces asked for at a time. */
export function wireCost(
  update: Pick<Update, "product" | "digest" | "pieces">,
  window: number,
  fragment = FRAGMENT_LIMIT,
): { up: number; down: number } {
  const prefix = piecesPrefix(update).length;
  const topics = update.pieces.map((_, n) => prefix + String(n).length);
  let up = 0;
  let down = 0;
  for (let at = 0; at < topics.length; at += window) {
    const asked = topics.slice(at, at + window);
    // identifier 2, then each filter: length 2, text, QoS 1
    up += onTheWire(2 + asked.reduce((sum, topic) => sum + 2 + topic + 1, 0), FRAGMENT_LIMIT);
    down += onTheWire(2 + asked.length, fragment);
    for (const [i, topic] of asked.entries())
      down += onTheWire(2 + topic + update.pieces[at + i].length, fragment);
  }
  return { up, down };
}
