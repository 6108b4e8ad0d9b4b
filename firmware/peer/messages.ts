// What other devices and the ticket service send us on `down/peer/<serial>` and `down/ticket` (../README.md 15), as sections. Of what is not
// a message that may come now nothing is taken, and whatever is under way or stands goes on, as datagrams are dropped (RFC 6347,
// 4.1.2.7): who carries them may drop them too. It is told once (app/events.ts).
import { hasCommand, hasTell } from "product";
import { base, payload } from "../mqtt/client";
import { IS_SMALL } from "../tls/tidy";

/** Find who takes a message, by its first byte (constants.ts): it returns whether it refuses it. The caller calls it: so the table is off the heap by then. */
export function taker(): (() => unknown) | 0 | undefined {
  if (IS_SMALL) section(import("../tls/tidy")).tidy();
  return [
    0 as const,
    hasCommand ? section(import("./asked")).hello : 0, // HELLO
    hasTell ? section(import("./asker")).nonce : 0, // NONCE
    0 as const, // REQUEST, which is the service's
    hasTell ? section(import("./asker")).answer : 0, // ANSWER
    hasCommand ? section(import("./asked")).ticket : 0, // TICKET
    hasCommand ? section(import("./asked")).obey : 0, // MESSAGE, of the asker
    hasTell ? section(import("./asker")).message : 0, // of the asked
  ][payload.charCodeAt(0)] as () => unknown;
}

/** Take a message that is none. */
export function none(): boolean {
  return true;
}

/** The end of the identity of another device of our product. */
export function identityEnd(serial: string): string {
  return `.${base.substr(0, base.indexOf("/"))}.${serial}`;
}
