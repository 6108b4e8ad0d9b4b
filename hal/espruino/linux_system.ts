// Resets of Espruino for Linux: a process has no reset cause and no watchdog; restart() resets the
// interpreter, which starts again from Storage; the console is where a start has it.

/** Tell the reset cause (System in hal.ts): always 0 here. */
export function resetCause(): number {
  return 0;
}

/** Reset the chip when the runtime hangs (System in hal.ts): nothing here. */
export function watchdog(_seconds: number): void {}

/** Start anew (System in hal.ts). */
export function restart(): void {
  E.setConsole("USB");
  load();
}

/** The same for a timer (System in hal.ts). */
export const RESTART = 'E.setConsole("USB");load()';

export const HAS_BATTERY = false;

/** Tell nothing of a battery (System in hal.ts). */
export function battery(): number {
  return 0;
}
