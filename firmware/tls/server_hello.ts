// The ServerHello of TLS 1.2 (RFC 5246, 7.4.1.3), held to what we offered and to the policy of profile and device; a section: it
// is read once. What it has agreed stays in variables, for as long as the connection. The extensions are those of client_hello.ts.
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT, requireEncryptThenMac, requireExtendedMasterSecret, SMALL } from "../profile";
import {
  DECODE_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  PROTOCOL_VERSION,
  UNSUPPORTED_EXTENSION,
} from "./alert";
import { CBC, CCM, GCM, GCM_PLACE, SUITE_CODES, SUITE_LENGTHS } from "./cipher_suites";
import {
  ENCRYPT_THEN_MAC,
  EXTENDED_MASTER_SECRET,
  MAX_FRAGMENT_LENGTH,
  RECORD_SIZE_LIMIT,
  RENEGOTIATION_INFO,
} from "./constants";

/** HMAC length of the suite, bytes: 20, 32, or 0 for an AEAD. */
export let macLength: number;
/** Tag length of the suite, bytes: 8 or 16 for an AEAD. */
export let tagLength: number;
/** Whether the AEAD is GCM, where there is CCM as well. */
export let isGcm: boolean;
/** Longest plaintext of a record that the server takes, bytes. */
export let sendLimit: number;
/** Whether the master secret is bound to the handshake (RFC 7627). */
export let extendedMasterSecret: unknown;
/** Whether a CBC suite runs with encrypt-then-MAC (RFC 7366). */
export let encryptThenMac: unknown = true;

/** The extensions that may come: length of the body in a ServerHello, bytes; and whether we have offered it. */
const EXTENSIONS = [
  { type: MAX_FRAGMENT_LENGTH, length: 1, isOurs: true },
  { type: RECORD_SIZE_LIMIT, length: 2, isOurs: true },
  { type: ENCRYPT_THEN_MAC, length: 0, isOurs: CBC },
  { type: EXTENDED_MASTER_SECRET, length: 0, isOurs: true },
  { type: RENEGOTIATION_INFO, length: 1, isOurs: true },
];
/** Which have come: the bit of each row. */
const SEEN_MAX_FRAGMENT_LENGTH = 1;
const SEEN_RECORD_SIZE_LIMIT = 2;
const SEEN_ENCRYPT_THEN_MAC = 4;
const SEEN_EXTENDED_MASTER_SECRET = 8;
/** RFC 8449, 5: not both. */
const SEEN_BOTH_LIMITS = SEEN_MAX_FRAGMENT_LENGTH | SEEN_RECORD_SIZE_LIMIT;

/** Take lengths of HMAC and tag as agreed: for tests of records without a handshake. */
export function agree(mac: number, tag: number): void {
  macLength = mac;
  tagLength = tag;
}

/**
 * Read a ServerHello (handshake header and body) and leave in the variables above what it has agreed. Throws decode_error,
 * protocol_version, illegal_parameter, unsupported_extension or handshake_failure.
 */
export default function serverHello(message: Bytes): void {
  /* struct { ProtocolVersion server_version; Random random; SessionID session_id; CipherSuite cipher_suite;
     CompressionMethod compression_method; Extension extensions<0..2^16-1>; } ServerHello; */
  const end = message.length;
  const sessionIdLength = message.charCodeAt(38);
  let at = 39 + sessionIdLength;
  if (end < 42 || sessionIdLength > 32 || end < at + 3) throw -DECODE_ERROR;
  if (uint16(message, 4) !== 0x303) throw -PROTOCOL_VERSION;
  const suite = SUITE_CODES.indexOf(message.substr(at, 2));
  const compression = message.charCodeAt(at + 2);
  // odd is none of ours: found across two of them, or not at all, -1
  if (suite & 1 || compression) throw -ILLEGAL_PARAMETER;
  const lengths = uint16(SUITE_LENGTHS, suite);
  agree(lengths >> 8, lengths & 255);
  if (GCM && CCM) isGcm = suite === GCM_PLACE;
  at += 3;
  if (at < end) {
    // of fewer than two bytes the number is none below 0
    if (uint16(message, at) !== end - at - 2) throw -DECODE_ERROR;
    at += 2;
  }
  let seen = 0;
  sendLimit = FRAGMENT_LIMIT;
  while (at < end) {
    const type = uint16(message, at);
    const length = uint16(message, at + 2);
    at += 4 + length;
    if (end < at) throw -DECODE_ERROR;
    let row = 0;
    while (row < EXTENSIONS.length && EXTENSIONS[row].type !== type) row++;
    if (row === EXTENSIONS.length || !EXTENSIONS[row].isOurs) throw -UNSUPPORTED_EXTENSION;
    if (seen & (1 << row)) throw -ILLEGAL_PARAMETER;
    seen |= 1 << row;
    const last = message.charCodeAt(at - 1);
    // RFC 5746, 3.4: anything but an empty renegotiated_connection
    if (type === RENEGOTIATION_INFO && (length !== 1 || last)) throw -HANDSHAKE_FAILURE;
    if (length !== EXTENSIONS[row].length) throw -DECODE_ERROR;
    if (type === MAX_FRAGMENT_LENGTH && last !== 1) throw -ILLEGAL_PARAMETER;
    if (type === RECORD_SIZE_LIMIT) sendLimit = uint16(message, at - 2);
  }
  if (sendLimit < 64 || (seen & SEEN_BOTH_LIMITS) === SEEN_BOTH_LIMITS) throw -ILLEGAL_PARAMETER;
  if (sendLimit > FRAGMENT_LIMIT) sendLimit = FRAGMENT_LIMIT;
  extendedMasterSecret = seen & SEEN_EXTENDED_MASTER_SECRET;
  const isEncryptThenMac = seen & SEEN_ENCRYPT_THEN_MAC;
  if (!requireEncryptThenMac) encryptThenMac = isEncryptThenMac;
  // RFC 7366, 3: not with a suite that is not CBC
  if (isEncryptThenMac && !macLength) throw -ILLEGAL_PARAMETER;
  if (
    (requireEncryptThenMac && macLength && !isEncryptThenMac) ||
    // the device's own setting takes servers that have not heard of it
    (requireExtendedMasterSecret &&
      !extendedMasterSecret &&
      (SMALL || section(import("../store/settings")).readSettings().ems !== 0))
  )
    throw -HANDSHAKE_FAILURE;
}
