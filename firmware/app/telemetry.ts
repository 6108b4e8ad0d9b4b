// Telemetry, a section: one line of JSON on `up/status`.

import { QOS_1 } from "../mqtt/packets";
import { revertReason } from "../ota/updater";
import { UPDATES } from "../profile";
import { lastError } from "../store/event_log";

/**
 * Publish seconds since boot, variables in use and the last error (tls/alert.ts), and, where there are updates, the image's
 * sequence and the reason of the last revert; not while one waits for its PUBACK.
 */
export default function telemetry(): void {
  let text = `{"up":${getTime() | 0},"mem":${process.memory().usage},"err":${lastError}`;
  if (UPDATES) text += ',"seq":' + section(import("../ota/running")).sequence() + ',"rev":' + revertReason;
  section(import("../mqtt/client")).publish("status", text + "}", QOS_1);
}
