// The firmware: lets events into the application and its answers out over the session. The only file with effects on
// import. What it does not need between two events is a section.
import type { Event } from "./application";
import type { Bytes } from "./bytes";
import { key } from "./key";
import { RECORD_LENGTH } from "./key_record";
import { CONSOLE, KEEP_ALIVE_S } from "./profile";

/** The application is evaluated from flash for each event and gone again before its answer is protected and sent. */
function onEvent(event: Event): void {
  try {
    section(import("./application")).application(event, onEvent);
    section(import("./tls/session")).flush();
  } catch (error) {
    section(import("./tls/session")).shutdown(error);
  }
}

/** Take what the console's port brings; without bytes: see what has come of `hs` or `ping`. */
function onConsole(bytes?: Bytes): void {
  if (bytes === undefined) section(import("./console/watch")).tick(onEvent);
  else
    for (
      let line: Bytes | undefined;
      (line = section(import("./console/line_editor"))(bytes)) !== undefined;
      bytes = ""
    )
      if (line) section(import("./console/console")).execute(line, onConsole);
}

// the interpreter makes these classes, 8 variables each, when a method of a text, an object or a function is first called,
// unless their names are taken; the methods are there all the same
// biome-ignore lint/suspicious/noGlobalAssign: that is what it is for
(Function as any) = (Object as any) = (String as any) = undefined;

setInterval(onEvent, KEEP_ALIVE_S * 500);
if (!CONSOLE || key.length < RECORD_LENGTH || section(import("./console/console")).open(onConsole))
  onEvent(true);
