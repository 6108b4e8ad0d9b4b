// Messages 3 and 4 of EAP-PSK (RFC 4764, 5.3 and 5.4), in the place of akep2/protected_channel.ts, with EAX in the section itself ("a frame less"). Leaves out the
// extensions (5.3, flag E).
import { aes } from "hal:aes128";
import { ECB_ENCRYPT } from "../../../hal/hal";
import { secrets } from "../../akep2/handshake";
import type { Bytes } from "../../bytes";
import {
  BAD_RECORD_MAC,
  DECRYPT_ERROR,
  HANDSHAKE_FAILURE,
  RECEIVED,
  UNSUPPORTED_EXTENSION,
} from "../../tls/alert";

/** What the channel says: R, 2 bits, and E, 1 bit; the 5 below are reserved, and not looked at. */
const DONE_SUCCESS = 4;
const DONE_FAILURE = 6;

/**
 * Answer message 3, of 59 bytes. Returns message 4. Throws decrypt_error where it is not this handshake's or not from who has the key;
 * bad_record_mac where its channel is not; handshake_failure received where the server says there that it failed.
 */
export default function protectedChannel(message: Bytes): Bytes {
  /* EAP header (5 bytes), flags, RAND_S (16), MAC_S (16), PCHANNEL: N (4), tag (16), R, E and reserved bits (1) */
  if (section(import("../../bytes")).difference(message.substr(6, 32), secrets.substr(0, 32)))
    throw -DECRYPT_ERROR;
  const context = section(import("../../crypto/eax")).eaxKey(secrets.substr(32, 16));
  let header = message.substr(0, 22);
  // the server's N is 0, ours 1
  for (let n = 0; ; n++) {
    let tag = section(import("../../crypto/eax")).omac(
      context,
      E.toString("\0".repeat(15), n),
      context.substr(16, 16),
    );
    const stream = E.toString(aes(ECB_ENCRYPT, context.substr(0, 16), tag)).charCodeAt(0);
    const turned = n ? E.toString(0x80 ^ stream) : message.substr(58);
    let macs = section(import("../../crypto/eax")).omac(context, header, context.substr(32, 16));
    macs += section(import("../../crypto/eax")).omac(context, turned, context.substr(48, 16));
    for (let i = 0; i < 16; i++)
      tag = E.toString(tag, tag.charCodeAt(i) ^ macs.charCodeAt(i) ^ macs.charCodeAt(i + 16));
    tag = tag.substr(16);
    if (n) return E.toString(header, 0, 0, 0, 1, tag, turned);
    if (section(import("../../bytes")).difference(message.substr(38, 20), E.toString(0, 0, 0, 0, tag)))
      throw -BAD_RECORD_MAC;
    const result = (message.charCodeAt(58) ^ stream) >> 5;
    if (result === DONE_FAILURE) throw RECEIVED + HANDSHAKE_FAILURE;
    if (result !== DONE_SUCCESS) throw -UNSUPPORTED_EXTENSION;
    header = E.toString(2, message.substr(1, 1), 0, 43, 47, 0xc0, message.substr(6, 16));
  }
}
