// `prove NONCE`, the bench's, a section: the identity, the last error and, in base64, the check values (12 bytes) and for each
// key CMAC(P, "prove" || nonce) (64). P is for this alone: SP 800-108r1's KDF in counter mode of that key, label `prove`, context two zero
// bytes, so that its input is one block. The nonce, 11 bytes in base64, is the asker's choice; zeros stand for what is missing.
import type { Bytes } from "../bytes";
import { lastError } from "../store/event_log";
import { key } from "../store/key";
import { CHECK_VALUES } from "../store/key_record";

/** Prove the keys; a line as it is. */
export default function prove(_which: number, words: Bytes[]): Bytes {
  const macs = section(import("../store/key_record")).macs;
  const block = ("prove" + atob(words[1] || "") + "\0".repeat(11)).substr(0, 16);
  return (
    section(import("../store/settings")).readSettings().id +
    ` ${lastError} ` +
    btoa(key.substr(CHECK_VALUES) + macs(macs(key, "\0\0\0\x01prove\0\0\0\0\0\0\x80", 16), block, 16))
  );
}
