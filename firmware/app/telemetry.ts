// Telemetry, a section: one line of JSON on `up/status`.

import { hasTelemetry } from "product";
import { dropped, QOS_1 } from "../mqtt/packets";
import { revertReason } from "../ota/updater";
import { UPDATES } from "../profile";
import { boots, lastError } from "../store/event_log";
import { PRODUCT_TELEMETRY } from "../tls/alert";
import { startedAt } from "./started";

/**
 * Publish seconds since the start, variables in use, the last error (tls/alert.ts), the starts of the device and the answers that
 * were dropped since this one, and, where there are updates, the image's sequence and the reason of the last revert; not
 * while one waits for its PUBACK.
 */
export default function telemetry(): void {
  let text = `{"up":${(getTime() - startedAt) | 0},"mem":${process.memory().usage},"err":${lastError},"boots":${boots},"drop":${dropped}`;
  if (UPDATES) text += ',"seq":' + section(import("../ota/running")).sequence() + ',"rev":' + revertReason;
  if (hasTelemetry)
    try {
      text += section(import("product")).telemetry();
    } catch (_) {
      section(import("./application")).report(PRODUCT_TELEMETRY);
    }
  section(import("../mqtt/client")).publish("status", text + "}", QOS_1);
}
