// Events for the journal (journal.ts), as a section, and the last failure. Every record of kind LOG is an event and holds
// all counters.

import type { Bytes } from "../bytes";
import { FLASH_FAILED } from "../tls/alert";
import { AT_BOOTS, AT_CODE, AT_FAILURES, AT_SESSIONS, AT_STEP, AT_TRIES, LOG } from "./journal";

/** The last error, of tls/alert.ts, 0: none since the start; goes with the telemetry. */
export let lastError = 0;
/** The step that it ended (steps.ts). */
export let lastStep = 0;

/** Starts of the device, counted in the journal; 0 where there is none. */
export let boots = 0;

/** Counters, by the place of their last byte in a record: boots (3 bytes), false answers (1), sessions (2), failures (2). */
export const BOOTS = AT_BOOTS + 2;
export const TRIES = AT_TRIES;
export const SESSIONS = AT_SESSIONS + 1;
export const FAILURES = AT_FAILURES + 1;

/** The newest record with all that has happened since, "" before the first event: what is not written yet is counted in memory. */
export let log: Bytes = "";

/** What others bring about is written at most once in QUIET_S, with BURST_S in hand: no server wears out the flash. */
const QUIET_S = 3600;
const BURST_S = 16 * QUIET_S;
/** When the next such record may be written, by getTime(). */
let quietUntil = -BURST_S;

/**
 * Note an event: its step, its code, and which counter goes up by one, 0: none; negative: which goes to 0 (one byte). Starts and
 * false answers are written at once; others may wait in memory for a later record. Tells whether this one was to be written. Flash
 * that fails is an error, but stops nothing.
 */
export function note(step: number, code: number, counter: number): true | undefined {
  if (step && code) {
    lastError = code;
    lastStep = step;
  }
  try {
    const record = E.toUint8Array(
      log || section(import("./journal")).newest(LOG) || "\x02\0\0\0\0\0\0\0\0\0\0\0",
    );
    record[AT_STEP] = step;
    record[AT_CODE] = code >> 8;
    record[AT_CODE + 1] = code;
    if (counter < 0) record[-counter] = 0;
    // those of two bytes stop at their end
    else if (counter < SESSIONS || (record[counter] & record[counter - 1]) < 255)
      for (let i = counter; i && !(++record[i] & 255); ) i--;
    if (counter === BOOTS) boots = (record[AT_BOOTS] << 16) | (record[AT_BOOTS + 1] << 8) | record[BOOTS];
    log = E.toString(record);
    const now = getTime();
    if (!counter || counter >= SESSIONS) {
      if (quietUntil > now) return;
      if (quietUntil < now - BURST_S) quietUntil = now - BURST_S;
      quietUntil += QUIET_S;
    }
    section(import("./journal")).append(log);
  } catch (_) {
    lastError = FLASH_FAILED;
  }
  return true;
}
