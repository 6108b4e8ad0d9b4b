// Keys on the host's side: one root, four masters, a key of its own for each device.
// KDF: SP 800-108r1 in counter mode with AES-128-CMAC (SP 800-38B), 32-bit counter, 32-bit length, one block.
// Two older schemes can be selected for lines that already run them: AES-128 of the serial, and NXP AN10922.
// A key or master is 16 bytes at hand, or an AesKey that computes with bytes which nobody sees (custody/token.ts); the
// schemes ask for no more than that. Leaves out: where masters are kept (custody/), files (files/private_file.ts).
import { createCipheriv } from "node:crypto";
import { UsageError } from "../cli/exit";
import type { Identity } from "./identity";

export const KEY_LENGTH = 16; // bytes: AES-128

/** The masters that the root is split into, each for other hands. */
export const PURPOSES = ["psk", "ota", "console", "rekey"] as const;
export type Purpose = (typeof PURPOSES)[number];
/** What the master `psk` derives beside a device's key for TLS 1.2: a key serves one protocol (RFC 9257, 6); by their labels. */
export const OTHER_LABELS = {
  psk13: "TLS 1.3",
  akep2: "AKEP2",
  "psk/tree": "a tree of epochs",
  esp: "ESP",
  peer: "a device under tickets",
} as const;
type OtherLabel = keyof typeof OTHER_LABELS;
export type PskLabel = "psk" | OtherLabel;
export const PSK_LABELS = ["psk", ...(Object.keys(OTHER_LABELS) as OtherLabel[])] as const;
/** What a key is derived for. */
export type Label = Purpose | PskLabel;

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
 * Derive `length` bytes, whole blocks of 16, from a master: block i is CMAC(master, [i]_32 || label || 0x00 || context || [bits]_32), SP
 * 800-108r1, 4.1. Label and context are bytes (a string is taken as ASCII). The same as `openssl kdf -kdfopt mode:COUNTER -kdfopt
 * mac:CMAC -kdfopt salt:<label> -kdfopt info:<context> KBKDF`.
 */
export function kbkdf(
  master: Uint8Array | AesKey,
  label: string,
  context: Uint8Array | string,
  length = KEY_LENGTH,
): Buffer {
  const { cmac } = aesKey(master);
  const word = (number: number) => Buffer.from([0, 0, number >> 8, number]);
  const fixed = Buffer.concat([Buffer.from(label), Buffer.alloc(1), Buffer.from(context), word(length * 8)]);
  const blocks: Buffer[] = [];
  for (let i = 1; i <= length / KEY_LENGTH; i++) blocks.push(cmac(Buffer.concat([word(i), fixed])));
  return Buffer.concat(blocks);
}

/**
 * Derive the key under which a device proves one of its keys (firmware/console/prove.ts): kbkdf(key, "prove", two zero bytes). A CMAC
 * of what the asker chooses is never one under a key that has another use.
 */
export function proofKey(key: Uint8Array | AesKey): Buffer {
  return kbkdf(key, "prove", Buffer.alloc(2));
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
  derive(master: AesKey, identity: Identity, label: Label): Buffer;
}

/** The derivations that can be selected, by name. */
export const SCHEMES = {
  kdf: {
    about:
      "SP 800-108 KDF with CMAC over the whole identity: bound to version and product, any length; the default",
    derive: (master, identity, label) => kbkdf(master, label, identity.text),
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
 * Derive one device's key for `label` from its master; default is the TLS pre-shared key. In the two older schemes it
 * is the master alone that tells purposes apart. Throws UsageError where the scheme cannot take the identity.
 */
export function deriveDeviceKey(
  master: Uint8Array | AesKey,
  identity: Identity,
  scheme: SchemeName = "kdf",
  label: Label = "psk",
): Buffer {
  if (scheme !== "kdf" && label in OTHER_LABELS)
    throw new UsageError(
      `the scheme ${scheme} has one key for each device, and ${OTHER_LABELS[label as OtherLabel]} wants one of its own.`,
    );
  return (SCHEMES[scheme] as Scheme).derive(aesKey(master), identity, label);
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
