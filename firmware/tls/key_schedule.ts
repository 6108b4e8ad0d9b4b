// From the pre-shared key to the keys of a connection: premaster secret (RFC 4279, 2), master secret (RFC 7627, 4, or
// RFC 5246, 8.1), key block (6.3). Bytes in, bytes out.
import type { Bytes } from "../bytes";
import { hmacKey } from "../crypto/hmac";
import { prf } from "../crypto/prf";
import { requireExtendedMasterSecret } from "../profile";

/**
 * Derive the master secret and return it as `hmacKey` gives it, the form in which every later use takes it. `psk`: 16 bytes;
 * `sessionHash`: 32 bytes, the hash of the handshake up to the ClientKeyExchange, or "" for the master secret of
 * RFC 5246 from `randoms`, the client's and the server's, 32 bytes each.
 */
export function masterSecret(psk: Bytes, sessionHash: Bytes, randoms: Bytes): Bytes {
  /* struct { opaque other_secret<0..2^16-1>; opaque psk<0..2^16-1>; } premaster, other_secret being as many zeros as
     the key has bytes */
  const premaster = E.toString(0, 16, { data: 0, count: 16 }, 0, 16, psk);
  const seed =
    requireExtendedMasterSecret || sessionHash
      ? "extended master secret" + sessionHash
      : "master secret" + randoms;
  return hmacKey(32, prf(hmacKey(32, premaster), seed, 48));
}
