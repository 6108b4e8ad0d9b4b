// What stands in the place of a handshake under ESP with manual keys (RFC 4303): nothing is negotiated. The stream of RFC 9329 begins,
// and the keys are made from the one that lies on the device. Who is at the other end shows with its first packet (client.ts).
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { key } from "../store/key";
import { RECORD_LENGTH } from "../store/key_record";
import { NO_KEY } from "../tls/alert";
import { STANDS } from "../tls/handshake_steps";
import { setKeys } from "./keys";

/** What begins the stream of whoever opens TCP (RFC 9329, 4). */
const STREAM_PREFIX = "IKETCP";

/** No message is ever waited for. */
export const expected = 0;

/**
 * Begin the stream. Returns STANDS. Throws NO_KEY, also where there is no whole key record: without one there is no journal, and so no
 * sequence number that may be used (../store/sequence.ts).
 */
export default function handshake(transport: Socket, _step: number, _fragment: Bytes): number {
  if (!section(import("../store/settings")).readSettings().id || !key[RECORD_LENGTH - 1]) throw NO_KEY;
  setKeys(section(import("./key_schedule"))());
  transport.write(STREAM_PREFIX);
  return STANDS;
}
