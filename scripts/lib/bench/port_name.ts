// Names of ports, before any is opened.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { UsageError } from "../cli/exit";
import { endpoint } from "../cli/options";

/** What stands before a TCP console. */
export const TCP = "tcp://";

/** Check a port as typed: `tcp://HOST:PORT`, or the path of a serial port. Returns it, a path as an absolute one. */
export function portName(text: string): string {
  if (text.startsWith(TCP)) {
    endpoint(text.slice(TCP.length));
    return text;
  }
  if (/^(\/[^\0\n]+|COM\d{1,3})$/.test(text)) return text;
  if (/^[^\0\n]+$/.test(text) && existsSync(text)) return resolve(text);
  throw new UsageError(`"${text}" is neither the path of a serial port nor tcp://HOST:PORT.`);
}
