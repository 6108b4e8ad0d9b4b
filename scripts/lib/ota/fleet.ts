// What a fleet says of itself: the devices' telemetry, taken from their topics. `<product>/<serial>/up/status` has seconds
// since the start, the number of starts (boots), last error, the sequence that runs (seq) and why the last update was left
// again (rev); `up/update` tells of an update under way; `state`, retained, says who is connected. All of it is a device's
// word, or of whoever the broker lets publish there: what is not in order is passed over.
// Leaves out: history; a rollout keeps its own (rollout_state.ts).
import type { Broker } from "./broker";

export interface DeviceStatus {
  serial: string;
  /** When it last said something, milliseconds of this process's clock, which nobody sets. */
  heardMs: number;
  /** Whether the broker says that it is connected. */
  online?: boolean;
  /** The sequence that it runs. */
  sequence?: number;
  /** Why it left its last update again, a code of tls/alert.ts; 0 where it did not. */
  reverted?: number;
  /** Its last error, a code as well; 0 none. */
  error?: number;
  /** Seconds since its start, when that was heard. */
  up?: number;
  /** How often it has started; older firmware does not say. */
  boots?: number;
  /** When it started, by its own count of seconds, on this process's clock. */
  startedMs?: number;
  /** An update under way: pieces that it has; why it takes it no further; when that was heard. */
  update?: { sequence?: number; got?: number; error?: number; heardMs: number };
}

/** What it says on each topic. */
const NAMES = ["up/status", "up/update", "state"] as const;

/** Collects what devices of one product say. */
export class Fleet {
  readonly devices = new Map<string, DeviceStatus>();

  constructor(readonly product: string) {}

  /** Listen to all of them, until the returned function is called; `onChange` gets each device that has spoken. */
  listen(broker: Broker, onChange: (device: DeviceStatus) => void = () => {}): Promise<() => Promise<void>> {
    const filters = NAMES.map((name) => `${this.product}/+/${name}`);
    return broker.listen(filters, (topic, payload) => {
      const device = this.take(topic, payload.toString("latin1"), performance.now());
      if (device) onChange(device);
    });
  }

  /** Take one message; undefined where it is none of ours, or one of an earlier start that was sent again. */
  take(topic: string, payload: string, nowMs: number): DeviceStatus | undefined {
    const [product, serial, ...rest] = topic.split("/");
    const name = rest.join("/") as (typeof NAMES)[number];
    if (product !== this.product || !NAMES.includes(name) || !/^[!-~]{1,64}$/.test(serial)) return undefined;
    const device = this.devices.get(serial) ?? { serial, heardMs: 0 };
    if (name === "state") {
      if (payload !== "0" && payload !== "1") return undefined;
      device.online = payload === "1";
    } else {
      const said = numbersOf(payload);
      if (!said) return undefined;
      if (name === "up/update")
        device.update = { sequence: said.seq, got: said.got, error: said.err, heardMs: nowMs };
      else {
        if (said.boots !== undefined && said.boots < (device.boots ?? 0)) return undefined;
        device.sequence = said.seq;
        device.reverted = said.rev;
        device.error = said.err;
        device.up = said.up;
        device.boots = said.boots ?? device.boots;
        device.startedMs = said.up === undefined ? undefined : nowMs - said.up * 1000;
      }
      device.heardMs = nowMs;
    }
    this.devices.set(serial, device);
    return device;
  }
}

/** The members of a flat JSON object that are whole numbers of at most 32 bits; undefined where it is no such object. */
function numbersOf(payload: string): Record<string, number | undefined> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
  const isNumber = ([, value]: [string, unknown]) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
  return Object.fromEntries(Object.entries(parsed).filter(isNumber)) as Record<string, number>;
}
