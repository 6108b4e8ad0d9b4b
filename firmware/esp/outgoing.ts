// Datagrams that wait to be sent, as sections, each with its length before it, 2 bytes: it is here, so that no caller holds one while its
// ciphertext grows.
import { type Bytes, uint16 } from "../bytes";

export let outgoing: Bytes;

/** Forget all of them. */
export function clearOutgoing(): void {
  outgoing = "";
}

/** Add one, with its length before it already: joined to nothing else, it may be as long as a packet. */
export function put(data: Joinable): void {
  outgoing = E.toString(outgoing, data);
}

/** Take the first one. */
export function cut(): Bytes {
  const end = 2 + uint16(outgoing, 0);
  const datagram = outgoing.substr(2, end - 2);
  outgoing = outgoing.substr(end);
  return datagram;
}
