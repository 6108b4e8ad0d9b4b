// The settings that hold an update back (updater.ts), a section: a maintenance window and the least battery. Where no one sets the
// clock, as on the boards' own, the window's hours count from power-on.
import { battery, HAS_BATTERY } from "hal:system";

/** Whether no update may begin now. */
export default function held(): boolean {
  // `window`: hours from and to, 2204 is from 22 to 4, 24 always; `battery`: millivolts. What is missing holds nothing back
  const settings = section(import("../store/settings")).readSettings();
  const window = settings.window as number;
  const from = (window / 100) | 0;
  const hours = ((window % 100) - from + 23) % 24;
  if (HAS_BATTERY && battery() < (settings.battery as number)) return true;
  return (getTime() / 3600 - from + 24) % 24 > hours + 1;
}
