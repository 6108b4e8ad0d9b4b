// The secrets of TLS 1.3 that depend on the pre-shared key alone where psk_ke is the mode (RFC 8446, 7.1), and the binder, as sections.
import type { Bytes } from "../bytes";
import { key } from "../store/key";
import { NOTHING_HASHED } from "./hkdf";

/** The secret of the ladder from which the next ones are derived: handshake secret, then master secret. */
export let secret: Bytes;

/** Step down the ladder from the secret that `pads` are of: HKDF-Extract(Derive-Secret(secret, "derived", ""), zeros), 32 bytes. */
export function nextSecret(pads: Bytes): void {
  pads = section(import("./hkdf")).expandLabel(pads, "\x20derived", NOTHING_HASHED);
  secret = section(import("../crypto/hmac")).hmac(
    32,
    section(import("../crypto/hmac")).hmacKey(32, pads),
    "\0".repeat(32),
  );
}

/** Compute the binder (4.2.11.2), 32 bytes, of the ClientHello up to the binders, which has that `hash`; and the handshake secret. */
export function binder(hash: Bytes): Bytes {
  const hmac = section(import("../crypto/hmac")).hmac;
  const hmacKey = section(import("../crypto/hmac")).hmacKey;
  const expandLabel = section(import("./hkdf")).expandLabel;
  // the early secret
  let pads = hmacKey(32, hmac(32, hmacKey(32, "\0".repeat(32)), key.substr(0, 16)));
  section(import("./secrets")).nextSecret(pads);
  pads = hmacKey(32, expandLabel(pads, "\x20ext binder", NOTHING_HASHED));
  return hmac(32, hmacKey(32, expandLabel(pads, "\x20finished", "")), hash);
}

/** Forget the secret. */
export function forget(): void {
  secret = "";
}
