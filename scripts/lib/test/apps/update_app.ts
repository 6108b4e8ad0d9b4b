/*
 * The application without a session under it, for tests that need many updates: `device.begin()` and
 * `device.take(bytes)` are what a session would tell it, `device.outgoing()` takes what it has put out, `device.error()` is the last code that it threw.
 */
import type { Event } from "../../../../firmware/app/application";
import { key } from "../../../../firmware/store/key";
import { outgoing } from "../../../../firmware/tls/record";
import { SESSION_DATA, SESSION_STANDS } from "../../../../firmware/tls/session";

let thrown: unknown = 0;

function onEvent(event: Event): void {
  try {
    section(import("../../../../firmware/app/application")).application(event, onEvent);
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
    section(import("../../../../firmware/mqtt/client")).keep(bytes);
    onEvent(SESSION_DATA);
  },
  outgoing: () => {
    const bytes = outgoing;
    section(import("../../../../firmware/tls/record")).wipe();
    return bytes;
  },
  error: () => thrown,
  /** The keys that count, and the identity that goes with them. */
  key: () => key,
  identity: () => section(import("../../../../firmware/store/settings")).readSettings().id,
  /** Half a keep-alive passes. */
  tick: () => onEvent(undefined),
  /** The console's answer. */
  update: () => section(import("../../../../firmware/console/update"))(),
};
