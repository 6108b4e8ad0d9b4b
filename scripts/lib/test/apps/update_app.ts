/*
 * The application without a session under it, for tests that need many updates or odd brokers: `device.begin()` and
 * `device.take(bytes)` are what a session would tell it, `device.outgoing()` takes what it has put out, `device.error()` is the
 * last code that it threw, and `device.tick()` lets half a keep-alive pass.
 */

import { type Event, TICK } from "../../../../firmware/app/event";
import { awaited } from "../../../../firmware/ota/updater";
import { FRAGMENT_LIMIT } from "../../../../firmware/profile";
import { key } from "../../../../firmware/store/key";
import { APPLICATION_DATA } from "../../../../firmware/tls/constants";
import { outgoing } from "../../../../firmware/tls/outgoing";
import { SESSION_DATA, SESSION_STANDS } from "../../../../firmware/tls/session";
import { NETWORK_UP } from "../../../../hal/hal";

let thrown: unknown = 0;

/** As in app/events.ts, but that nothing is sent and no session ends. */
function onEvent(event: Event): void {
  try {
    for (;;) {
      section(import("../../../../firmware/app/application")).action(event)(onEvent, event);
      if (event !== SESSION_DATA && !((event as number) < NETWORK_UP)) break;
      event = section(import("../../../../firmware/mqtt/client")).next();
    }
  } catch (error) {
    thrown = error;
  }
}

(global as unknown as { device: object }).device = {
  begin: () => {
    section(import("../../../../firmware/tls/record")).wipe();
    onEvent(SESSION_STANDS);
  },
  take: (bytes: string) => {
    for (let at = 0; at < bytes.length; at += FRAGMENT_LIMIT) {
      const piece = bytes.substr(at, FRAGMENT_LIMIT);
      const record = E.toString(APPLICATION_DATA, 3, 3, piece.length >> 8, piece.length, piece);
      section(import("../../../../firmware/tls/record")).keep(record);
      section(import("../../../../firmware/tls/record")).receiveRecord();
      onEvent(SESSION_DATA);
    }
  },
  outgoing: () => {
    const bytes = outgoing;
    section(import("../../../../firmware/tls/record")).wipe();
    return bytes;
  },
  error: () => thrown,
  /** What the console does at a start. */
  start: () => section(import("../../../../firmware/console/console")).open(),
  /** Whether a piece is waited for. */
  waits: () => typeof awaited === "string",
  /** The keys that count, and the identity that goes with them. */
  key: () => key,
  identity: () => section(import("../../../../firmware/store/settings")).readSettings().id,
  tick: () => onEvent(TICK),
  /** The console's answer. */
  update: () => section(import("../../../../firmware/console/update"))(),
};
