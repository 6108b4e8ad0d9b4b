// The delay before the next attempt, a section: exponential with full jitter (EN 303 645, 5.9), so that a fleet comes
// back one by one.
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import type { Bytes } from "./bytes";
import { RECONNECT_FIRST_MS } from "./profile";

/** Draw a delay, milliseconds, uniform below a ceiling that doubles with each of `failures` (0 to RECONNECT_DOUBLINGS). */
export default function reconnectDelay(failures: number): number {
  let share: Bytes;
  try {
    share = section(import("./crypto/ctr_drbg")).random(2);
  } catch (_) {
    // the generator was never seeded: there was no network yet, or the noise failed its tests. What must differ is one
    // device from another: the settings hold the serial
    share = flash.read("conf") + "/" + failures;
    share = E.toString(finish(32, RUNNING ? update(32, "", share) : share));
  }
  return (section(import("./bytes")).uint16(share, 0) * (RECONNECT_FIRST_MS << failures)) / 65536;
}
