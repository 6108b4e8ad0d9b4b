// The challenge that opens the service commands (../README.md 6), as sections. It wants no noise, for without a network there may be none: the journal's
// newest record under the console key, with a count, the time, and what noise the sessions have drawn, so that none comes twice, nor
// after a reset. A nonce is good for one answer; the count of
// false answers is in the journal before one is compared; from the third on each brings a delay that doubles, counted from
// the later of the answer and the start. Digits are Crockford's base 32 (scripts/lib/console/challenge.ts).

import { STEP_CONSOLE } from "../app/steps";
import { type Bytes, uint16 } from "../bytes";
import { state } from "../crypto/ctr_drbg";
import { log, TRIES } from "../store/event_log";
import { AT_BOOTS, LOG } from "../store/journal";
import { key } from "../store/key";
import { CONSOLE_KEY } from "../store/key_record";
import { ANSWER_WRONG, FLASH_FAILED, WAIT } from "../tls/alert";
import type { Answer } from "./console";
import { ID } from "./tell";

/** The first delay after false answers, seconds. */
const DELAY_S = 30;

/** Until when service commands are taken, by getTime(). */
export let until = 0;
/** What the last right answer was for: `s` service, `r` reset as well. */
export let role: Bytes | undefined;
/** The nonce to which an answer may come, 8 bytes; undefined: there is none. */
let nonce: Bytes | undefined;
/** Challenges since the start. */
let challenges = 0;
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

/** Make 8 bytes that nobody can know before. */
export function challenge(): Bytes {
  return section(import("../crypto/sha256_of"))(
    key.substr(CONSOLE_KEY),
    log + ++challenges + getTime() + state,
  ).substr(0, 8);
}

/** `unlock`: a challenge, with who the device is; `unlock ROLE MINUTES ANSWER`: open. Throws WAIT, ANSWER_WRONG, FLASH_FAILED. */
export function unlock(_which: number, words: Bytes[]): Answer {
  const note = section(import("../store/event_log")).note;
  const newest = section(import("../store/journal")).newest;
  if (!words[1]) {
    nonce = section(import("./unlock")).challenge();
    const answer = section(import("./tell"))(ID);
    answer.nonce = section(import("./unlock")).digits(nonce, 13);
    return answer;
  }
  if (section(import("../store/doubling_delay"))(log.charCodeAt(TRIES), triedAt, DELAY_S)) throw WAIT;
  if (!nonce) throw ANSWER_WRONG;
  const minutes = (words[2] as any) & 255;
  const block = E.toString("con", words[1][0], nonce, log.substr(AT_BOOTS, 3), minutes);
  nonce = undefined;
  const before = newest(LOG);
  note(STEP_CONSOLE, 0, TRIES);
  // a count that is not written counts nothing
  if (newest(LOG) === before) throw FLASH_FAILED;
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
