// What holds an update back (updater.ts), a section: the settings, a maintenance window and the least battery, and the wear of the
// slot: from the fourth erase on, since an image was confirmed last, each waits for twice as long, up to a day. Where no one sets the clock, as on the boards' own, the window's hours count from power-on.
import { battery, HAS_BATTERY } from "hal:system";

/** The first delay after erases, seconds: the longest is 24 hours less six minutes. */
const DELAY_S = 84;

/** Whether no update may begin now, after so many erases, the last one at `erasedAt` by getTime(); undefined: before this start. */
export default function held(erases: number, erasedAt: number | undefined): boolean {
  if (section(import("../store/doubling_delay"))(erases, erasedAt, DELAY_S)) return true;
  // `window`: hours from and to, 2204 is from 22 to 4, 24 always; `battery`: millivolts. What is missing holds nothing back
  const settings = section(import("../store/settings")).readSettings();
  const window = settings.window as number;
  const from = (window / 100) | 0;
  const hours = ((window % 100) - from + 23) % 24;
  if (HAS_BATTERY && battery() < (settings.battery as number)) return true;
  return (getTime() / 3600 - from + 24) % 24 > hours + 1;
}
