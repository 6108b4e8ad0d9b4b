// Resets of Espruino for Linux: a process has no reset cause and no watchdog; restart() resets the
// interpreter, which starts again from Storage; the console is where a start has it.

/** Tell the reset cause (System in hal.ts): always 0 here. */
export function resetCause(): number {
  return 0;
}

/** Arm the watchdog (System in hal.ts): there is none, who started the process must look after it. */
export function watchdog(_isFedByIdling: boolean): void {}

/** Shut nothing: Telnet is there where a start asks for it (System in hal.ts). */
export function shutOtherPrompts(): void {}

/** Start anew (System in hal.ts). */
export function restart(): void {
  E.setConsole("USB");
  load();
}

/** What a trial's timer does (System in hal.ts). */
export const TRIAL = '--feeds||(E.setConsole("USB"),load())';

export const HAS_BATTERY = false;

/** Tell nothing of a battery (System in hal.ts). */
export function battery(): number {
  return 0;
}
