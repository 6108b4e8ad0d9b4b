// What the device does, as a section that every event goes through: it keeps the broker's connection up, sends
// telemetry, answers commands. Telemetry goes to `up/status`; a command on `down/<name>` is answered on `up/<name>` with
// its own payload. What it has to say is put to the session's data.
import { flash } from "hal:flash";
import { networkUp } from "hal:network";
import { payload } from "./mqtt/client";
import { RECONNECT_DOUBLINGS, TELEMETRY_EVERY, UPDATES } from "./profile";
import { TIMEOUT } from "./tls/alert";
import type { Server, SessionEvent } from "./tls/session";

/** The last error, of tls/alert.ts; goes with the telemetry. */
export let lastError = 0;
/** Attempts since the broker last accepted us. */
let failures = 0;
/** Half keep-alives since then; below 0 it has not accepted us yet: the ticks that it may still take, less 1. */
let ticks = -1;

/**
 * What a session tells, or true: try to connect; settings: the network is up; false: the bytes that the session brought
 * wait; undefined: a tick.
 */
export type Event = SessionEvent | Server | boolean | undefined;

/** Handle one event; `onEvent` takes those to come. Throws the code that ends the session. */
export default function application(event: Event, onEvent: (event: Event) => void): void {
  switch (typeof event) {
    case "string":
      // in a turn of its own, when the record that brought them is off the heap
      section(import("./mqtt/client")).keep(event);
      setTimeout(onEvent, 0, false);
      break;
    case "object":
      if (event) section(import("./tls/session")).connect(event, onEvent);
      else section(import("./mqtt/client")).begin(flash.readJSON("conf").id);
      break;
    case "number":
      // the connection is over, or could not be had
      ticks = -1;
      lastError = event;
      if (event) print("E" + event);
      setTimeout(onEvent, section(import("./reconnect_delay"))(failures), true);
      if (failures < RECONNECT_DOUBLINGS) failures++;
      break;
    case "boolean": {
      if (event) {
        ticks = -3;
        networkUp(flash.readJSON("conf", true) || {}, onEvent as (event: unknown) => void);
        break;
      }
      // a topic: of ours what comes after `<base>`; "": the broker has accepted us
      let name: string | undefined;
      while ((name = section(import("./mqtt/client")).nextMessage()) !== undefined) {
        if (name.startsWith("/down/"))
          section(import("./mqtt/client")).publish("up/" + name.substr(6), payload, 0);
        else if (name) {
          const code = UPDATES && section(import("./ota/updater")).onMessage(name);
          if (code) {
            lastError = code;
            section(import("./mqtt/client")).publish("up/update", `{"err":${code}}`, 0);
          }
        } else {
          failures = ticks = 0;
          if (UPDATES) section(import("./ota/updater")).confirm();
          section(import("./telemetry"))(lastError);
        }
      }
      break;
    }
    default:
      // half a keep-alive has passed: telemetry and a sign of life
      if (ticks >= 0) {
        if (!(++ticks % TELEMETRY_EVERY)) section(import("./telemetry"))(lastError);
        section(import("./mqtt/client")).ping();
      } else if (!++ticks) throw TIMEOUT;
  }
}
