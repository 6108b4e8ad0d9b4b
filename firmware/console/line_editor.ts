// What comes over the console's port, made to lines, as a section. A line ends with CR, LF or CRLF; backspace and DEL take
// back; other control bytes, Ctrl-C too, are passed over. Echoes, unless the console speaks to a machine. Leaves out
// cursor keys and history: the terminal has them (scripts/console.ts).
import type { Bytes } from "../bytes";
import { LINE_LIMIT } from "../profile";
import { isJson } from "./console";

/** The line as far as it has come: of one that is too long a byte more than it may have. */
let line: Bytes = "";
/** Bytes that came behind its end. */
let input: Bytes = "";

/** Take bytes; returns a line that is whole, not empty. Call again, with none, until there is no other: undefined or "". */
export default function edit(bytes: Bytes): Bytes | undefined {
  let whole: Bytes | undefined;
  let echo = "";
  let at = 0;
  let byte: number;
  // one name of the root less to look up for each byte of a flood
  const text = input + bytes;
  while (!whole && (byte = text.charCodeAt(at++)) >= 0)
    if (byte === 10 || byte === 13) {
      if (line) echo += "\r\n";
      whole = line;
      line = "";
    } else if ((byte > 31 || byte === 8) && !line[LINE_LIMIT])
      if (byte !== 8 && byte !== 127) {
        line += text[at - 1];
        echo += text[at - 1];
      } else if (line) {
        line = line.slice(0, -1);
        echo += "\b \b";
      }
  input = text.substr(at);
  if (!isJson && echo) section(import("hal:serial")).serialWrite(echo);
  return whole;
}
