// From the pre-shared key to the keys of a connection, in the place of tls/key_schedule.ts: the same in another order, so that the transcript is gone before the
// longest output. Extended master secret (RFC 7627) alone, a native digest alone.
import { finish } from "hal:digest";
import type { Bytes } from "../bytes";
import { key } from "../store/key";
import { dropTranscript, transcript } from "../tls/handshake";
import { setKeys } from "../tls/keys";
import { macLength } from "../tls/server_hello";

/**
 * Derive the connection's keys from the provisioned PSK and the handshake up to the ClientKeyExchange, and give them to the record layer. Returns our
 * Finished message (16 bytes) and the verify_data that the server's must carry (12 bytes), joined.
 */
export default function keySchedule(): Bytes {
  section(import("../tls/tidy")).tidy();
  /* struct { opaque other_secret<0..2^16-1>; opaque psk<0..2^16-1>; } premaster, other_secret being as many zeros as
     the key has bytes */
  let pads = section(import("../crypto/hmac")).hmacKey(
    32,
    E.toString("\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10", key.substr(0, 16)),
  );
  const hash = E.toString(finish(32, transcript));
  pads = section(import("./prf"))(pads, E.toString("extended master secret", hash), 48);
  pads = section(import("../crypto/hmac")).hmacKey(32, pads);
  let verify = "\x14\0\0\x0c" + section(import("./prf"))(pads, E.toString("client finished", hash), 12);
  verify += section(import("./prf"))(
    pads,
    E.toString("server finished", finish(32, [transcript, verify])),
    12,
  );
  // both randoms: the ClientHello's after 6 bytes, the ServerHello's after 6 more of the second message, whose place the length of the first tells
  const seed = E.toString(
    "key expansion",
    transcript.substr(10 + transcript.charCodeAt(3), 32),
    transcript.substr(6, 32),
  );
  dropTranscript();
  setKeys(section(import("./prf"))(pads, seed, macLength ? 32 + 2 * macLength : 40));
  return verify;
}
