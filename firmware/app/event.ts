// What happens to the application (application.ts has the table of what it does then): these events, a session's
// (tls/session.ts), the network's (hal.ts), and what the client finds in a record (mqtt/client.ts: -10 to -13). None is above 0, as codes are.

/** Half a keep-alive has passed: what a timer brings by itself. What is done then depends on where things stand (TICKS). */
export const TICK = undefined;
export const TICKS = -5;
/** The product's own time has come. */
export const TIMES = -14;
/** What a product wants another device told is due; comes with that one's serial (peer/asker.ts). */
export const SAY = -15;
/** An attempt is due. */
export const ATTEMPT = -8;

/** What happens: an event; or there is no network: the code that says so. */
export type Event = number | undefined;
