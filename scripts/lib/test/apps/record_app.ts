/*
 * Generator and record layer alone, as a bundle for tests that need many sessions without the network between them.
 */
import { random, seed as startRandom } from "../../../../firmware/crypto/ctr_drbg";
import { setKeys } from "../../../../firmware/tls/keys";
import { send } from "../../../../firmware/tls/record";
import { agree } from "../../../../firmware/tls/server_hello";

(global as unknown as { records: unknown }).records = {
  startRandom: startRandom,
  random: random,
  agree: agree,
  setKeys: setKeys,
  send: send,
};
