// Messages 3 and 4 of EAP-PSK (RFC 4764, 5.3 and 5.4) with their protected channel, a section: EAX under the TEK over the first 22 bytes of
// the message, N for a nonce. Leaves out the extensions (5.3, flag E).
import type { Bytes } from "../bytes";
import {
  BAD_RECORD_MAC,
  DECRYPT_ERROR,
  HANDSHAKE_FAILURE,
  RECEIVED,
  UNSUPPORTED_EXTENSION,
} from "../tls/alert";
import { secrets } from "./handshake";

/** What the channel says: R, 2 bits, and E, 1 bit; the 5 below are reserved, and not looked at. */
const DONE_SUCCESS = 4;
const DONE_FAILURE = 6;

/**
 * Answer message 3, of 59 bytes. Returns message 4. Throws decrypt_error where it is not this handshake's or not from who has the key;
 * bad_record_mac where its channel is not; handshake_failure received where the server says there that it failed.
 */
export default function protectedChannel(message3: Bytes): Bytes {
  /* EAP header (5 bytes), flags, RAND_S (16), MAC_S (16), PCHANNEL: N (4), tag (16), R, E and reserved bits (1) */
  const difference = section(import("../bytes")).difference;
  if (difference(message3.substr(6, 32), secrets.substr(0, 32))) throw -DECRYPT_ERROR;
  const zeros = "\0".repeat(12);
  const context = section(import("../crypto/eax")).eaxKey(secrets.substr(32, 16));
  const eax = section(import("../crypto/eax")).eax;
  const opened = eax(
    E.toString(context, zeros, message3.substr(38, 4), message3.substr(0, 22)),
    message3.substr(58),
    true,
  );
  // the server's N is 0, ours 1
  if (difference(message3.substr(38, 20), E.toString(zeros.substr(8), opened.substr(0, 16))))
    throw -BAD_RECORD_MAC;
  const result = opened.charCodeAt(16) >> 5;
  if (result === DONE_FAILURE) throw RECEIVED + HANDSHAKE_FAILURE;
  if (result !== DONE_SUCCESS) throw -UNSUPPORTED_EXTENSION;
  const header = E.toString(2, message3.substr(1, 1), 0, 43, 47, 0xc0, message3.substr(6, 16));
  return E.toString(header, 0, 0, 0, 1, eax(E.toString(context, zeros, 0, 0, 0, 1, header), "\x80", false));
}
