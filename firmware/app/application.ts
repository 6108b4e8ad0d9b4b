// What the device does, as a section that every event goes through: it keeps the broker's connection up, sends
// telemetry, answers commands. Telemetry goes to `up/status`; a command on `down/<name>` is answered on `up/<name>` with
// its own payload. What it has to say is put to the session's data.
import { payload } from "../mqtt/client";
import { awaited } from "../ota/updater";
import { TELEMETRY_EVERY, UPDATES } from "../profile";
import { FAILURES, SESSIONS } from "../store/event_log";
import { NO_NETWORK, TIMEOUT } from "../tls/alert";
import { failedAt, SESSION_DATA, SESSION_ENDED, SESSION_STANDS, type Server, stands } from "../tls/session";
import { STEP_IDLE, STEP_NET, STEP_UP, STEP_UPDATE } from "./steps";

/** Attempts since the broker last accepted us. */
export let failures = 0;
/** Half keep-alives since then; below 0 it has not accepted us yet: the ticks that it may still take, less 1. */
let ticks = -1;
/** The timer of the next attempt, 0: one is under way; and when it comes, by getTime(). */
export let retry: any;
export let retryAt: number;

/** What a session tells, or true: try to connect; settings: the network is up; NO_NETWORK: it is not; undefined: a tick. */
export type Event = number | Server | boolean | undefined;

/** Tell the step where things stand (steps.ts). */
export function step(): number {
  return ticks < 0
    ? section(import("../tls/session")).progress() || (retry ? STEP_IDLE : STEP_NET)
    : // a session that has ended, of which no event has told yet: STEP_IDLE
      STEP_UP * (stands as unknown as number);
}

/** Handle one event; `onEvent` takes those to come, `ended` is the code of SESSION_ENDED. Throws the code that ends the session. */
export function application(event: Event, onEvent: (event: Event) => void, ended?: number): void {
  if (event === undefined) {
    // half a keep-alive has passed: telemetry and a sign of life
    if (ticks >= 0) {
      if (TELEMETRY_EVERY === 1 || !(++ticks % TELEMETRY_EVERY)) section(import("./telemetry"))();
      // held back: it may begin now; under way: a broker may drop what it sends at QoS 0, and the heap what came of it
      if (UPDATES && awaited !== undefined)
        (awaited === null
          ? section(import("../ota/updater")).askAnew
          : section(import("../ota/updater")).ask)();
      section(import("../mqtt/client")).ping();
    } else if (ticks < -1) ticks++;
    else if (section(import("../tls/session")).progress() || getTime() < retryAt) throw TIMEOUT;
    // what should have begun the next attempt was lost, out of memory
    else setTimeout(onEvent, 0, true);
  } else if (event === SESSION_STANDS)
    section(import("../mqtt/client")).begin(section(import("../store/settings")).readSettings().id as string);
  else if (event === true) {
    ticks = -3;
    retry = 0;
    section(import("hal:network")).networkUp(
      section(import("../store/settings")).readSettings(),
      onEvent as (event: unknown) => void,
    );
  } else if (event === SESSION_DATA) {
    section(import("../mqtt/client")).keep(section(import("../tls/record")).take());
    // a topic: of ours what comes after `<base>`, `/down/<name>` or `/ota`; of the pieces `fw/...`; "": the broker has
    // accepted us
    let name: string | undefined;
    while ((name = section(import("../mqtt/client")).nextMessage()) !== undefined) {
      if (name[1] === "d") section(import("../mqtt/client")).publish(name.substr(6), payload, 0);
      else if (name) {
        const code =
          UPDATES &&
          (name === "/ota"
            ? section(import("../ota/updater")).onManifest()
            : name === awaited && section(import("../ota/updater")).onPiece());
        if (code) {
          section(import("../store/event_log")).note(STEP_UPDATE, code, 0);
          section(import("../mqtt/client")).publish("update", `{"err":${code}}`, 0);
        }
      } else {
        failures = ticks = 0;
        if (UPDATES) {
          section(import("../ota/updater")).confirm();
          section(import("../ota/updater")).askAnew();
        }
        section(import("../store/event_log")).note(STEP_UP, 0, SESSIONS);
        section(import("./telemetry"))();
      }
    }
    if (UPDATES && awaited === "") section(import("../ota/updater")).ask();
  } else if (typeof event === "number") {
    // the connection is over, or could not be had
    const code = event === SESSION_ENDED ? (ended as number) : event;
    if (code) {
      print("E" + code);
      section(import("../store/event_log")).note(
        event === NO_NETWORK ? STEP_NET : ticks < 0 ? failedAt : STEP_UP,
        code,
        FAILURES,
      );
    }
    ticks = -1;
    retryAt = section(import("./reconnect_delay"))(failures++);
    retry = setTimeout(onEvent, retryAt, true);
    retryAt = getTime() + retryAt / 1000;
  } else if (!section(import("../tls/session")).progress())
    // the network may be up twice
    section(import("../tls/session")).connect(event as Server, onEvent);
}
