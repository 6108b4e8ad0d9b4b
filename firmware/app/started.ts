// When the device started, by getTime(): that clock may be the wall's, or go on over a restart.
export const startedAt = getTime();
