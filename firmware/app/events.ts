// The two functions that stay: what lets events into the application and its answers out over the session, and what takes the
// console's input. What they do not need between two events is a section.
import { serialIsOpen, serialOpen } from "hal:serial";
import type { Bytes } from "../bytes";
import { startedAt } from "../console/console";
import { CONSOLE, KEEP_ALIVE_S } from "../profile";
import type { Event } from "./application";

/**
 * The application is evaluated from flash for each event and gone again before its answer is protected and sent. The
 * interpreter removes whatever runs out of memory, an interval or a listener: so each tick, half a keep-alive apart, sets the next
 * one before all else, and the console's port is opened where nobody listens: at the start, and again where it was removed.
 */
export function onEvent(event: Event, ended?: number): void {
  if (event === undefined) setTimeout(onEvent, KEEP_ALIVE_S * 500);
  if (CONSOLE && startedAt && !serialIsOpen()) serialOpen(onConsole);
  try {
    section(import("./application")).application(event, onEvent, ended);
    section(import("../tls/session")).flush();
  } catch (error) {
    section(import("../tls/session")).shutdown(error);
  }
}

/** Take what the console's port brings; without bytes: see what has come of `hs` or `ping`. */
export function onConsole(bytes?: Bytes): void {
  if (!bytes) section(import("../console/watch")).tick();
  else
    for (let line: Bytes | undefined; (line = section(import("../console/line_editor"))(bytes)); bytes = "")
      section(import("../console/console")).execute(line);
}
