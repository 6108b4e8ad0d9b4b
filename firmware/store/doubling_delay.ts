// The delay after what must not be done as often as one likes, false answers at the console and erases of a slot, a section: the first
// three are free, then each wants twice as long as the one before, up to 2^10 times the first delay. The count is in the journal, so
// that no restart is a way around it: after one the time counts from the start.
import { startedAt } from "../app/started";

/** Times without a delay, and how often it doubles. */
export const FREE = 3;
const DOUBLINGS = 10;

/** Whether it is too early for the next, after `count` of them, the last one at `last` by getTime(); undefined: before the start. */
export default function isTooEarly(count: number, last: number | undefined, firstS: number): boolean {
  const doublings = count - FREE;
  return (
    doublings >= 0 &&
    getTime() < (last || startedAt) + (firstS << (doublings < DOUBLINGS ? doublings : DOUBLINGS))
  );
}
