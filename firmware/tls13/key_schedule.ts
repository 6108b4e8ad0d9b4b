// The key schedule of TLS 1.3 with an external PSK and psk_ke (RFC 8446, 7.1), a section: from the secrets of the key (secrets.ts) and the
// transcript to what protects records and what Finished carries.
import { finish } from "hal:digest";
import type { Bytes } from "../bytes";
import { IS_SMALL } from "../tls/tidy";
import { transcript } from "./handshake";
import { AT_FINISHED, keys } from "./keys";
import { AT_MASTER, secrets } from "./secrets";

/**
 * Derive what the handshake goes on with from the transcript so far (handshake.ts). After the ServerHello: the keys of the handshake
 * (keys.ts, 120 bytes), then the finished_key of client and server (32 each). After the server's Finished: the keys of the application's
 * data (120 bytes), then our Finished message (36 bytes).
 */
export default function keySchedule(): Bytes {
  // here the heap is at its fullest
  if (IS_SMALL) section(import("../tls/tidy")).tidy();
  const hmac = section(import("../crypto/hmac")).hmac;
  const hmacKey = section(import("../crypto/hmac")).hmacKey;
  const expandLabel = section(import("./hkdf")).expandLabel;
  const hash = E.toString(finish(32, transcript));
  let pads = hmacKey(32, secrets.substr(keys ? AT_MASTER : 0, 32));
  const client = expandLabel(pads, keys ? "\x20c ap traffic" : "\x20c hs traffic", hash);
  const server = expandLabel(pads, keys ? "\x20s ap traffic" : "\x20s hs traffic", hash);
  if (keys) section(import("./secrets")).forget();
  let last = keys && "\x14\0\0\x20" + hmac(32, hmacKey(32, keys.substr(AT_FINISHED, 32)), hash);
  let newKeys = "";
  let ivs = "";
  for (const traffic of [client, server]) {
    pads = hmacKey(32, traffic);
    newKeys += expandLabel(pads, "\x10key", "");
    ivs += expandLabel(pads, "\x0civ", "");
    if (!keys) last += expandLabel(pads, "\x20finished", "");
  }
  return E.toString(client, server, newKeys, ivs, last);
}
