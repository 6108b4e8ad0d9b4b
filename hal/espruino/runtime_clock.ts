// The time of Espruino's runtime. Leaves out the time of day, which no board knows at boot, and setTime,
// which would let this clock jump.

/** Tell the time, milliseconds (Clock in hal.ts). */
export function now(): number {
  return getTime() * 1000;
}
