/*
 * Record protection of TLS 1.2 over node:crypto: CBC with MAC then encrypt (RFC 5246, 6.2.3.2) and with encrypt
 * then MAC (RFC 7366), and CCM (RFC 6655) and GCM (RFC 5288), RFC 5246 6.2.3.3. Sealing takes a list of ways to spoil a record;
 * opening is that of an honest server and throws the number of the alert.
 */
import { type CipherCCMTypes, createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import type { WriteKeys } from "./key_schedule";
import type { Suite } from "./suites";

export const BAD_RECORD_MAC = 20;

/** What protects one direction; the sequence number moves with every record. */
export interface Protection {
  suite: Suite;
  keys: WriteKeys;
  encryptThenMac: boolean;
  sequence: bigint;
}

/** Ways to spoil a record while it is sealed; each gets the honest bytes and returns those to use. */
export interface Spoil {
  /** Content type that the MAC or the tag is made for. */
  sealedType?: number;
  /** The padding with its length byte, CBC only. */
  padding?(padding: Buffer): Buffer;
  /** All that is encrypted, CBC only: text, the MAC where it goes inside, padding; whole blocks. */
  padded?(padded: Buffer): Buffer;
  /** The HMAC or the tag. */
  mac?(mac: Buffer): Buffer;
  /** The explicit IV (16) or explicit nonce (8). */
  iv?(iv: Buffer): Buffer;
  /** The finished body of the record. */
  body?(body: Buffer): Buffer;
}

function sequenceBytes(sequence: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(sequence);
  return bytes;
}

function header(type: number, length: number): Buffer {
  return Buffer.from([type, 3, 3, length >> 8, length & 255]);
}

function hmac(protection: Protection, type: number, data: Buffer): Buffer {
  return createHmac(protection.suite.hash, protection.keys.mac)
    .update(sequenceBytes(protection.sequence))
    .update(header(type, data.length))
    .update(data)
    .digest();
}

/** Protect one fragment; returns the record's body and moves the sequence number. */
export function seal(protection: Protection, type: number, fragment: Buffer, spoil: Spoil = {}): Buffer {
  const honest = (bytes: Buffer) => bytes;
  const { mac = honest, iv = honest, body = honest } = spoil;
  const sealedType = spoil.sealedType ?? type;
  const sealed =
    protection.suite.kind === "cbc"
      ? sealCbc(protection, sealedType, fragment, spoil, mac, iv)
      : sealAead(protection, sealedType, fragment, mac, iv);
  protection.sequence += 1n;
  return body(sealed);
}

type Change = (bytes: Buffer) => Buffer;

/** The AEAD's name in node:crypto; its type is that of CCM, the one that asks for a length of the text. */
function algorithm({ kind }: Suite): CipherCCMTypes {
  return `aes-128-${kind}` as CipherCCMTypes;
}

function sealAead(protection: Protection, type: number, fragment: Buffer, mac: Change, iv: Change): Buffer {
  const { suite, keys, sequence } = protection;
  const explicit = iv(sequenceBytes(sequence));
  const nonce = Buffer.concat([keys.fixedIv, explicit]);
  const cipher = createCipheriv(algorithm(suite), keys.key, nonce, { authTagLength: suite.macLength });
  const additional = Buffer.concat([sequenceBytes(sequence), header(type, fragment.length)]);
  cipher.setAAD(additional, { plaintextLength: fragment.length });
  const encrypted = Buffer.concat([cipher.update(fragment), cipher.final()]);
  return Buffer.concat([explicit, encrypted, mac(cipher.getAuthTag())]);
}

function sealCbc(
  protection: Protection,
  type: number,
  fragment: Buffer,
  { padding = (bytes) => bytes, padded = (bytes) => bytes }: Spoil,
  mac: Change,
  iv: Change,
): Buffer {
  const { keys, encryptThenMac } = protection;
  const explicit = iv(randomBytes(16));
  const inner = encryptThenMac ? fragment : Buffer.concat([fragment, mac(hmac(protection, type, fragment))]);
  const padLength = 15 - (inner.length % 16);
  const text = padded(Buffer.concat([inner, padding(Buffer.alloc(padLength + 1, padLength))]));
  const cipher = createCipheriv("aes-128-cbc", keys.key, explicit).setAutoPadding(false);
  const body = Buffer.concat([explicit, cipher.update(text), cipher.final()]);
  return encryptThenMac ? Buffer.concat([body, mac(hmac(protection, type, body))]) : body;
}

/** Open one record's body; returns the fragment and moves the sequence number. Throws BAD_RECORD_MAC. */
export function open(protection: Protection, type: number, body: Buffer): Buffer {
  let fragment: Buffer;
  try {
    fragment =
      protection.suite.kind === "cbc" ? openCbc(protection, type, body) : openAead(protection, type, body);
  } catch {
    throw BAD_RECORD_MAC;
  }
  protection.sequence += 1n;
  return fragment;
}

function openAead(protection: Protection, type: number, body: Buffer): Buffer {
  const { suite, keys, sequence } = protection;
  const length = body.length - 8 - suite.macLength;
  const nonce = Buffer.concat([keys.fixedIv, body.subarray(0, 8)]);
  const cipher = createDecipheriv(algorithm(suite), keys.key, nonce, { authTagLength: suite.macLength });
  cipher.setAuthTag(body.subarray(8 + length));
  cipher.setAAD(Buffer.concat([sequenceBytes(sequence), header(type, length)]), { plaintextLength: length });
  const fragment = cipher.update(body.subarray(8, 8 + length));
  cipher.final();
  return fragment;
}

function openCbc(protection: Protection, type: number, body: Buffer): Buffer {
  const { suite, keys, encryptThenMac } = protection;
  const sealed = encryptThenMac ? body.subarray(0, body.length - suite.macLength) : body;
  if (encryptThenMac && !hmac(protection, type, sealed).equals(body.subarray(sealed.length)))
    throw BAD_RECORD_MAC;
  const cipher = createDecipheriv("aes-128-cbc", keys.key, sealed.subarray(0, 16)).setAutoPadding(false);
  const padded = Buffer.concat([cipher.update(sealed.subarray(16)), cipher.final()]);
  const padLength = padded[padded.length - 1];
  const end = padded.length - 1 - padLength;
  if (!padded.subarray(Math.max(end, 0)).every((byte) => byte === padLength)) throw BAD_RECORD_MAC;
  if (encryptThenMac) return padded.subarray(0, end);
  const fragment = padded.subarray(0, end - suite.macLength);
  if (!hmac(protection, type, fragment).equals(padded.subarray(fragment.length, end))) throw BAD_RECORD_MAC;
  return fragment;
}
