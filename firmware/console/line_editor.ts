// What comes over the console's port, made to lines, as a section. A line ends with CR, LF or CRLF; backspace and DEL take
// back; other control bytes, Ctrl-C too, are passed over. Echoes, unless the console speaks to a machine. Leaves out
// cursor keys and history: the terminal has them (scripts/console.ts).
import type { Bytes } from "../bytes";
import { isJson } from "./console";

/** Longest line, bytes. One byte more is kept of a longer one, and tells that it is too long. */
export const LINE_LIMIT = 64;

/** The line as far as it has come. */
let line: Bytes = "";
/** Bytes that came behind its end. */
let input: Bytes = "";

/** Take bytes; returns a line that is whole, not empty. Call again, with none, until there is no other. */
export default function edit(bytes: Bytes): Bytes | undefined {
  let whole: Bytes | undefined;
  let echo = "";
  let at = 0;
  input += bytes;
  while (!whole && at < input.length) {
    const character = input[at];
    const byte = input.charCodeAt(at++);
    if (byte === 10 || byte === 13) {
      if (line) echo += "\r\n";
      whole = line;
      line = "";
    } else if (line.length <= LINE_LIMIT) {
      if (byte > 31 && byte !== 127) {
        line += character;
        echo += character;
      } else if (line && (byte === 8 || byte === 127)) {
        line = line.slice(0, -1);
        echo += "\b \b";
      }
    }
  }
  input = input.substr(at);
  if (!isJson && echo) section(import("hal:serial")).serialWrite(echo);
  return whole;
}
