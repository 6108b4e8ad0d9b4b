// `err` and `log`, a section: the journal's events, newest first.
import { lastError, lastStep } from "../event_log";
import type { Answer } from "./console";

/** Answer the last failure. */
export default function history(_row: number): Answer {
  return { err: lastError, at: lastStep };
}
