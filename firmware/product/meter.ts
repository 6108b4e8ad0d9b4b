// A water meter with a pulse output between pin D4 and ground: each falling edge is one pulse. It counts since ever, over restarts and
// power cuts, so that no message that is lost loses water: telemetry has `litres`, as they stand. `down/litres` sets them, to
// what the meter's dial shows. Where power fails the pulses of the last minute are lost, of the last five where water runs for
// long (device.ts, `store`). Leaves out flow back.
import { type Settings, setting, store, stored, type Values } from "device";
import { REQUEST_UNKNOWN, VALUE_REFUSED } from "../tls/alert";

export const values: Values = {
  litres: {
    kind: "sensor",
    name: "Water",
    topic: "status",
    member: "litres",
    class: "water",
    unit: "L",
    runs: "total_increasing",
  },
};

export const settings: Settings = {
  // pulses of a litre; of a meter with less than one: what a pulse stands for is not told here
  perLitre: [1, 1, 1000],
};

const PIN = D4;
/** Where in the store they are. */
const PULSES = 0;
/** Milliseconds that a contact may bounce. */
const BOUNCE_MS = 10;
const MOST = 99999999999;

/** Pulses since ever. */
let pulses = 0;

function onPulse(): void {
  pulses++;
}

export function start(): void {
  pulses = stored(PULSES);
  pinMode(PIN, "input_pullup");
  setWatch(onPulse, PIN, { repeat: true, edge: "falling", debounce: BOUNCE_MS });
}

export const everyS = 10;

export function every(): void {
  store(PULSES, pulses);
}

export function command(name: string, payload: string): string | number {
  const count = +payload * setting("perLitre");
  if (name !== "litres") return REQUEST_UNKNOWN;
  if (!payload || !(count >= 0 && count <= MOST)) return VALUE_REFUSED;
  pulses = Math.round(count);
  store(PULSES, pulses);
  return payload;
}

export function telemetry(): string {
  return ',"litres":' + pulses / setting("perLitre");
}

export function stop(): void {
  store(PULSES, pulses);
}
