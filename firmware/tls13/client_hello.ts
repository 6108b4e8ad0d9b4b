// The ClientHello of TLS 1.3 with one external PSK (RFC 8446, 4.1.2) and psk_ke: supported_versions (4.2.1), psk_key_exchange_modes
// (4.2.9), pre_shared_key (4.2.11), max_fragment_length (RFC 6066) and record_size_limit (RFC 8449). Bytes in, bytes out. Leaves out
// key shares, early data and a session id: no middle box is humoured (D.4).
import type { Bytes } from "../bytes";
import { SUITE_CODES, SUITES } from "./cipher_suites";

/** Extensions: type, length, body of each. Versions: 1.3; modes: psk_ke; code 1 of max_fragment_length is 2^9 = 512 bytes. */
const OFFERED = "\0\x2b\0\x03\x02\x03\x04" + "\0\x2d\0\x02\x01\0" + "\0\x01\0\x01\x01" + "\0\x1c\0\x02\x02\0";
const OFFERED_LENGTH = 7 + 6 + 5 + 6;
/** Bytes of the binders: their length, the length of the one, itself. */
const BINDERS_LENGTH = 2 + 1 + 32;
/** Bytes of pre_shared_key around the identity: type, length, length of the list, of the identity, its age, the binders. */
const PRE_SHARED_KEY_LENGTH = 4 + 2 + 2 + 4 + BINDERS_LENGTH;

/**
 * Build the ClientHello (handshake header and body) around `clientRandom` (32 bytes) and `identity` (1 to 64 bytes), up to the binders
 * (4.2.11.2), which are the 35 bytes that must follow: 0, 33, 32 and the binder.
 */
export default function clientHello(clientRandom: Bytes, identity: Bytes): Bytes {
  /* struct { ProtocolVersion legacy_version; Random random; opaque legacy_session_id<0..32>; CipherSuite cipher_suites<2..2^16-2>;
     opaque legacy_compression_methods<1..2^8-1>; Extension extensions<8..2^16-1>; } ClientHello;
     struct { PskIdentity identities<7..2^16-1>; PskBinderEntry binders<33..2^16-1>; } OfferedPsks;
     struct { opaque identity<1..2^16-1>; uint32 obfuscated_ticket_age; } PskIdentity; */
  const extra = PRE_SHARED_KEY_LENGTH + identity.length;
  return E.toString(
    1,
    0,
    0,
    41 + 2 * SUITES + OFFERED_LENGTH + extra,
    3,
    3,
    clientRandom,
    0,
    0,
    2 * SUITES,
    SUITE_CODES,
    1,
    0,
    0,
    OFFERED_LENGTH + extra,
    OFFERED,
    0,
    41,
    0,
    extra - 4,
    0,
    identity.length + 6,
    0,
    identity.length,
    identity,
    "\0\0\0\0",
  );
}
