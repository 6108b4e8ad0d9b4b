// The firmware: lets events into the application and its answers out over the session. The only file with effects on
// import. What it does not need between two events is a section.
import "./port";
import type { Event } from "./application";
import { onSerial } from "./lock";
import { KEEP_ALIVE_S, LOCK } from "./profile";

/** The application is evaluated from flash for each event and gone again before its answer is protected and sent. */
function onEvent(event: Event): void {
  try {
    section(import("./application"))(event, onEvent);
    section(import("./tls/session")).flush();
  } catch (error) {
    section(import("./tls/session")).shutdown(error);
  }
}

// the interpreter makes these classes, 8 variables each, when a method of a text, an object or a function is first called,
// unless their names are taken; the methods are there all the same
// biome-ignore lint/suspicious/noGlobalAssign: that is what it is for
(Function as any) = (Object as any) = (String as any) = undefined;

setInterval(onEvent, KEEP_ALIVE_S * 500);
if (!LOCK || onSerial()) onEvent(true);
