// The keys of a device of the profile `peer` (firmware/README.md 15), both derived from its key of label `peer`, which does nothing else: the
// one of its broker, for TLS, which leads to no other, and the one of its tickets. Labels of 7 characters, no context: one block on the device.
import { kbkdf } from "./kdf";

/** Derive the pre-shared key that a broker has of a device: 16 bytes, which the caller wipes. */
export function brokerKey(key: Uint8Array): Buffer {
  return kbkdf(key, "psk/tls", "");
}

/** Derive the key under which a device's tickets and nonces are: 16 bytes, which the caller wipes. */
export function ticketKey(key: Uint8Array): Buffer {
  return kbkdf(key, "tickets", "");
}
