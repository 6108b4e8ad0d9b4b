// Records of TLS 1.3 under an AEAD (RFC 8446, 5.2), AES-128-CCM or AES-128-GCM (RFC 5116, RFC 6655), as sections: one protects, one
// unprotects. What they do is ordered so that a record is on the heap once, or twice while natives turn it.
//
//   struct { opaque content[length]; ContentType type; uint8 zeros[length_of_padding]; } TLSInnerPlaintext;
//   struct { ContentType opaque_type = 23; ProtocolVersion legacy_record_version = 0x0303; uint16 length;
//            opaque encrypted_record[length]; } TLSCiphertext;
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { CCM, GCM } from "./cipher_suites";
import { AT_IVS, AT_KEYS, CLIENT, keys, SERVER } from "./keys";
import { isGcm, tagLength } from "./server_hello";

/**
 * Build what crypto/ccm.ts and crypto/ghash.ts take beside a text of `size` bytes: the key of an `end`, B0 with the nonce (5.3: the IV
 * with the record's number `n`, below 2^31, added bit by bit), and the block of the associated data, the record's header.
 */
export function context(end: number, n: number, size: number): Bytes {
  const iv = keys.substr(AT_IVS + 12 * end, 12);
  const length = size + tagLength;
  return E.toString(
    keys.substr(AT_KEYS + 16 * end, 16),
    GCM && (!CCM || isGcm) ? 0 : 58 + 4 * tagLength,
    iv.substr(0, 8),
    iv.charCodeAt(8) ^ (n >> 24),
    iv.charCodeAt(9) ^ (n >> 16),
    iv.charCodeAt(10) ^ (n >> 8),
    iv.charCodeAt(11) ^ n,
    0,
    size >> 8,
    size,
    "\0\x05\x17\x03\x03",
    length >> 8,
    length,
    "\0\0\0\0\0\0\0\0\0",
  );
}

/** Write the record that carries `text`, a TLSInnerPlaintext, to `transport`; `n`: its number. */
export function protect(transport: Socket, n: number, text: Bytes): void {
  const size = text.length;
  const how = section(import("./aead_records")).context(CLIENT, n, size);
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
  transport.write(how.substr(34, 5));
  transport.write(text);
  transport.write(tag);
}

/** Return the TLSInnerPlaintext of a record, whose body has come as `text`; undefined where its tag is wrong or it has none. */
export function unprotect(n: number, text: Bytes): Bytes | undefined {
  const size = text.length - tagLength;
  if (size < 0) return;
  const how = section(import("./aead_records")).context(SERVER, n, size);
  let tag = text.substr(size);
  const came = GCM ? tag : "";
  text = text.substr(0, size);
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
