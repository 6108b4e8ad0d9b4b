// Names of ports, before any is opened.
import { UsageError } from "../cli/exit";
import { endpoint } from "../cli/options";

/** What stands before a TCP console. */
export const TCP = "tcp://";

/** Check a port as typed: `tcp://HOST:PORT`, or an absolute path of a serial port. Returns it. */
export function portName(text: string): string {
  if (text.startsWith(TCP)) {
    endpoint(text.slice(TCP.length));
    return text;
  }
  if (/^(\/[^\0\n]+|COM\d{1,3})$/.test(text)) return text;
  throw new UsageError(`"${text}" is neither the path of a serial port nor tcp://HOST:PORT.`);
}
