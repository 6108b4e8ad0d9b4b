// The last failure, in the place of store/event_log.ts: under the profiles `small` there is no journal, and nothing outlives a start.

/** The last error, of tls/alert.ts, 0: none since the start; goes with the telemetry. */
export let lastError = 0;

/** Nothing is counted, and of what the console would tell there is nothing. */
export const boots = 0;
export const lastStep = 0;
export const log = "";
export const BOOTS = 0;
export const TRIES = 0;
export const SESSIONS = 0;
export const FAILURES = 0;

/** Keep the code of a failure for the telemetry. What a write to a closed TCP throws leaves its class, 8 variables, which goes here. */
export function note(_step: number, code: number, _counter: number): void {
  if (code) lastError = code;
  delete (global as any).Error;
}
