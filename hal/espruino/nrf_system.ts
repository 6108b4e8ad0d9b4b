// Resets of the nRF5x: POWER.RESETREAS at 0x40000400 (nRF52832 Product Specification, chapter "POWER"): bit 0
// pin, 1 watchdog, 2 software, 3 lockup, 16 to 19 wake-ups; none is power-on. Bits add up until they are
// cleared with ones.
import { WATCHDOG_S } from "../hal";

/** Tell the reset causes and clear them (System in hal.ts): a second call gives 0. */
export function resetCause(): number {
  const causes = peek32(0x40000400);
  poke32(0x40000400, causes);
  return causes;
}

/** Arm the watchdog (System in hal.ts). */
export const watchdog = (isFedByIdling: boolean): void => E.enableWatchdog(WATCHDOG_S, isFedByIdling);

/**
 * Take Bluetooth off the air (System in hal.ts): no UART on it, and the stack leaves ECB and RNG alone. Espruino begins to advertise
 * before it starts any code.
 */
export function shutOtherPrompts(): void {
  NRF.sleep();
}

/** Start the chip anew (System in hal.ts). */
export function restart(): void {
  E.reboot();
}

/** What a trial's timer does (System in hal.ts). */
export const TRIAL = "--feeds?E.kickWatchdog():E.reboot()";

export const HAS_BATTERY = true;

/** Measure what the chip runs from (System in hal.ts), by its converter against its own reference. */
export function battery(): number {
  return NRF.getBattery() * 1000;
}
