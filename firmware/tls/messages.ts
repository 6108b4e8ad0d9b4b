// The hello messages of TLS 1.2 (RFC 5246, 7.4.1) with the extensions that we offer: max_fragment_length (RFC 6066),
// record_size_limit (RFC 8449), encrypt_then_mac (RFC 7366), extended_master_secret (RFC 7627), and the renegotiation
// SCSV (RFC 5746). Bytes in, bytes out. Leaves out session resumption: the session_id is empty.
import type { Bytes } from "../bytes";
import { uint16 } from "../bytes";
import { FRAGMENT_LIMIT, requireEncryptThenMac, requireExtendedMasterSecret } from "../profile";
import {
  DECODE_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  PROTOCOL_VERSION,
  SENT,
  UNSUPPORTED_EXTENSION,
} from "./alert";
import { CBC, CIPHER_SUITES } from "./cipher_suites";
import {
  ENCRYPT_THEN_MAC,
  EXTENDED_MASTER_SECRET,
  MAX_FRAGMENT_LENGTH,
  RECORD_SIZE_LIMIT,
  RENEGOTIATION_INFO,
} from "./constants";

/** Extensions of the ClientHello: type, length, body of each. Code 1 of max_fragment_length is 2^9 = 512 bytes. */
const OFFERED =
  "\0\x01\0\x01\x01" + "\0\x1c\0\x02\x02\0" + "\0\x17\0\0" + (CBC ? "\0\x16\0\0" : "");

/** The bits in which `serverHello` says which extensions have come. */
export const SEEN_MAX_FRAGMENT_LENGTH = 1;
export const SEEN_RECORD_SIZE_LIMIT = 2;
export const SEEN_ENCRYPT_THEN_MAC = 4;
export const SEEN_EXTENDED_MASTER_SECRET = 8;

/**
 * Build the ClientHello (handshake header and body) around `clientRandom` (32 bytes). 45 bytes, 2 for each suite, and
 * 17 or 21 of extensions.
 */
export function clientHello(clientRandom: Bytes): Bytes {
  let suites = "\0\xff"; // TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746, 3.3)
  for (let i = 0; i < CIPHER_SUITES.length; i += 4) suites += CIPHER_SUITES.substr(i, 2);
  /* struct { ProtocolVersion client_version; Random random; SessionID session_id; CipherSuite cipher_suites<2..2^16-2>;
     CompressionMethod compression_methods<1..2^8-1>; Extension extensions<0..2^16-1>; } ClientHello; */
  const length = 41 + suites.length + OFFERED.length;
  return E.toString(1, 0, 0, length, 3, 3, clientRandom, 0, 0, suites.length, suites, 1, 0, 0, OFFERED.length, OFFERED);
}

/**
 * Read a ServerHello (handshake header and body) and hold it to what was offered and to the profile's policy. Returns
 * the extensions' bits, plus 32 x the offset of the suite's row in CIPHER_SUITES, plus 1,024 x the longest plaintext
 * that the server takes in a record, bytes. Throws decode_error, protocol_version, illegal_parameter,
 * unsupported_extension or handshake_failure.
 */
export function serverHello(message: Bytes): number {
  /* struct { ProtocolVersion server_version; Random random; SessionID session_id; CipherSuite cipher_suite;
     CompressionMethod compression_method; Extension extensions<0..2^16-1>; } ServerHello; */
  const length = message.length;
  const sessionIdLength = message.charCodeAt(38);
  let at = 39 + sessionIdLength;
  if (length < 42 || sessionIdLength > 32 || length < at + 3) throw SENT + DECODE_ERROR;
  if (uint16(message, 4) !== 0x303) throw SENT + PROTOCOL_VERSION;
  const code = message.substr(at, 2);
  let row = 0;
  while (CIPHER_SUITES.substr(row, 2) !== code) {
    row += 4;
    if (row === CIPHER_SUITES.length) throw SENT + ILLEGAL_PARAMETER;
  }
  if (message.charCodeAt(at + 2)) throw SENT + ILLEGAL_PARAMETER; // a compression method
  at += 3;
  if (at < length) {
    if (length < at + 2 || uint16(message, at) !== length - at - 2) throw SENT + DECODE_ERROR;
    at += 2;
  }
  let seen = 0;
  let limit = FRAGMENT_LIMIT;
  while (at < length) {
    if (length < at + 4) throw SENT + DECODE_ERROR;
    const type = uint16(message, at);
    const size = uint16(message, at + 2);
    at += 4 + size;
    if (length < at) throw SENT + DECODE_ERROR;
    // in the order of the SEEN bits
    const index = [
      MAX_FRAGMENT_LENGTH,
      RECORD_SIZE_LIMIT,
      CBC ? ENCRYPT_THEN_MAC : -1,
      EXTENDED_MASTER_SECRET,
      RENEGOTIATION_INFO,
    ].indexOf(type);
    if (index < 0) throw SENT + UNSUPPORTED_EXTENSION;
    if (seen & (1 << index)) throw SENT + ILLEGAL_PARAMETER;
    seen |= 1 << index;
    // lengths of their bodies: one byte, two, none, none, one
    if (size !== [1, 2, 0, 0, 1][index] && type !== RENEGOTIATION_INFO) throw SENT + DECODE_ERROR;
    if (type === MAX_FRAGMENT_LENGTH && message.charCodeAt(at - 1) !== 1) throw SENT + ILLEGAL_PARAMETER;
    if (type === RECORD_SIZE_LIMIT) {
      limit = uint16(message, at - 2);
      if (limit < 64) throw SENT + ILLEGAL_PARAMETER;
    }
    // RFC 5746, 3.4: anything but an empty renegotiated_connection
    if (type === RENEGOTIATION_INFO && (size !== 1 || message.charCodeAt(at - 1))) throw SENT + HANDSHAKE_FAILURE;
  }
  // RFC 8449, 5: not both; RFC 7366, 3: not with a suite that is not CBC
  const both = SEEN_MAX_FRAGMENT_LENGTH | SEEN_RECORD_SIZE_LIMIT;
  const mac = CIPHER_SUITES.charCodeAt(row + 2);
  if ((seen & both) === both || (!mac && seen & SEEN_ENCRYPT_THEN_MAC)) throw SENT + ILLEGAL_PARAMETER;
  if (
    (requireExtendedMasterSecret && !(seen & SEEN_EXTENDED_MASTER_SECRET)) ||
    (requireEncryptThenMac && mac && !(seen & SEEN_ENCRYPT_THEN_MAC))
  ) {
    throw SENT + HANDSHAKE_FAILURE;
  }
  return seen + row * 32 + (limit < FRAGMENT_LIMIT ? limit : FRAGMENT_LIMIT) * 1024;
}
