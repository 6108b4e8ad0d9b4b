// A valve on pin D5, 1 is open. `down/valve` takes `open`, for as long as it may be, a number of seconds, or `closed`; it closes by
// itself, before a restart, at each start, and where the broker was gone for too long. `up/valve` is retained, `open` or
// `closed`. Leaves out a valve that needs a pulse each way.
import { connected, publish, type Settings, setting, type Values } from "device";
import { REQUEST_UNKNOWN, VALUE_REFUSED } from "../tls/alert";

export const values: Values = {
  valve: {
    kind: "valve",
    name: "Valve",
    class: "water",
    topic: "valve",
    command: "valve",
    on: "open",
    off: "closed",
  },
};

export const settings: Settings = {
  // seconds that it may be open at a stretch
  openS: [600, 1, 86400],
  // seconds without a broker after which it closes
  lostS: [120, 0, 86400],
};

const PIN = D5;
/** When it closes, by getTime(); 0: it is closed. */
let until = 0;
/** When the broker was last there, by getTime(). */
let seenAt = 0;
/** What the broker was told last. */
let told = "";

/** Open it until then, or close it, and tell. */
function turn(to: number): void {
  until = to;
  digitalWrite(PIN, to > 0);
  const state = to ? "open" : "closed";
  if (told !== state && publish("valve", state, 1, true)) told = state;
}

export function start(): void {
  turn(0);
}

export function online(): void {
  seenAt = getTime();
  told = "";
  turn(until);
}

export function command(name: string, payload: string): number | undefined {
  const most = setting("openS");
  const seconds = payload === "closed" ? 0 : payload === "open" ? most : +payload;
  if (name !== "valve") return REQUEST_UNKNOWN;
  if (!payload || !(seconds >= 0 && seconds <= most)) return VALUE_REFUSED;
  turn(seconds && getTime() + seconds);
}

export const everyS = 1;

export function every(): void {
  const now = getTime();
  if (connected()) seenAt = now;
  turn(until > now && seenAt + setting("lostS") >= now ? until : 0);
}

export function stop(): void {
  turn(0);
}
