// Keys on the host's side (protocol.md, section 3): one root, four masters, a key of its own for each device.
// KDF: SP 800-108r1 in counter mode with AES-128-CMAC (SP 800-38B), 32-bit counter, 32-bit length, one block.
// Two older schemes can be selected for lines that already run them: AES-128 of the serial, and NXP AN10922.
// A key or master is 16 bytes at hand, or an AesKey that computes with bytes which nobody sees (custody/token.ts); the
// schemes ask for no more than that. Bytes live in files of mode 0600 and are never printed.
// Leaves out: where masters are kept (custody/); the ledger and the bench that burns keys.
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { UsageError } from "../cli/exit";

export const KEY_LENGTH = 16; // bytes: AES-128
export const IDENTITY_MAX_LENGTH = 64; // bytes (protocol.md 3)

/** The masters that the root is split into, each for other hands. */
export const PURPOSES = ["psk", "ota", "console", "rekey"] as const;
export type Purpose = (typeof PURPOSES)[number];

// ---------------------------------------------------------------------------------------------- identity

/** What a device says in clear: `v<key version>.<product>.<serial>`. */
export interface Identity {
  text: string;
  keyVersion: number;
  product: string;
  serial: string;
}

/** The MQTT client identifier of a device: no dot, which NATS refuses, and the same over its key versions. */
export function clientIdOf({ product, serial }: Identity): string {
  return `${product}-${serial}`;
}

/** What an identity may not hold: anything but printable ASCII, and the colon that separates it in psk files. */
export function identityFault(text: string): string | undefined {
  if (text.length === 0) return "is empty";
  if (text.length > IDENTITY_MAX_LENGTH) return `is longer than ${IDENTITY_MAX_LENGTH} characters`;
  if (/[^ -~]/.test(text)) return "holds something else than printable ASCII";
  if (text.includes(":")) return "holds a colon, which psk files use to end it";
  return undefined;
}

