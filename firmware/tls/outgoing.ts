// Application data that waits to be sent, as sections: it is here, so that no caller holds it while its ciphertext grows.
import type { Bytes } from "../bytes";
import { sendLimit } from "./server_hello";

export let outgoing: Bytes;

/** Forget all of it. */
export function clearOutgoing(): void {
  outgoing = "";
}

/** Add to it. */
export function put(data: Joinable): void {
  outgoing = E.toString(outgoing, data);
}

/** Take as much of it as the server takes in a record. */
export function cut(): Bytes {
  const fragment = outgoing.substr(0, sendLimit);
  outgoing = outgoing.substr(sendLimit);
  return fragment;
}
