// What a product is given: `import { connected, publish, setting, store, stored } from "device"`. The build makes a section of each use
// (scripts/lib/bundle/product.ts), and of what a product does not use nothing is there. Hardware it has by Espruino's own
// functions. Leaves out timers of one's own and watches: those are the interpreter's; what they throw is told (main.ts).
import { STEP_UP } from "../app/steps";
import type { Bytes } from "../bytes";
import { PRODUCT, QOS_1, RETAIN } from "../mqtt/packets";
import { OUTGOING_LIMIT } from "../profile";
import { STORE } from "../store/journal";
import { outgoing } from "../tls/outgoing";

export type { Settings } from "./product";
export type { ProductValue, ProductValues as Values } from "./values";

/**
 * Publish `payload` on `up/<name>`, bytes, with quality of service `qos` 0 (or none) or 1; the broker keeps it where `retain`. Tells
 * whether it was taken: false without a session, while more than 512 bytes wait to be sent, and of QoS 1 while one waits for its
 * acknowledgement. One that gets none by the second tick ends the session.
 */
export function publish(name: Bytes, payload: Bytes, qos?: 0 | 1, retain?: boolean): boolean;
export function publish(name: Bytes, payload: Bytes, qos?: 0 | 1): boolean {
  if (section(import("../app/application")).step() < STEP_UP || outgoing.length > OUTGOING_LIMIT)
    return false;
  section(import("../tls/session")).flushSoon();
  // biome-ignore lint/complexity/noArguments: a section has three parameters
  const flags = arguments[3] ? RETAIN : 0;
  return section(import("../mqtt/client")).publish(name, payload, qos ? flags | QOS_1 | PRODUCT : flags);
}

/** Tell whether the broker is there: a session that has died unseen counts for as long as a keep-alive. */
export function connected(): boolean {
  return section(import("../app/application")).step() === STEP_UP;
}

/** Longest name and payload of a command to another device, bytes together. */
const TELL_LIMIT = 400;

/**
 * Under the profile `peer`: command another device of this product, by its serial, as `down/<name>` would; its answer comes to the member
 * `answer`. Tells whether it was taken: false without a session, over 400 bytes, and while another one waits for its answer, but for 30
 * seconds at most. The first command to a device waits for the key that both get. What has no answer may have been carried out.
 */
export function tell(serial: Bytes, name: Bytes, payload: Bytes): boolean {
  if (
    section(import("../app/application")).step() < STEP_UP ||
    outgoing.length > OUTGOING_LIMIT ||
    name.length + payload.length > TELL_LIMIT
  )
    return false;
  return section(import("../peer/asker")).tell(serial, name, payload);
}

/** Tell the value of a setting of the product's: as it was changed, or its default; that also where it may not be what it was changed to. */
export function setting(name: Bytes): any {
  return section(import("../store/settings")).own(name);
}

/** Numbers that wait to be kept, by their places. */
const waiting: any = [];

/** One number of a product is written in so many seconds, with BURST in hand. */
const QUIET_S = 300;
const BURST_S = 16 * QUIET_S;
/** When the next one may be written, by getTime(). */
let quietUntil = -BURST_S;

/** Characters of a number in a record. */
const DIGITS = 11;

/**
 * Keep a number in one of four places, 0 to 3, over power cuts: whole ones up to 99,999,999,999, others with as many digits as 11
 * characters hold. It is written at the next tick, half a keep-alive apart, and not more often than flash can bear: one number
 * in five minutes, after a rest up to sixteen at once; and before the device starts anew. What came since is lost where power fails.
 */
export function store(place: number, value: number): void {
  waiting[place] = value;
}

/** Tell the number in a place of the store; 0: there was never one. */
export function stored(place: number): number {
  const value = waiting[place];
  return value === undefined
    ? // the spaces behind it make it no number for +
      parseFloat(
        section(import("../store/journal"))
          .newest(STORE + place)
          .substr(1, DIGITS),
      ) || 0
    : value;
}

/** Write what waits, as far as it may be written; `isLast`: all. */
export function keep(isLast?: boolean): void {
  for (let place = 0; place < waiting.length; place++)
    if (waiting[place] !== undefined) {
      const text = ("" + waiting[place]).substr(0, DIGITS).padEnd(DIGITS);
      if (
        section(import("../store/journal"))
          .newest(STORE + place)
          .substr(1, DIGITS) !== text
      ) {
        const now = getTime();
        if (!isLast && quietUntil > now) return;
        quietUntil = QUIET_S + Math.max(quietUntil, now - BURST_S);
        section(import("../store/journal")).append(E.toString(STORE + place, text));
      }
      waiting[place] = undefined;
    }
}
