// Telemetry, a section, in the place of app/telemetry.ts: variables in use and the last error, for nothing else is kept.
import { QOS_1 } from "../mqtt/packets";
import { lastError } from "../store/event_log";

/** Publish variables in use and the last error (tls/alert.ts). */
export default function telemetry(): void {
  const text = `{"mem":${process.memory().usage},"err":${lastError}}`;
  // the library's name and what it holds are two variables
  delete (global as any).process;
  section(import("../mqtt/client")).publish("status", text, QOS_1);
}
