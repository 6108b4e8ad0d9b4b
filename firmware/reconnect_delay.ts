// The delay before the next attempt, a section: exponential with full jitter (EN 303 645, 5.9), so that a fleet comes
// back one by one.
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import type { Bytes } from "./bytes";
import { uint16 } from "./bytes";
import { random } from "./crypto/ctr_drbg";
import { RECONNECT_FIRST_MS, RECONNECT_LONGEST_MS } from "./profile";

/** Draw a delay, milliseconds, uniform below a ceiling that doubles with each of `failures` (0 to 16). */
export default function reconnectDelay(failures: number): number {
  let ceiling = RECONNECT_FIRST_MS << failures;
  if (ceiling > RECONNECT_LONGEST_MS) ceiling = RECONNECT_LONGEST_MS;
  let share: Bytes;
  try {
    share = random(2);
  } catch (_) {
    // the generator was never seeded: there was no network yet, or the noise failed its tests. What must differ is one
    // device from another: the settings hold the serial
    share = flash.read("conf") + "/" + failures;
    share = E.toString(finish(32, RUNNING ? update(32, "", share) : share));
  }
  return (uint16(share, 0) * ceiling) / 65536;
}
