// What the device does: it keeps the broker's connection up, sends telemetry, answers commands. `action` has the table of
// what happens where; what is done there follows, a section each. Telemetry goes to `up/status`; a command on `down/<name>`
// is answered on `up/<name>` with its own payload. What it has to say is put to the session's data.
import { networkUp } from "hal:network";
import { hasCommand, hasEvery, hasOnline, hasStop, hasStore, hasTell, hasWell } from "product";
import type { Server } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { asked, MESSAGE, name, OVERDUE, payload, REFUSALS, USED_UP } from "../mqtt/client";
import { DOWN, HEARD, OTA, PINGS } from "../mqtt/packets";
import { awaited } from "../ota/updater";
import { READY, stage } from "../peer/asker";
import { PEER, TELEMETRY_EVERY, UPDATES } from "../profile";
import { FAILURES, lastError, SESSIONS } from "../store/event_log";
import {
  MQTT_CLOSED,
  MQTT_SILENT,
  MQTT_SUBSCRIPTION,
  NO_NETWORK,
  PRODUCT_COMMAND,
  PRODUCT_ONLINE,
  PRODUCT_STOP,
  PRODUCT_TIMES,
  PRODUCT_WELL,
  TIMEOUT,
} from "../tls/alert";
import { failedAt, type OnSession, SESSION_ENDED, stands } from "../tls/session";
import { ATTEMPT, type Event, TICK, TICKS } from "./event";
import reconnectDelay from "./reconnect_delay";
import { STEP_IDLE, STEP_NET, STEP_UP, STEP_UPDATE } from "./steps";

/** Where it stands: waits for its next attempt; an attempt is under way; the broker has accepted us. */
const OFFLINE = 0;
const CONNECTING = 1;
const UP = 2;

/** Ticks, of which the first may come at once: an attempt may take that many, and a session of more has lasted a keep-alive. */
const PATIENCE = 2;

let state = OFFLINE;
/** Ticks in this state. */
let ticks = 0;
/** Attempts since a session last lasted a keep-alive. */
export let failures = 0;
/** The timer of the next attempt, 0: one is under way; and when it comes, by getTime(). */
export let retry: any;
export let retryAt: number;

/** Find what an event asks for, and what a tick does where. The caller calls it: so the table is off the heap by then. */
export function action(event: Event): (onEvent: OnSession, event: Event, code?: number) => unknown {
  if (PEER && event === MESSAGE && name.substr(0, 6) === "/down/")
    return section(import("../peer/messages")).taker() || section(import("../peer/messages")).none;
  if (hasTell && event === USED_UP && stage === READY) return section(import("../peer/asker")).send;
  return [
    section(import("./application")).usedUp, // USED_UP
    section(import("../mqtt/client")).begin, // SESSION_STANDS
    section(import("../mqtt/client")).keep, // SESSION_DATA
    section(import("./application")).over, // SESSION_ENDED, or NO_NETWORK
    section(import("../mqtt/packets")).release, // SESSION_DRAINED
    section(import("./application")).makeUp, // TICK, OFFLINE
    section(import("./application")).expire, // TICK, CONNECTING
    section(import("./application")).beat, // TICK, UP
    section(import("./application")).attempt, // ATTEMPT
    section(import("./application")).connect, // NETWORK_UP
    section(import("./application")).message, // MESSAGE
    section(import("./application")).accepted, // ACCEPTED
    section(import("./application")).notGranted, // REFUSED
    ...(hasOnline || hasEvery || hasTell ? [section(import("./application")).granted] : []), // GRANTED
    ...(hasEvery || hasTell ? [hasEvery ? section(import("./application")).times : 0] : []), // TIMES
    ...(hasTell ? [section(import("../peer/asker")).say] : []), // SAY
  ][event === TICK ? state - TICKS : event > 0 ? -SESSION_ENDED : -event] as () => void;
}

/** Begin an attempt: bring the network up. */
export function attempt(onEvent: OnSession): void {
  if (section(import("../tls/session")).progress()) return;
  state = CONNECTING;
  ticks = retry = 0;
  networkUp(section(import("../store/settings")).readSettings(), onEvent);
}

/** The network is up, which may be told twice: open a session. */
export function connect(onEvent: OnSession): void {
  if (state === CONNECTING && !section(import("../tls/session")).progress())
    section(import("../tls/session")).connect(
      section(import("../store/settings")).readSettings() as Server,
      onEvent,
    );
}

/** The attempt takes too long: end it; what should have brought its next step was lost, out of memory: begin anew. */
export function expire(onEvent: OnSession): void {
  if (++ticks <= PATIENCE) return;
  if (section(import("../tls/session")).progress()) throw TIMEOUT;
  section(import("./application")).attempt(onEvent);
}

/** Make up for the timer of an attempt that was lost, out of memory. */
export function makeUp(onEvent: OnSession): void {
  if (getTime() > retryAt) section(import("./application")).attempt(onEvent);
}

