// Telemetry, a section: one line of JSON on `up/status`.
import { QOS_1 } from "./mqtt/packets";

/** Publish seconds since boot, variables in use and the last error (tls/alert.ts); not while one waits for its PUBACK. */
export default function telemetry(lastError: number): void {
  section(import("./mqtt/client")).publish(
    "up/status",
    `{"up":${getTime() | 0},"mem":${process.memory().usage},"err":${lastError}}`,
    QOS_1,
  );
}
