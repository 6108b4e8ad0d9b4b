/*
 * Generator and record layer alone, as a bundle for tests that need many sessions without the network between them.
 */
import { random, seed as startRandom } from "../../../../firmware/crypto/ctr_drbg";
import { agree } from "../../../../firmware/tls/handshake";
import { setKeys } from "../../../../firmware/tls/keys";
import { send } from "../../../../firmware/tls/record";

(global as unknown as { records: unknown }).records = {
  startRandom: startRandom,
  random: random,
  agree: agree,
  setKeys: setKeys,
  send: send,
};
