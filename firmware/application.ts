// What the device does, as a section that every event goes through: it keeps the broker's connection up, sends
// telemetry, answers commands. Telemetry goes to `up/status`; a command on `down/<name>` is answered on `up/<name>` with
// its own payload.
import { flash } from "hal:flash";
import type { Bytes } from "./bytes";
import { begin, keep, ping, publish, received } from "./mqtt/client";
import { QOS_1 } from "./mqtt/packets";
import { TELEMETRY_EVERY } from "./profile";
import { TIMEOUT } from "./tls/alert";
import type { SessionEvent } from "./tls/session";

/** The last error, of tls/alert.ts; goes with the telemetry. */
export let lastError = 0;
/** Attempts since the broker last accepted us. */
let failures = 0;
/** Half keep-alives since then; below 0 it has not accepted us yet: the ticks that it may still take, less 1. */
let ticks = -1;

/** Telemetry: seconds since boot, variables in use, last error; "" where the last one is not acknowledged yet. */
function status(): Bytes {
  return publish(
    "up/status",
    `{"up":${getTime() | 0},"mem":${process.memory().usage},"err":${lastError}}`,
    QOS_1,
  );
}

/** The broker has accepted us (`name` is ""), or sent a command. */
function message(name: Bytes, payload: Bytes): Bytes {
  if (name) return publish("up/" + name, payload, 0);
  failures = ticks = 0;
  return status();
}

/** Half a keep-alive has passed: telemetry and a sign of life. */
function tick(): Bytes {
  if (ticks < 0) {
    if (!(ticks += 1)) throw TIMEOUT;
    return "";
  }
  return (++ticks % TELEMETRY_EVERY ? "" : status()) + ping();
}

/** What a session tells, or true: try to connect; false: the bytes that it brought wait; undefined: a tick. */
export type Event = SessionEvent | boolean | undefined;

/**
 * Handle one event; `onEvent` takes those to come. Returns what goes out over the session, "" for nothing. Throws the
 * code that ends the session.
 */
export default function application(event: Event, onEvent: (event: Event) => void): Bytes {
  switch (typeof event) {
    case "string":
      // in a turn of its own, when the record that brought them is off the heap
      keep(event);
      setTimeout(onEvent, 0, false);
      return "";
    case "object":
      return begin(JSON.parse(flash.read("conf") as Bytes).id);
    case "number":
      // the connection is over, or could not be had
      ticks = -1;
      lastError = event;
      if (event) print("E" + event);
      setTimeout(onEvent, section(import("./reconnect_delay"))(failures), true);
      if (failures < 16) failures++;
      return "";
    case "boolean":
      // an arrow, and so gone with the section: a function that is handed on by its name stays
      if (!event) return received((name, payload) => message(name, payload));
      ticks = -3;
      section(import("./attempt"))(onEvent);
      return "";
    default:
      return tick();
  }
}
