// AES-128-CCM (SP 800-38C) with a nonce of 12 bytes and a tag of 16, as sections: the one box that everything between two devices and the
// ticket service is in. In B0 the length has 3 bytes (A.2), the additional data their length before them, 2 bytes.
import type { Bytes } from "../bytes";

/** Length of a tag, bytes. */
export const TAG = 16;
/** Flags of B0: additional data, a tag of 16 bytes, a length of 3. */
const FLAGS = 0x7a;

/** Build what crypto/ccm.ts and crypto/ctr.ts take: `secret` is the key (16 bytes) and the nonce (12); `additional` is under 256 bytes. */
export function context(secret: Bytes, additional: Bytes, size: number): Bytes {
  return E.toString(
    secret.substr(0, 16),
    FLAGS,
    secret.substr(16),
    0,
    size >> 8,
    size,
    0,
    additional.length,
    additional,
  );
}

/** Encrypt what is kept (session.ts): its tag stands behind it. */
export function seal(secret: Bytes, additional: Bytes): Bytes {
  let text = section(import("./session")).take();
  const size = text.length;
  secret = section(import("./box")).context(secret, additional, size);
  text = E.toString(section(import("../crypto/ccm")).ccmMac(secret, text), text, {
    data: 0,
    count: -size & 15,
  });
  text = section(import("../crypto/ctr")).ctrTurn(secret, text);
  return text.substr(16, size) + text.substr(0, TAG);
}

/** Decrypt what `seal` gave; undefined where it is not whole. */
export function open(secret: Bytes, additional: Bytes, box: Bytes): Bytes | undefined {
  const size = box.length - TAG;
  if (size < 0) return;
  secret = section(import("./box")).context(secret, additional, size);
  // not in the call itself: the box would be held while its text grows
  box = E.toString(box.substr(size), box.substr(0, size), { data: 0, count: -size & 15 });
  box = section(import("../crypto/ctr")).ctrTurn(secret, box);
  const tag = box.substr(0, TAG);
  box = box.substr(16, size);
  if (section(import("../bytes")).difference(section(import("../crypto/ccm")).ccmMac(secret, box), tag))
    return;
  return box;
}
