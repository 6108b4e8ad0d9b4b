// The default product: it answers each command with its payload.
import type { Bytes } from "../bytes";

/** Answer with what came. */
export function command(_name: Bytes, payload: Bytes): Bytes {
  return payload;
}
