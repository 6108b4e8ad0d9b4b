// The ServerHello of TLS 1.2 (RFC 5246, 7.4.1.3), held to what we offered and to the profile's policy; a section: it is
// read once. The extensions are those of client_hello.ts.
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT, requireEncryptThenMac, requireExtendedMasterSecret } from "../profile";
import {
  DECODE_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  PROTOCOL_VERSION,
  SENT,
  UNSUPPORTED_EXTENSION,
} from "./alert";
import { CBC, SUITE_CODES, SUITE_LENGTHS } from "./cipher_suites";
import {
  AGREED_LIMIT,
  AGREED_TAG,
  ENCRYPT_THEN_MAC,
  EXTENDED_MASTER_SECRET,
  MAX_FRAGMENT_LENGTH,
  RECORD_SIZE_LIMIT,
  RENEGOTIATION_INFO,
  SEEN_ENCRYPT_THEN_MAC,
  SEEN_EXTENDED_MASTER_SECRET,
  SEEN_MAX_FRAGMENT_LENGTH,
  SEEN_RECORD_SIZE_LIMIT,
} from "./constants";

/**
 * Read a ServerHello (handshake header and body) and hold it to what was offered and to the profile's policy. Returns
 * what was agreed: the extensions' bits, and from the AGREED_ bits on the suite's lengths and the longest plaintext
 * that the server takes in a record, bytes (constants.ts). Throws decode_error, protocol_version, illegal_parameter,
 * unsupported_extension or handshake_failure.
 */
export default function serverHello(message: Bytes): number {
  /* struct { ProtocolVersion server_version; Random random; SessionID session_id; CipherSuite cipher_suite;
     CompressionMethod compression_method; Extension extensions<0..2^16-1>; } ServerHello; */
  const length = message.length;
  const sessionIdLength = message.charCodeAt(38);
  let at = 39 + sessionIdLength;
  if (length < 42 || sessionIdLength > 32 || length < at + 3) throw SENT + DECODE_ERROR;
  if (uint16(message, 4) !== 0x303) throw SENT + PROTOCOL_VERSION;
  const row = SUITE_CODES.indexOf(message.substr(at, 2));
  // none of ours, which -1 tells too; or a compression method
  if (row & 1 || message.charCodeAt(at + 2)) throw SENT + ILLEGAL_PARAMETER;
  at += 3;
  if (at < length) {
    // of fewer than two bytes the number is none below 0
    if (uint16(message, at) !== length - at - 2) throw SENT + DECODE_ERROR;
    at += 2;
  }
  /** Four times the type of each extension that we offer, plus the length of its body in a ServerHello, bytes. */
  const EXTENSIONS = [
    MAX_FRAGMENT_LENGTH * 4 + 1,
    RECORD_SIZE_LIMIT * 4 + 2,
    CBC ? ENCRYPT_THEN_MAC * 4 : -1,
    EXTENDED_MASTER_SECRET * 4,
    RENEGOTIATION_INFO * 4 + 1,
  ];
  let seen = 0;
  let limit = FRAGMENT_LIMIT;
  while (at < length) {
    const type = uint16(message, at);
    const size = uint16(message, at + 2);
    at += 4 + size;
    if (length < at) throw SENT + DECODE_ERROR;
    // the offered types in the order of the SEEN bits, and the length of each body
    let bit = 0;
    while (bit < 5 && EXTENSIONS[bit] >> 2 !== type) bit++;
    if (bit === 5) throw SENT + UNSUPPORTED_EXTENSION;
    if (seen & (1 << bit)) throw SENT + ILLEGAL_PARAMETER;
    seen |= 1 << bit;
    const last = message.charCodeAt(at - 1);
    // RFC 5746, 3.4: anything but an empty renegotiated_connection
    if (type === RENEGOTIATION_INFO && (size !== 1 || last)) throw SENT + HANDSHAKE_FAILURE;
    if (size !== (EXTENSIONS[bit] & 3)) throw SENT + DECODE_ERROR;
    if (type === RECORD_SIZE_LIMIT) limit = uint16(message, at - 2);
    if ((type === MAX_FRAGMENT_LENGTH && last !== 1) || limit < 64) throw SENT + ILLEGAL_PARAMETER;
  }
  // RFC 8449, 5: not both; RFC 7366, 3: not with a suite that is not CBC
  const both = SEEN_MAX_FRAGMENT_LENGTH | SEEN_RECORD_SIZE_LIMIT;
  const lengths = uint16(SUITE_LENGTHS, row);
  const mac = lengths > 255;
  if ((seen & both) === both || (!mac && seen & SEEN_ENCRYPT_THEN_MAC)) throw SENT + ILLEGAL_PARAMETER;
  if (
    (requireExtendedMasterSecret && !(seen & SEEN_EXTENDED_MASTER_SECRET)) ||
    (requireEncryptThenMac && mac && !(seen & SEEN_ENCRYPT_THEN_MAC))
  ) {
    throw SENT + HANDSHAKE_FAILURE;
  }
  return seen | (lengths << AGREED_TAG) | ((limit < FRAGMENT_LIMIT ? limit : FRAGMENT_LIMIT) << AGREED_LIMIT);
}