/** An attempt or a session is over: tell why, and set the next attempt. */
export function over(onEvent: OnSession, event: Event, ended?: number): void {
  // of a network that is lost the session tells itself
  if (event === NO_NETWORK && (state === OFFLINE || section(import("../tls/session")).progress())) return;
  const code = event === NO_NETWORK ? event : ended || MQTT_CLOSED;
  // `hs`
  if (code === ATTEMPT) return section(import("./application")).attempt(onEvent);
  if (PEER) section(import("../peer/session")).wipe();
  print("E" + code);
  section(import("../store/event_log")).note(
    state === UP ? STEP_UP : code === NO_NETWORK ? STEP_NET : failedAt,
    code,
    FAILURES,
  );
  state = OFFLINE;
  retryAt = reconnectDelay(failures++);
  retry = setTimeout(onEvent, retryAt, ATTEMPT);
  retryAt = getTime() + retryAt / 1000;
}

/** Send telemetry and ask for a sign of life. Throws MQTT_SILENT where what was asked at the last tick has no answer yet. */
export function beat(): void {
  // answers may come behind messages that we are slow to take; when the last PINGRESP is there, so are all that were asked for before
  if (asked >> PINGS ? !(asked & (1 << HEARD)) : asked & (255 << OVERDUE)) throw MQTT_SILENT;
  if (ticks++ === PATIENCE) {
    failures = 0;
    if (hasWell && !section(import("./application")).isWell()) ticks--;
    else if (UPDATES) section(import("../ota/updater")).confirm(true);
  }
  const refusals = asked >> REFUSALS;
  if (refusals & (1 << DOWN)) section(import("../mqtt/client")).subscribe(DOWN, "/down/#");
  if (UPDATES && refusals & (1 << OTA)) section(import("../ota/updater")).askAnew();
  if (TELEMETRY_EVERY === 1 || !(ticks % TELEMETRY_EVERY)) section(import("./telemetry"))();
  // held back: it may begin now; under way: a broker may drop what it sends at QoS 0, and the heap what came of it
  if (UPDATES && awaited !== undefined)
    (awaited === null ? section(import("../ota/updater")).askAnew : section(import("../ota/updater")).ask)();
  section(import("../mqtt/client")).beat();
}

/** Give the product its command, and publish what it answers. */
function obey(): void {
  const what = name.substr(6);
  try {
    const answer = section(import("product")).command(what, payload);
    if (typeof answer === "number") section(import("./application")).tell(what, answer);
    else if (answer !== undefined) section(import("../mqtt/client")).publish(what, answer, 0);
  } catch (_) {
    section(import("./application")).report(PRODUCT_COMMAND);
  }
}

/** Take a message: a command, or of an update. */
export function message(): void {
  // cut out each time: what takes a manifest or a piece wants the heap that a copy held
  if (name.substr(0, 6) === "/down/") {
    if (hasCommand && !PEER) obey();
  } else if (UPDATES) {
    const code =
      name === "/ota"
        ? section(import("../ota/updater")).onManifest()
        : name === awaited && section(import("../ota/updater")).onPiece();
    if (code) {
      section(import("../store/event_log")).note(STEP_UPDATE, code, 0);
      section(import("./application")).tell("update", code);
    }
  }
}

/** All messages of a record are used up: what an update wants is asked for when they are off the heap. */
export function usedUp(): void {
  if (UPDATES && awaited === "") section(import("../ota/updater")).ask();
}

/** The broker has accepted us. */
export function accepted(): void {
  state = UP;
  ticks = 0;
  if (UPDATES) {
    section(import("../ota/updater")).confirm();
    section(import("../ota/updater")).askAnew();
  }
  section(import("../store/event_log")).note(STEP_UP, 0, SESSIONS);
  section(import("./telemetry"))();
}

/** Publish a code. */
export function tell(what: Bytes, code: number): void {
  section(import("../mqtt/client")).publish(what, `{"err":${code}}`, 0);
}

/** The broker lets us listen. */
export function granted(): void {
  try {
    section(import("product")).online();
  } catch (_) {
    section(import("./application")).report(PRODUCT_ONLINE);
  }
}

/** The product's own time has come. */
export function times(): void {
  try {
    section(import("product")).every();
  } catch (_) {
    section(import("./application")).report(PRODUCT_TIMES);
  }
}

/** Let the product end what it does, and keep what its store holds, before the device starts anew. */
export function stop(): void {
  if (hasStop)
    try {
      section(import("product")).stop();
    } catch (_) {
      section(import("./application")).report(PRODUCT_STOP);
    }
  if (hasStore) section(import("../product/device")).keep(true);
}

/** Stop, and start anew. */
export function reboot(): void {
  section(import("./application")).stop();
  section(import("hal:system")).restart();
}

/** The broker has refused a subscription; each tick asks again. */
export function notGranted(): void {
  section(import("./application")).report(MQTT_SUBSCRIPTION);
}

/** Tell a failure that ends nothing, once for as long as nothing else fails. */
export function report(code: number): void {
  if (lastError === code) return;
  print("E" + code);
  section(import("../store/event_log")).note(STEP_UP, code, 0);
}

/** Whether the product is well, as far as it says. */
export function isWell(): boolean {
  try {
    return section(import("product")).well();
  } catch (_) {
    section(import("./application")).report(PRODUCT_WELL);
    return false;
  }
}

/** Tell the step where things stand (steps.ts). */
export function step(): number {
  return state === UP
    ? // a session that has ended, of which no event has told yet: STEP_IDLE
      STEP_UP * (stands as unknown as number)
    : section(import("../tls/session")).progress() || (state === OFFLINE ? STEP_IDLE : STEP_NET);
}
