// The two security associations of the device (RFC 4301, 4.1), one a direction, as long as a session stands: variables of a module,
// for a variable costs less heap than a member. Leaves out how they are made (key_schedule.ts).
import type { Bytes } from "../bytes";
import { ESP_CCM } from "../profile";

/** Bytes of an association's keys: AES (16) and salt (3; RFC 4309, 4), or AES (16) and HMAC-SHA-1 (20; RFC 2404). */
export const SA_KEYS = ESP_CCM ? 19 : 36;
/** Where they begin: the SPI that we send under (4), the one that comes (4), the keys we send under, those of what comes. */
export const AT_SPI_IN = 4;
export const AT_KEYS = 8;

/** All of it; empty: there is no session. */
export let keys: Bytes = "";

/** Take the associations of a session that begins. */
export function setKeys(made: Bytes): void {
  keys = made;
}

/** Overwrite them where the interpreter's strings let us, and drop them. */
export function wipeKeys(): void {
  const words = new Int32Array(E.toArrayBuffer(keys));
  for (let i = keys.length >> 2; i--; ) words[i] = 0;
  keys = "";
}
