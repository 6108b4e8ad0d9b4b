// Records under an AEAD (RFC 5246, 6.2.3.3), AES-128-CCM (RFC 6655, 3) or AES-128-GCM (RFC 5288, 3), as sections: one protects, one
// unprotects. What they do is ordered so that a record is on the heap once, or twice while natives turn it.
//
//   struct { opaque nonce_explicit[8]; aead-ciphered struct { opaque content[length]; }; } GenericAEADCipher;
//
// The explicit part of the nonce is the record's number, the implicit one the salt. The tag of CCM covers the text before it is
// encrypted, that of GCM what it has become.
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { CCM, GCM } from "./cipher_suites";
import { CLIENT, keys, SERVER } from "./keys";
import { isGcm, tagLength } from "./server_hello";

/**
 * Build what crypto/ccm.ts and crypto/ghash.ts take beside a text: the key of an `end`, B0 and the block of the associated data.
 * `additional`: number, type, version and length of the record (RFC 5246, 6.2.3.3), 13 bytes.
 */
export function context(end: number, explicit: Bytes, additional: Bytes): Bytes {
  const key = keys.substr(16 * end, 16);
  const salt = keys.substr(32 + 4 * end, 4);
  return E.toString(
    key,
    GCM && (!CCM || isGcm) ? 0 : 58 + 4 * tagLength,
    salt,
    explicit,
    0,
    additional.substr(11),
    0,
    13,
    additional,
    0,
  );
}

/** Write the record that carries `text` to `transport`; `head`: its number, type and version, 11 bytes. */
export function protect(transport: Socket, head: Bytes, text: Bytes): void {
  const size = text.length;
  const how = section(import("./aead_records")).context(
    CLIENT,
    head.substr(0, 8),
    E.toString(head, size >> 8, size),
  );
  // the first block's counter is the tag's
  text = E.toString(
    GCM && (!CCM || isGcm) ? { data: 0, count: 16 } : section(import("../crypto/ccm")).ccmMac(how, text),
    text,
    { data: 0, count: -size & 15 },
  );
  text = section(import("../crypto/ctr")).ctrTurn(how, text);
  let tag = text.substr(0, tagLength);
  text = text.substr(16, size);
  if (GCM && (!CCM || isGcm))
    tag = section(import("../crypto/ctr")).ctrTurn(how, section(import("../crypto/ghash")).ghash(how, text));
  const length = 8 + size + tagLength;
  transport.write(E.toString(head.substr(8), length >> 8, length, head.substr(0, 8)));
  transport.write(text);
  transport.write(tag);
}

/** Return the plaintext of a record, whose body has come as `text`; undefined where its tag is wrong or it has none. */
export function unprotect(head: Bytes, text: Bytes): Bytes | undefined {
  const size = text.length - 8 - tagLength;
  if (size < 0) return;
  const how = section(import("./aead_records")).context(
    SERVER,
    text.substr(0, 8),
    E.toString(head, size >> 8, size),
  );
  let tag = text.substr(8 + size);
  const came = GCM ? tag : "";
  text = text.substr(8, size);
  text = E.toString(
    GCM && (!CCM || isGcm) ? section(import("../crypto/ghash")).ghash(how, text) : tag,
    { data: 0, count: 16 - tagLength },
    text,
    { data: 0, count: -size & 15 },
  );
  text = section(import("../crypto/ctr")).ctrTurn(how, text);
  tag = text.substr(0, tagLength);
  text = text.substr(16, size);
  if (
    section(import("../bytes")).difference(
      GCM && (!CCM || isGcm) ? came : section(import("../crypto/ccm")).ccmMac(how, text).substr(0, tagLength),
      tag,
    )
  )
    return;
  return text;
}
