// The ClientHello of TLS 1.2 (RFC 5246, 7.4.1.2) with max_fragment_length (RFC 6066), record_size_limit (RFC 8449),
// extended_master_secret (RFC 7627), encrypt_then_mac (RFC 7366) and the renegotiation SCSV (RFC 5746). Bytes in, bytes
// out. Leaves out session resumption: the session_id is empty.
import type { Bytes } from "../bytes";
import { SMALL } from "../profile";
import { CBC, SUITE_CODES, SUITES } from "./cipher_suites";

/** Extensions: type, length, body of each. Code 1 of max_fragment_length is 2^9 = 512 bytes, the least it can say. */
const OFFERED =
  "\0\x01\0\x01\x01" +
  (SMALL ? "\0\x1c\0\x02\0\x80" : "\0\x1c\0\x02\x02\0") +
  "\0\x17\0\0" +
  (CBC ? "\0\x16\0\0" : "");
const OFFERED_LENGTH = 5 + 6 + 4 + (CBC ? 4 : 0);
/** Length of the suites, bytes: the SCSV and theirs. */
const SUITES_LENGTH = 2 + 2 * SUITES;

/**
 * Build the ClientHello (handshake header and body) around `clientRandom` (32 bytes). 45 bytes, 2 for each suite, and
 * 17 or 21 of extensions.
 */
export default function clientHello(clientRandom: Bytes): Bytes {
  /* struct { ProtocolVersion client_version; Random random; SessionID session_id; CipherSuite cipher_suites<2..2^16-2>;
     CompressionMethod compression_methods<1..2^8-1>; Extension extensions<0..2^16-1>; } ClientHello; */
  return E.toString(
    1,
    0,
    0,
    41 + SUITES_LENGTH + OFFERED_LENGTH,
    3,
    3,
    clientRandom,
    0,
    0,
    SUITES_LENGTH,
    "\0\xff" + SUITE_CODES, // TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746, 3.3)
    1,
    0,
    0,
    OFFERED_LENGTH,
    OFFERED,
  );
}
