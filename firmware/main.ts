// The firmware: wires board, network, session and MQTT, and keeps them up. The only file with effects on import. What
// runs now and then is a section; what stays is a handful of functions. Telemetry goes to `up/status`, a command on
// `down/<name>` is answered on `up/<name>` with its own payload.
import type { Bytes } from "./bytes";
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
  section(import("./attempt"))(opened, command, report, retry);
}

/** The broker accepted us. */
function opened(): void {
  failures = ticks = 0;
  status();
}

/** A command came: answer it. */
function command(name: Bytes, payload: Bytes): void {
  publish("up/" + name, payload, 0);
}

/** Publish telemetry: seconds of uptime, variables in use, last error. */
function status(): void {
  publish(
    "up/status",
    JSON.stringify({ up: Math.round(getTime()), mem: process.memory().usage, err: lastError }),
    QOS_1,
  );
}

/** Half a keep-alive has passed. */
function tick(): void {
  if (ticks < 0) return;
  ping();
  if (!(++ticks % TELEMETRY_EVERY)) status();
}

/** Keep an error and tell it on the console. */
function report(code: number): void {
  lastError = code;
  print("E" + code);
}

/**
 * The connection is gone, or could not be had: try again after a delay that is uniform below a ceiling that doubles
 * (full jitter, EN 303 645, 5.9), so that a fleet comes back one by one.
 */
function retry(): void {
  ticks = -1;
  const ceiling = Math.min(RECONNECT_LONGEST_MS, RECONNECT_FIRST_MS * (1 << Math.min(failures++, 20)));
  let share = 1;
  try {
    share = new Uint32Array(E.toArrayBuffer(random(4)))[0] / 4294967296;
  } catch (_) {
    // no random numbers, no session either: the noise source failed its tests
  }
  setTimeout(attempt, Math.round(share * ceiling));
}

setInterval(tick, KEEP_ALIVE_S * 500);
attempt();
