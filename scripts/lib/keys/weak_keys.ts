// Keys that are none: too short, published, repeating, counting, text (RFC 9257, section 6; RFC 7925, 4.1). And good ones.
import { randomBytes } from "node:crypto";
import { UsageError } from "../cli/exit";
import { type AesKey, aesKey, KEY_LENGTH } from "./kdf";

// Keys that stand in standards, application notes and examples: known to everyone, so no keys at all.
const PUBLISHED_KEYS = new Set([
  "000102030405060708090a0b0c0d0e0f", // FIPS 197, appendix C.1
  "0f0e0d0c0b0a09080706050403020100",
  "0102030405060708090a0b0c0d0e0f10",
  "100f0e0d0c0b0a090807060504030201",
  "101112131415161718191a1b1c1d1e1f",
  "404142434445464748494a4b4c4d4e4f", // GlobalPlatform's default card key; SP 800-38C's examples
  "00112233445566778899aabbccddeeff", // AN10922, 2.2.1; FIPS 197
  "ffeeddccbbaa99887766554433221100",
  "0123456789abcdef0123456789abcdef",
  "fedcba98765432100123456789abcdef",
  "0123456789abcdeffedcba9876543210",
  "2b7e151628aed2a6abf7158809cf4f3c", // FIPS 197 A.1, SP 800-38A, SP 800-38B, RFC 4493
  "603deb1015ca71be2b73aef0857d7781", // SP 800-38A, first half of the AES-256 key
  "8e73b0f7da0e6452c810f32b809079e5", // SP 800-38A, first 16 bytes of the AES-192 key
  "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", // RFC 3610
  "d7828d13b2b0bdc325a76236df93cc6b", // RFC 3610
  "1a2b3c4d5e6f70818293a4b5c6d7e8f9",
  "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d",
  "deadbeefdeadbeefdeadbeefdeadbeef",
  "cafebabecafebabecafebabecafebabe",
]);

/**
 * Say why a master or key cannot be one, or return undefined. Of random keys fewer than one in a million is refused by
 * chance (printable: 0.37^16; 8 different bytes or fewer: under 10^-9).
 */
export function masterFault(master: Uint8Array): string | undefined {
  if (master.length !== KEY_LENGTH) return `is ${master.length} bytes long, not ${KEY_LENGTH}`;
  if (master.every((byte) => byte === 0)) return "is all zero";
  if (PUBLISHED_KEYS.has(Buffer.from(master).toString("hex")))
    return "is a published test key that everyone knows";
  if (new Set(master).size <= KEY_LENGTH / 2) return "repeats itself: it holds hardly any different bytes";
  const step = (master[1] - master[0]) & 0xff;
  if (master.every((byte, i) => i === 0 || ((byte - master[i - 1]) & 0xff) === step))
    return "counts: every byte follows from the first";
  if (master.every((byte) => byte >= 0x20 && byte < 0x7f)) return "is text, not 128 random bits";
  return undefined;
}

/**
 * The same for a key whose bytes cannot be seen: whether it does what a published key, or one byte repeated, would do.
 */
export function hiddenKeyFault(key: AesKey): string | undefined {
  const tell = (candidate: AesKey) => candidate.cmac(Buffer.alloc(16)).toString("hex");
  const found = tell(key);
  for (let byte = 0; byte < 256; byte++) {
    if (found === tell(aesKey(Buffer.alloc(KEY_LENGTH, byte)))) return "is one byte repeated";
  }
  for (const published of PUBLISHED_KEYS) {
    if (found === tell(aesKey(Buffer.from(published, "hex"))))
      return "is a published test key that everyone knows";
  }
  return undefined;
}

/** Refuse a weak master or key (RFC 9257, section 6; RFC 7925, 4.1) with a UsageError. Returns it. */
export function strongKey<Key extends Uint8Array>(master: Key, what: string): Key {
  const fault = masterFault(master);
  if (fault) throw new UsageError(`${what} ${fault}. Make one with 128 random bits: npm run keys -- new.`);
  return master;
}

/** Make 16 random bytes by the system's generator; the one in a million that looks weak is drawn again. */
export function randomKey(): Buffer {
  const key = randomBytes(KEY_LENGTH);
  return masterFault(key) ? randomKey() : key;
}

/** Whether a text could be a key: 32 hex digits, however they are separated, or the base64 of 16 bytes. */
export function looksLikeKey(text: string): boolean {
  return /[0-9A-Fa-f]{32}/.test(text.replace(/0x|[^0-9A-Za-z]/g, "")) || /[\w+/-]{22}==/.test(text);
}
