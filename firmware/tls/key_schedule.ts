// From the pre-shared key to the keys of a connection, a section: premaster secret (RFC 4279, 2), master secret (RFC
// 7627, 4, or RFC 5246, 8.1), key block (6.3) and both sides' verify_data (7.4.9), so that no secret outlives it.

import { finish, RUNNING, update } from "hal:digest";
import type { Bytes } from "../bytes";
import { prf } from "../crypto/prf";
import { EPOCHS, PEER } from "../profile";
import { BROKER_LABEL } from "../store/derived_key";
import { key } from "../store/key";
import { randoms, transcript } from "./handshake";
import { setKeys } from "./keys";
import { extendedMasterSecret, macLength } from "./server_hello";
import { IS_SMALL } from "./tidy";

/**
 * Derive the connection's keys from the provisioned PSK and the handshake up to the ClientKeyExchange (its state in
 * handshake.ts), and give them to the record layer. Returns our Finished message (16 bytes) and the verify_data that
 * the server's must carry (12 bytes), joined.
 */
export default function keySchedule(): Bytes {
  // here the heap is at its fullest
  if (IS_SMALL) section(import("./tidy")).tidy();
  const hmac = section(import("../crypto/hmac")).hmac;
  const hmacKey = section(import("../crypto/hmac")).hmacKey;
  const hash = E.toString(finish(32, transcript));
  // where the transcript is all of the messages both randoms stand in it: the ClientHello's after 6 bytes, the
  // ServerHello's after 6 more of the second message, whose place the length of the first tells
  const serverRandom = 10 + transcript.charCodeAt(3);
  /* struct { opaque other_secret<0..2^16-1>; opaque psk<0..2^16-1>; } premaster, other_secret being as many zeros as
     the key has bytes */
  let master = hmacKey(
    32,
    E.toString(
      "\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10",
      EPOCHS
        ? section(import("../store/tree")).taken()
        : PEER
          ? section(import("../store/derived_key")).derivedKey(BROKER_LABEL)
          : key.substr(0, 16),
    ),
  );
  let output = extendedMasterSecret
    ? prf(hmac, master, "extended master secret" + hash, 48)
    : prf(
        hmac,
        master,
        "master secret" +
          (RUNNING ? randoms : transcript.substr(6, 32) + transcript.substr(serverRandom, 32)),
        48,
      );
  master = hmacKey(32, output);
  output = prf(
    hmac,
    master,
    RUNNING
      ? "key expansion" + randoms.substr(32) + randoms.substr(0, 32)
      : "key expansion" + transcript.substr(serverRandom, 32) + transcript.substr(6, 32),
    macLength ? 32 + 2 * macLength : 40,
  );
  setKeys(output);
  output = "\x14\0\0\x0c" + prf(hmac, master, "client finished" + hash, 12);
  const finished =
    "server finished" +
    E.toString(finish(32, RUNNING ? update(32, transcript, output) : E.toString(transcript, output)));
  return output + prf(hmac, master, finished, 12);
}
