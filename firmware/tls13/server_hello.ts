// The ServerHello of TLS 1.3 (RFC 8446, 4.1.3), held to what we offered; a section: it is read once. What it has agreed stays in variables,
// for as long as the connection. A HelloRetryRequest (4.1.4) is told by what it wants.
import { type Bytes, uint16 } from "../bytes";
import { TLS_AES_128_CCM_8_SHA256 } from "../profile";
import {
  DECODE_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  PROTOCOL_VERSION,
  WANTS_COOKIE,
  WANTS_KEY_SHARE,
} from "../tls/alert";
import { CCM, GCM, GCM_PLACE, SUITE_CODES } from "./cipher_suites";

/** Tag length of the suite, bytes: 8 or 16. */
export let tagLength: number;
/** Whether the AEAD is GCM, where there is CCM as well. */
export let isGcm: boolean;

/** Longest content of a record that the server takes, bytes: agreed a message later. */
export { sendLimit } from "./encrypted_extensions";

/** Types of the extensions, as they stand in a list (4.2). */
const SUPPORTED_VERSIONS = "\0\x2b";
const PRE_SHARED_KEY = "\0\x29";
const KEY_SHARE = "\0\x33";
const COOKIE = "\0\x2c";

/** The random of a HelloRetryRequest begins so (4.1.3: SHA-256 of those words). */
const RETRY = "\xcf\x21\xad\x74\xe5\x9a\x61\x11";
/** The random of a server that knows 1.3 and was made to take a lower version ends so, and with 0 or 1 (4.1.3). */
const DOWNGRADE = "DOWNGRD";

/**
 * Read a ServerHello (handshake header and body) and leave in the variables above what it has agreed. Throws decode_error,
 * protocol_version, illegal_parameter, unsupported_extension, handshake_failure, or WANTS_KEY_SHARE or WANTS_COOKIE.
 */
export default function serverHello(message: Bytes): void {
  /* struct { ProtocolVersion legacy_version = 0x0303; Random random; opaque legacy_session_id_echo<0..32>; CipherSuite cipher_suite;
     uint8 legacy_compression_method = 0; Extension extensions<6..2^16-1>; } ServerHello; */
  const sessionIdLength = message.charCodeAt(38);
  const at = 39 + sessionIdLength;
  if (!(sessionIdLength <= 32) || message.length < at + 3) throw -DECODE_ERROR;
  if (uint16(message, 4) !== 0x303) throw -PROTOCOL_VERSION;
  if (message.substr(30, 7) === DOWNGRADE) throw -ILLEGAL_PARAMETER;
  const isRetry = message.substr(6, 8) === RETRY;
  // without extensions it is of an earlier version
  if (message.length === at + 3) throw -PROTOCOL_VERSION;
  const found = section(import("./extensions"))(
    message,
    at + 3,
    SUPPORTED_VERSIONS + PRE_SHARED_KEY + (isRetry ? KEY_SHARE + COOKIE : ""),
  );
  if (found[0] === undefined) throw -PROTOCOL_VERSION;
  const suite = SUITE_CODES.indexOf(message.substr(at, 2));
  // odd is none of ours: found across two of them, or not at all, -1
  if (found[0] !== "\x03\x04" || sessionIdLength || suite & 1 || message.charCodeAt(at + 2))
    throw -ILLEGAL_PARAMETER;
  if (isRetry) throw found[2] ? WANTS_KEY_SHARE : found[3] ? WANTS_COOKIE : -ILLEGAL_PARAMETER;
  if (found[1] === undefined) throw -HANDSHAKE_FAILURE;
  // the first identity, and the only one
  if (found[1] !== "\0\0") throw -ILLEGAL_PARAMETER;
  tagLength = TLS_AES_128_CCM_8_SHA256 && !suite ? 8 : 16;
  if (GCM && CCM) isGcm = suite === GCM_PLACE;
}
