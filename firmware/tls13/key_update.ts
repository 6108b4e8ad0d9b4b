// The KeyUpdate of TLS 1.3 (RFC 8446, 4.6.3 and 7.2), as sections: what comes from the server, our answer where it asks for one.
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { ILLEGAL_PARAMETER } from "../tls/alert";
import { HANDSHAKE } from "../tls/constants";
import { AT_IVS, AT_KEYS, CLIENT, keys, SERVER, setKeys } from "./keys";

/** Take a KeyUpdate (handshake header and body, 5 bytes): new keys for what the server sends, and for what we send if it asks. */
export function keyUpdate(transport: Socket, message: Bytes): void {
  /* struct { KeyUpdateRequest request_update; } KeyUpdate; */
  const isRequested = message.charCodeAt(4);
  if (isRequested >> 1) throw -ILLEGAL_PARAMETER;
  section(import("./key_update")).nextKeys(SERVER);
  if (!isRequested) return;
  section(import("./record")).send(transport, HANDSHAKE, "\x18\0\0\x01\0");
  section(import("./key_update")).nextKeys(CLIENT);
}

/** Take the keys that follow those of one `end`, with numbers from 0. */
export function nextKeys(end: number): void {
  const hmacKey = section(import("../crypto/hmac")).hmacKey;
  const expandLabel = section(import("./hkdf")).expandLabel;
  const traffic = expandLabel(hmacKey(32, keys.substr(32 * end, 32)), "\x20traffic upd", "");
  const pads = hmacKey(32, traffic);
  const newKey = expandLabel(pads, "\x10key", "");
  const iv = expandLabel(pads, "\x0civ", "");
  // the server's stand second
  setKeys(
    end
      ? E.toString(keys.substr(0, 32), traffic, keys.substr(AT_KEYS, 16), newKey, keys.substr(AT_IVS, 12), iv)
      : E.toString(
          traffic,
          keys.substr(32, 32),
          newKey,
          keys.substr(AT_KEYS + 16, 16),
          iv,
          keys.substr(AT_IVS + 12, 12),
        ),
  );
  section(import("./record")).restart(end);
}
