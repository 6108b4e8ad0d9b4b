// The challenge that opens the service commands (../README.md 6), as sections. A nonce is good for one answer; the count of
// false answers is in the journal before one is compared; from the third on each brings a delay that doubles, counted from
// the later of the answer and the start. Digits are Crockford's base 32 (scripts/lib/console/challenge.ts).

import { startedAt } from "../app/started";
import { STEP_CONSOLE } from "../app/steps";
import { type Bytes, uint16 } from "../bytes";
import { TRIES } from "../store/event_log";
import { AT_BOOTS, LOG } from "../store/journal";
import { key } from "../store/key";
import { CONSOLE_KEY } from "../store/key_record";
import { ANSWER_WRONG, FLASH_FAILED, WAIT } from "../tls/alert";
import type { Answer } from "./console";
import { ID } from "./tell";

/** False answers without a delay, the first delay in seconds, and how often it doubles. */
const FREE_TRIES = 3;
const DELAY_S = 30;
const DOUBLINGS = 10;

/** Until when service commands are taken, by getTime(). */
export let until = 0;
/** What the last right answer was for: `s` service, `r` reset as well. */
export let role: Bytes | undefined;
/** The nonce to which an answer may come, 8 bytes; undefined: there is none. */
let nonce: Bytes | undefined;
/** When the last false answer came; the start before one has. */
let triedAt: number | undefined;

/** Write the first `count` digits of bytes, 5 bits each. */
export function digits(bytes: Bytes, count: number): Bytes {
  let text = "";
  for (let bit = 0; text.length < count; bit += 5)
    text += "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(uint16(bytes, bit >> 3) >> (11 - (bit & 7))) & 31];
  return text;
}

/** Read digits as people type them: lower case, hyphens, I and L for 1, O for 0. */
export function typed(text: Bytes): Bytes {
  let all = "";
  for (const digit of (text || "").toUpperCase())
    if (digit !== "-") all += digit === "O" ? 0 : "IL".indexOf(digit) < 0 ? digit : 1;
  return all;
}

/** `unlock`: a challenge, with who the device is; `unlock ROLE MINUTES ANSWER`: open. Throws WAIT, ANSWER_WRONG, FLASH_FAILED, what seed() throws. */
export function unlock(_row: number, words: Bytes[]): Answer {
  const newest = section(import("../store/journal")).newest;
  const note = section(import("../store/event_log")).note;
  const log = newest(LOG);
  const tries = log.charCodeAt(TRIES) | 0;
  if (!words[1]) {
    section(import("../crypto/ctr_drbg")).seed();
    nonce = section(import("../crypto/ctr_drbg")).random(8);
    const answer = section(import("./tell"))(ID);
    answer.nonce = section(import("./unlock")).digits(nonce, 13);
    return answer;
  }
  if (tries >= FREE_TRIES && getTime() < (triedAt || startedAt) + (DELAY_S << (tries - FREE_TRIES)))
    throw WAIT;
  if (!nonce) throw ANSWER_WRONG;
  const minutes = (words[2] as any) & 255;
  const block = E.toString("con", words[1].charCodeAt(0), nonce, log.substr(AT_BOOTS, 3), minutes);
  nonce = undefined;
  note(STEP_CONSOLE, 0, tries < FREE_TRIES + DOUBLINGS ? TRIES : 0);
  // a count that is not written counts nothing
  if (newest(LOG) === log) throw FLASH_FAILED;
  if (
    section(import("../bytes")).difference(
      section(import("./unlock")).typed(words[3]),
      section(import("./unlock")).digits(
        section(import("../crypto/cmac")).cmac(key.substr(CONSOLE_KEY, 16), block),
        12,
      ),
    )
  ) {
    triedAt = getTime();
    note(STEP_CONSOLE, ANSWER_WRONG, 0);
    throw ANSWER_WRONG;
  }
  note(STEP_CONSOLE, 0, -TRIES);
  role = words[1][0];
  until = getTime() + minutes * 60;
  return 0;
}

/** Take no service command any more. */
export function lock(): Answer {
  return (until = 0);
}
