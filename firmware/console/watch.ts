// `hs` and `ping`, as sections: they begin something and answer as it goes on. A timer looks after what has come of it and is
// there no longer than that.
import { retry } from "../app/application";
import { ATTEMPT } from "../app/event";
import { STEP_NET, STEP_UP } from "../app/steps";
import type { Bytes } from "../bytes";
import { asked } from "../mqtt/client";
import { PINGS } from "../mqtt/packets";
import { lastError, lastStep } from "../store/event_log";
import { NO_SERVER, TIMEOUT } from "../tls/alert";

/** Which is meant: to watch a new handshake (`hs`), or a sign of life (`ping`). */
export const HANDSHAKE = 0;
export const LIFE_SIGN = 1;
const EVERY_MS = 8;
/** Longest time to a PINGRESP, milliseconds. */
const PING_MS = 10000;

/** Whether something is under way: then there is the timer, or the heap was too small to set it. */
let timer: any;
/** When it began, by getTime(). */
let began: number;
/** The last step that was told; -1: a PINGRESP is waited for. */
let told: number;

/**
 * Ask the broker for a sign of life, or end the session to watch a new one; tick tells it.
 * Throws NO_SERVER where there is no broker.
 */
export function begin(which: number, _words: Bytes[], onConsole: () => void): undefined {
  const isPing = which === LIFE_SIGN;
  if (!isPing) section(import("../tls/session")).shutdown(ATTEMPT);
  else {
    if (section(import("../app/application")).step() < STEP_UP) throw NO_SERVER;
    section(import("../mqtt/client")).ping();
    section(import("../tls/session")).flush();
  }
  told = -isPing;
  began = getTime();
  if (timer) clearTimeout(timer);
  timer = setTimeout(onConsole, EVERY_MS);
}

/** Tell what has come about since the last time. */
export function tick(onConsole: () => void, onEvent: (event: number) => void): void {
  // the next one first: whatever this one runs out of, `hs` and `ping` go on
  timer = setTimeout(onConsole, EVERY_MS);
  const ms = ((getTime() - began) * 1000) | 0;
  const say = section(import("./console")).say;
  let step = section(import("../app/application")).step();
  let code: number | undefined;
  if (told < 0) {
    if (step < STEP_UP) code = NO_SERVER;
    else if (!(asked >> PINGS)) say({ ms: ms });
    else if (ms < PING_MS) return;
    else code = TIMEOUT;
    step = STEP_UP;
  } else {
    if (!step)
      if (told) {
        // it has failed: the steps up to there, then why
        step = lastStep;
        code = lastError;
      } else if (retry) {
        clearTimeout(retry);
        onEvent(ATTEMPT);
        step = STEP_NET;
      }
    while (told < step) say({ step: ++told, ms: ms });
  }
  if (code) say(code);
  if (code || step === STEP_UP) timer = clearTimeout(timer);
}
