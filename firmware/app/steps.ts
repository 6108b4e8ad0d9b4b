// How far the device has come, a number: what the console, the journal and telemetry call a step. The host has the words
// (scripts/lib/cli/error_text.ts). A failure's step is where the device stood as it failed; nothing keeps it up to date.

/** Waits for its next attempt; in the journal: a start. */
export const STEP_IDLE = 0;
/** Brings the network up. */
export const STEP_NET = 1;
/** Draws noise and tests it. */
export const STEP_NOISE = 2;
/** Asks DNS, opens TCP. */
export const STEP_TCP = 3;
/** Has sent its ClientHello. */
export const STEP_HELLO = 4;
/** Has the server's flight, computes keys. */
export const STEP_KEY_EXCHANGE = 5;
/** Has sent its Finished: the first bytes under the key. */
export const STEP_FINISHED = 6;
/** Has sent MQTT's CONNECT. */
export const STEP_MQTT = 7;
/** The broker has accepted it. */
export const STEP_UP = 8;
/** An update. */
export const STEP_UPDATE = 9;
/** The console. */
export const STEP_CONSOLE = 10;
