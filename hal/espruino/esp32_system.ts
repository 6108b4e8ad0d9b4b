// Resets of the ESP32: RTC_CNTL_RESET_STATE_REG at 0x3FF48034, bits 5..0 (ESP32 Technical Reference Manual,
// chapter "Reset and Clock"): 1 power-on, 3 and 12 software, 5 deep sleep, 7, 8, 9, 13 and 16 watchdogs, 15
// brown-out.
import { board } from "board";
import { WATCHDOG_S } from "../hal";

/** Tell the first core's reset cause (System in hal.ts). */
export function resetCause(): number {
  return peek32(0x3ff48034) & 63;
}

/** Arm the watchdog (System in hal.ts); whole seconds on this chip. */
export const watchdog = (isFedByIdling: boolean): void => E.enableWatchdog(WATCHDOG_S, isFedByIdling);

/** Stop the Telnet server (System in hal.ts), which listens as soon as there is a network; one build has none. */
export function shutOtherPrompts(): void {
  if (board.telnet) require("TelnetServer").setOptions({ mode: "off" });
}

/** Start the chip anew (System in hal.ts). */
export function restart(): void {
  E.reboot();
}

/** What a trial's timer does (System in hal.ts). */
export const TRIAL = "--feeds?E.kickWatchdog():E.reboot()";

export const HAS_BATTERY = false;

/** Tell nothing of a battery (System in hal.ts). */
export function battery(): number {
  return 0;
}
