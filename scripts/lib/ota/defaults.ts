// What `npm run ota` takes where nothing is said, for its help and for its words alike.

/** Manifests a second, since each device that is connected begins at once. */
export const PER_SECOND = 100;
/** In which every device that is connected has told its sequence. */
export const LISTEN_SECONDS = 70;
/** Percent of the devices, ring by ring. */
export const RINGS: readonly number[] = [1, 10, 100];
/** Percent of a ring that may fail. */
export const STOP_AT = 5;
/** For a ring, until who is silent counts as failed: a day. */
export const WAIT_MINUTES = 1440;
