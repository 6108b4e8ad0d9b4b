// `selftest`, a section: cipher and hashes by known answers (self_test.ts), the journal's flash by a record that is read
// back, where one may be written (event_log.ts), the noise by its health tests. Leaves out Storage, in which nothing is created in the field.

import { STEP_CONSOLE } from "../app/steps";
import { LOG } from "../store/journal";
import { FLASH_FAILED } from "../tls/alert";

/** Test what can be tested without harm: 0. Throws the code of what failed. */
export default function selftest(): number {
  section(import("../boot/self_test")).testCrypto();
  const newest = section(import("../store/journal")).newest;
  const before = newest(LOG);
  if (section(import("../store/event_log")).note(STEP_CONSOLE, 0, 0) && newest(LOG) === before)
    throw FLASH_FAILED;
  section(import("../crypto/ctr_drbg")).seed();
  return 0;
}
