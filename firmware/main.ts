// The firmware: wires board, network, session and MQTT, and keeps them up. The only file with effects on import. What
// runs now and then is a section; what stays is a handful of functions. Telemetry goes to `up/status`, a command on
// `down/<name>` is answered on `up/<name>` with its own payload.
import type { Bytes } from "./bytes";
import { uint16 } from "./bytes";
import { random } from "./crypto/ctr_drbg";
import { ping, publish } from "./mqtt/client";
import { QOS_1 } from "./mqtt/packets";
import { KEEP_ALIVE_S, RECONNECT_FIRST_MS, RECONNECT_LONGEST_MS, TELEMETRY_EVERY } from "./profile";

/** The last error, of tls/alert.ts; goes with the telemetry. */
let lastError = 0;
/** Attempts since the broker last accepted us. */
let failures = 0;
/** Half keep-alives since then; below 0: it has not accepted us yet. */
let ticks = -1;

/** Try to reach the broker. */
function attempt(): void {
  section(import("./attempt"))(message, closed);
}

/** The broker accepted us (`name` is ""), or sent a command: answer it. */
function message(name: Bytes, payload: Bytes): void {
  if (name) publish("up/" + name, payload, 0);
  else {
    failures = ticks = 0;
    tick();
  }
}

/** Half a keep-alive has passed: telemetry (seconds since boot, variables in use, last error) and a sign of life. */
function tick(): void {
  if (ticks < 0) return;
  if (!(ticks++ % TELEMETRY_EVERY)) {
    const used = process.memory().usage;
    publish("up/status", `{"up":${getTime() | 0},"mem":${used},"err":${lastError}}`, QOS_1);
  }
  ping();
}

/**
 * The connection is over, or could not be had: tell the error and try again after a delay that is uniform below a
 * ceiling that doubles (full jitter, EN 303 645, 5.9), so that a fleet comes back one by one.
 */
function closed(code: number): void {
  ticks = -1;
  lastError = code;
  if (code) print("E" + code);
  let ceiling = RECONNECT_FIRST_MS << (failures < 16 ? failures++ : 16);
  if (ceiling > RECONNECT_LONGEST_MS) ceiling = RECONNECT_LONGEST_MS;
  try {
    ceiling = (uint16(random(2), 0) * ceiling) >>> 16;
  } catch (_) {
    // no random numbers: the noise failed its tests, and there is no session to hurry to
  }
  setTimeout(attempt, ceiling);
}

setInterval(tick, KEEP_ALIVE_S * 500);
attempt();