// Product and serial become levels of MQTT topics: no separator, no wildcard, nothing that starts with `$` (MQTT 3.1.1,
// 4.7); and no dot, which separates them here.
export const TOPIC_LEVEL = /^[^./+# ]+$/;

/** Parse an identity, or say in a UsageError what is wrong with it. Never changes a byte: what is valid is compared as is. */
export function parseIdentity(text: string): Identity {
  const fault = identityFault(text);
  const shown = JSON.stringify(text.slice(0, IDENTITY_MAX_LENGTH));
  if (fault) throw new UsageError(`the identity ${shown} ${fault}.`);
  const parts = text.split(".");
  const version = /^v([1-9]\d{0,4})$/.exec(parts[0]);
  const [, product, serial] = parts;
  const levelsGood = parts.length === 3 && TOPIC_LEVEL.test(product) && TOPIC_LEVEL.test(serial);
  if (!version || !levelsGood || product.startsWith("$")) {
    throw new UsageError(
      `the identity ${shown} is not v<key version>.<product>.<serial>, for example v1.meter.SN0000001; ` +
        "product and serial may hold no dot, space, slash, plus or hash, and the product may not begin with a dollar sign.",
    );
  }
  return { text, keyVersion: Number(version[1]), product, serial };
}

/** The prefix of every topic that a device may use. */
export function topicPrefix(identity: Identity): string {
  return `${identity.product}/${identity.serial}/`;
}

// ------------------------------------------------------------------------------------------- derivation

/** An AES-128 key to compute with, wherever its bytes are. */
export interface AesKey {
  /** AES-CMAC (SP 800-38B) of a message of at least one byte: 16 bytes. */
  cmac(message: Uint8Array): Buffer;
  /** Encrypt whole blocks in CBC mode from an IV of zeros. */
  cbc(blocks: Uint8Array): Buffer;
}

/** Take 16 bytes as an AesKey; an AesKey stays what it is. */
export function aesKey(key: Uint8Array | AesKey): AesKey {
  if (!(key instanceof Uint8Array)) return key;
  const cbc = (blocks: Uint8Array) => {
    const cipher = createCipheriv("aes-128-cbc", key, ZERO_BLOCK).setAutoPadding(false);
    return Buffer.concat([cipher.update(blocks), cipher.final()]);
  };
  let cmac: AesKey["cmac"] | undefined;
  return { cmac: (message) => (cmac ??= chainedCmac(key))(message), cbc };
}

const BLOCK = 16; // bytes
const ZERO_BLOCK = Buffer.alloc(BLOCK);

/**
 * Make AES-CMAC (SP 800-38B, 6.2) under a key for any number of messages: one key schedule and, for each message, one call
 * into OpenSSL, which is what signing a fleet takes. The cipher goes on chaining (CBC) from message to message: what it
 * has chained by then is taken out of each one's first block. A zero block behind each keeps the result, which may be a
 * key, out of the chain.
 */
function chainedCmac(key: Uint8Array): AesKey["cmac"] {
  const cipher = createCipheriv("aes-128-cbc", key, ZERO_BLOCK);
  let chained = cipher.update(ZERO_BLOCK);
  const subkey1 = double(chained);
  const subkey2 = double(subkey1);
  return (message) => {
    const length = Math.max(1, Math.ceil(message.length / BLOCK)) * BLOCK;
    const blocks = Buffer.alloc(length + BLOCK);
    blocks.set(message);
    if (message.length < length) blocks[message.length] = 0x80;
    const subkey = message.length < length ? subkey2 : subkey1;
    for (let i = 0; i < BLOCK; i++) {
      blocks[i] ^= chained[i];
      blocks[length - BLOCK + i] ^= subkey[i];
    }
    const encrypted = cipher.update(blocks);
    chained = encrypted.subarray(length);
    return encrypted.subarray(length - BLOCK, length);
  };
}

/**
 * Derive 16 bytes from a master: CMAC(master, [1]_32 || label || 0x00 || context || [128]_32), SP 800-108r1, 4.1.
 * Label and context are bytes (a string is taken as ASCII). The same as `openssl kdf -kdfopt mode:COUNTER -kdfopt
 * mac:CMAC -kdfopt salt:<label> -kdfopt info:<context> KBKDF`.
 */
export function kbkdf(master: Uint8Array | AesKey, label: string, context: Uint8Array | string): Buffer {
  const counter = Buffer.from([0, 0, 0, 1]);
  const lengthInBits = Buffer.from([0, 0, 0, KEY_LENGTH * 8]);
  const input = Buffer.concat([
    counter,
    Buffer.from(label),
    Buffer.alloc(1),
    Buffer.from(context),
    lengthInBits,
  ]);
  return aesKey(master).cmac(input);
}

/**
 * Split the root into its four masters: kbkdf(root, "master", purpose). The root has no other use, and no label of a
 * device's key is `master`.
 */
export function splitRoot(root: Uint8Array): Record<Purpose, Buffer> {
  const split = (purpose: Purpose) => kbkdf(root, "master", purpose);
  return { psk: split("psk"), ota: split("ota"), console: split("console"), rekey: split("rekey") };
}

export interface Scheme {
  about: string;
  derive(master: AesKey, identity: Identity, purpose: Purpose): Buffer;
}

/** The derivations that can be selected, by name. */
export const SCHEMES = {
  kdf: {
    about:
      "SP 800-108 KDF with CMAC over the whole identity: bound to version and product, any length; the default",
    derive: (master, identity, purpose) => kbkdf(master, purpose, identity.text),
  },
  "aes-serial": {
    about:
      "the smart-card scheme, AES-128 of the serial under the master; serials of at most 16 bytes, of one fixed length",
    derive: (master, identity) => aesOfSerial(master, identity.serial),
  },
  an10922: {
    about: "NXP AN10922 for AES-128, diversification input = the serial, 1 to 31 bytes",
    derive: (master, identity) => an10922(master, Buffer.from(identity.serial)),
  },
} satisfies Record<string, Scheme>;
export type SchemeName = keyof typeof SCHEMES;
export const SCHEME_NAMES = Object.keys(SCHEMES) as SchemeName[];

/**
 * Derive one device's key from the master of `purpose`; default is the TLS pre-shared key. In the two older schemes it
 * is the master alone that tells purposes apart. Throws UsageError where the scheme cannot take the identity.
 */
export function deriveDeviceKey(
  master: Uint8Array | AesKey,
  identity: Identity,
  scheme: SchemeName = "kdf",
  purpose: Purpose = "psk",
): Buffer {
  return (SCHEMES[scheme] as Scheme).derive(aesKey(master), identity, purpose);
}

/**
 * Encrypt the serial, filled up with zero bytes to one block, under the master. Neither key version nor product enter:
 * a new key means a new master, and two products must not share one.
 */
function aesOfSerial(master: AesKey, serial: string): Buffer {
  if (serial.length > 16) {
    throw new UsageError(
      `the serial ${serial} is longer than the 16 bytes that the scheme aes-serial can hold; ` +
        "the scheme kdf takes any length and binds version and product as well.",
    );
  }
  const block = Buffer.alloc(16);
  block.write(serial, "ascii");
  return master.cbc(block);
}

/**
 * Diversify a master by AN10922, 2.2: CMAC over 0x01 || M, except that M is always padded to two blocks.
 * M: 1 to 31 bytes.
 */
export function an10922(master: Uint8Array | AesKey, diversificationInput: Uint8Array): Buffer {
  const { cbc } = aesKey(master);
  const length = diversificationInput.length;
  if (length < 1 || length > 31) {
    throw new UsageError(`a diversification input of ${length} bytes is outside the 1 to 31 of AN10922.`);
  }
  const message = Buffer.alloc(32);
  message[0] = 0x01; // constant for AES-128
  message.set(diversificationInput, 1);
  const padded = length < 31;
  if (padded) message[length + 1] = 0x80;
  const subkey1 = double(cbc(Buffer.alloc(16)));
  const subkey = padded ? double(subkey1) : subkey1;
  for (let i = 0; i < 16; i++) message[16 + i] ^= subkey[i];
  return cbc(message).subarray(16);
}

/** Double a block in GF(2^128), as CMAC's subkeys are made (SP 800-38B, 6.1). */
function double(block: Buffer): Buffer {
  const doubled = Buffer.alloc(16);
  for (let i = 0; i < 16; i++) doubled[i] = (block[i] << 1) | ((block[i + 1] ?? 0) >> 7);
  if (block[0] & 0x80) doubled[15] ^= 0x87;
  return doubled;
}

/** The key check value: the first 3 bytes of CMAC(key, 16 zero bytes), as 6 hex digits. Safe to print and to compare. */
export function keyCheckValue(key: Uint8Array | AesKey): string {
  return aesKey(key).cmac(Buffer.alloc(16)).toString("hex", 0, 3).toUpperCase();
}

/** The check values of four keys as the device reports them: hex, in the order of the record. */
export function checkValuesOf(keys: Record<Purpose, Uint8Array>): string {
  return PURPOSES.map((purpose) => keyCheckValue(keys[purpose])).join("");
}

/** Lay out the key record of a device (firmware/store/key_record.ts): four keys, then their check values. The caller wipes it. */
export function keyRecord(keys: Record<Purpose, Uint8Array>): Buffer {
  const checks = Buffer.from(checkValuesOf(keys), "hex");
  return Buffer.concat([...PURPOSES.map((purpose) => keys[purpose]), checks]);
}

// ---------------------------------------------------------------------------------------- weak masters

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

// ----------------------------------------------------------------------------------------------- files

/** Write a secret into a new file of mode 0600; a file that is already there is never written over. */
export function writeSecret(path: string, secret: Uint8Array): void {
  try {
    writeFileSync(path, secret, { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${fileFault(error)}.`);
  }
}

/**
 * Read a file that holds a secret, at most `limit` bytes. One that others can read is refused: its secret is no longer
 * one. `what` names the contents in the sentence.
 */
export function readPrivateFile(path: string, limit: number, what: string): Buffer {
  try {
    const status = statSync(path);
    if (status.isFile() && status.size > limit) throw new UsageError(`${path} is too long for ${what}.`);
    if (process.platform !== "win32" && status.isFile() && status.mode & 0o077) {
      throw new UsageError(
        `${path} can be read by others than its owner; chmod 600 it, and think of what is in it as known.`,
      );
    }
    return readFileSync(path);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  }
}

/** Read a secret of 16 bytes from a private file, stored as 16 raw bytes or as 32 hex digits; refuse a weak one. */
export function readSecret(path: string): Buffer {
  const bytes = readPrivateFile(path, 64, "a key of 16 bytes or 32 hex digits");
  const text = bytes.toString("latin1").trim();
  const secret =
    bytes.length !== KEY_LENGTH && /^[0-9A-Fa-f]*$/.test(text) ? Buffer.from(text, "hex") : bytes;
  return strongKey(secret, `the key in ${path}`);
}

/** Say in words why a file could not be read or written. */
export function fileFault(error: unknown): string {
  const sentences: Record<string, string> = {
    ENOENT: "there is no such file or folder",
    EEXIST: "it is there already, and keys are not written over",
    EACCES: "it is not permitted",
    EISDIR: "it is a folder",
  };
  return sentences[(error as NodeJS.ErrnoException).code ?? ""] ?? (error as Error).message;
}
