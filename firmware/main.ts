// The firmware: lets events into the application and its answers out over the session. The only file with effects on
// import. What it does not need between two events is a section.
import "./port";
import type { Event } from "./application";
import { onSerial } from "./lock";
import { KEEP_ALIVE_S } from "./profile";
import { put } from "./tls/record";
import { flush, shutdown } from "./tls/session";

/** The application is evaluated from flash for each event and gone again before its answer is protected and sent. */
function onEvent(event: Event): void {
  try {
    put(section(import("./application"))(event, onEvent));
    flush();
  } catch (error) {
    shutdown(error);
  }
}

setInterval(onEvent, KEEP_ALIVE_S * 500);
if (onSerial()) onEvent(true);
