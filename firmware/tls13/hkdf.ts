// HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1; RFC 5869, 2.3) with SHA-256, as far as one block goes. HKDF-Extract is HMAC itself.
import type { Bytes } from "../bytes";

/** SHA-256 of nothing, the context of Derive-Secret without messages. */
export const NOTHING_HASHED =
  "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55";

/**
 * Expand a secret, of which `pads` are what hmacKey makes. `label` is the length of the output as a character, at most 32, and then
 * the label; `context` has 0 or 32 bytes.
 */
export function expandLabel(pads: Bytes, label: Bytes, context: Bytes): Bytes {
  /* struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel; */
  return section(import("../crypto/hmac"))
    .hmac(32, pads, [
      0,
      label.substr(0, 1),
      5 + label.length,
      "tls13 ",
      label.substr(1),
      context.length,
      context,
      1,
    ])
    .substr(0, label.charCodeAt(0));
}
