// The keys of a device of the profile `peer` (../README.md 15), a section. What lies in the key record in `psk`'s place has the label `peer`
// and is used for nothing but to derive: SP 800-108r1, 4.1, counter mode with AES-128-CMAC. So the broker's key for TLS leads neither
// to it nor to the key of the tickets.
import type { Bytes } from "../bytes";
import { key } from "./key";

/** Labels of 7 characters: the input is one block. */
export const BROKER_LABEL = "psk/tls";
export const TICKET_LABEL = "tickets";

/** Derive the key of a label, without a context: 16 bytes. */
export function derivedKey(label: Bytes): Bytes {
  // [1]_32 || label || 00 || [128]_32
  return section(import("../crypto/cmac")).cmac(key.substr(0, 16), "\0\0\0\x01" + label + "\0\0\0\0\x80");
}
