// The two functions that stay: what lets events into the application and its answers out over the session, and what takes the
// console's input. What they do not need between two events is a section, and gets them as parameters.
import { serialIsOpen, serialOpen } from "hal:serial";
import { everyS, hasEvery, hasStore } from "product";
import { NETWORK_UP } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { USED_UP } from "../mqtt/client";
import { CONSOLE, KEEP_ALIVE_S, PEER } from "../profile";
import { key } from "../store/key";
import { RECORD_LENGTH } from "../store/key_record";
import { PEER_REFUSED } from "../tls/alert";
import { SESSION_DATA, sending } from "../tls/session";
import { type Event, TICK, TIMES } from "./event";

/**
 * The application's sections are made for each event and gone again before its answer is protected and sent. The
 * interpreter removes whatever runs out of memory, an interval or a listener: so each tick, half a keep-alive apart, sets the next
 * one before all else, and the console's port is opened where nobody listens: at the start, and again where it was removed.
 */
export function onEvent(event: Event, code?: number): void {
  if (event === TICK) setTimeout(onEvent, KEEP_ALIVE_S * 500);
  if (hasEvery && event === TIMES) setTimeout(onEvent, everyS * 1000, TIMES);
  if (CONSOLE && key[RECORD_LENGTH - 1] && !serialIsOpen()) serialOpen(onConsole);
  try {
    if (hasStore && event === TICK) section(import("../product/device")).keep();
    for (;;) {
      const isRefused = section(import("./application")).action(event)(onEvent, event, code);
      if (PEER && isRefused) section(import("./application")).report(PEER_REFUSED);
      // what a record brought is used up here, message by message, before the next one is opened
      if (event !== SESSION_DATA && (!((event as number) < NETWORK_UP) || (hasEvery && event === TIMES)))
        break;
      event = section(import("../mqtt/client")).next();
    }
    // what comes of a record the session sends itself: there is a frame less on the heap then
    if (event !== USED_UP && !sending) section(import("../tls/session")).flush();
  } catch (error) {
    section(import("../tls/session")).shutdown(error);
  }
}

/** Take what the console's port brings; without bytes: see what has come of `hs` or `ping`. */
export function onConsole(bytes?: Bytes): void {
  if (!bytes) section(import("../console/watch")).tick(onConsole, onEvent);
  else
    for (let line: Bytes | undefined; (line = section(import("../console/line_editor"))(bytes)); bytes = "")
      section(import("../console/console")).execute(line, onConsole);
}
