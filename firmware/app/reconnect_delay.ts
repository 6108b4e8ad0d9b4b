// The delay before the next attempt, a section: exponential with full jitter (EN 303 645, 5.9), so that a fleet comes
// back one by one.
import { finish, RUNNING, update } from "hal:digest";
import { type Bytes, uint16 } from "../bytes";
import { RECONNECT_DOUBLINGS, RECONNECT_FIRST_MS } from "../profile";

/** Draw a delay, milliseconds, uniform below a ceiling that doubles with each of `failures`, RECONNECT_DOUBLINGS times. */
export default function reconnectDelay(failures: number): number {
  let share: Bytes;
  try {
    share = section(import("../crypto/ctr_drbg")).random(2);
  } catch (_) {
    // the generator was never seeded: there was no network yet, or the noise failed its tests. What must differ is one
    // device from another: the identity holds the serial
    const name = section(import("../store/settings")).readSettings().id + "/" + failures;
    share = E.toString(finish(32, RUNNING ? update(32, "", name) : name));
  }
  return (
    (uint16(share, 0) *
      (RECONNECT_FIRST_MS << (failures < RECONNECT_DOUBLINGS ? failures : RECONNECT_DOUBLINGS))) /
    65536
  );
}
