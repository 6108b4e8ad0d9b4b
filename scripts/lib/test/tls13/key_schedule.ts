/*
 * The key schedule of TLS 1.3 with an external PSK and psk_ke over node:crypto (RFC 8446, 7.1 to 7.3), and its records (5.2).
 */
import { type CipherCCMTypes, createCipheriv, createDecipheriv, createHash, createHmac } from "node:crypto";
import type { Suite13 } from "./suites";

export const hash = (...parts: Buffer[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
export const hmac = (key: Buffer, data: Buffer): Buffer => createHmac("sha256", key).update(data).digest();
const ZEROS = Buffer.alloc(32);

/** HKDF-Expand-Label (7.1), of at most 32 bytes. */
export function expandLabel(secret: Buffer, label: string, context: Buffer, length: number): Buffer {
  const full = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Buffer.from([0, length, full.length]),
    full,
    Buffer.from([context.length]),
    context,
    Buffer.from([1]),
  ]);
  return hmac(secret, info).subarray(0, length);
}

/** Derive-Secret (7.1). */
const derive = (secret: Buffer, label: string, ...messages: Buffer[]): Buffer =>
  expandLabel(secret, label, hash(...messages), 32);

export const earlySecret = (key: Buffer): Buffer => hmac(ZEROS, key);
export const handshakeSecret = (key: Buffer): Buffer => hmac(derive(earlySecret(key), "derived"), ZEROS);
export const masterSecret = (key: Buffer): Buffer => hmac(derive(handshakeSecret(key), "derived"), ZEROS);

/** verify_data of a Finished, or a binder: over the transcript. */
export function verifyData(baseKey: Buffer, ...messages: Buffer[]): Buffer {
  return hmac(expandLabel(baseKey, "finished", Buffer.alloc(0), 32), hash(...messages));
}

/** The binder of a ClientHello up to the binders (4.2.11.2). */
export const binder = (key: Buffer, truncated: Buffer): Buffer =>
  verifyData(derive(earlySecret(key), "ext binder"), truncated);

/** Both ends' secrets: of the handshake ("hs"), or of what comes after it ("ap"). */
export function trafficSecrets(secret: Buffer, stage: "hs" | "ap", ...messages: Buffer[]) {
  return {
    client: derive(secret, `c ${stage} traffic`, ...messages),
    server: derive(secret, `s ${stage} traffic`, ...messages),
  };
}

/** What protects one direction; the number moves with every record. */
export class Protection {
  private sequence = 0n;
  private key: Buffer;
  private iv: Buffer;
  constructor(
    private readonly suite: Suite13,
    public secret: Buffer,
  ) {
    this.key = expandLabel(secret, "key", Buffer.alloc(0), 16);
    this.iv = expandLabel(secret, "iv", Buffer.alloc(0), 12);
  }

  /** The keys that follow (7.2). */
  next(): Protection {
    return new Protection(this.suite, expandLabel(this.secret, "traffic upd", Buffer.alloc(0), 32));
  }

  private nonce(): Buffer {
    const nonce = Buffer.from(this.iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ this.sequence++, 4);
    return nonce;
  }

  private get algorithm(): CipherCCMTypes {
    return this.suite.cipher as CipherCCMTypes;
  }

  /** Seal a TLSInnerPlaintext under its header; gives the whole record. */
  seal(inner: Buffer): Buffer {
    const { tagLength } = this.suite;
    const length = inner.length + tagLength;
    const header = Buffer.from([23, 3, 3, length >> 8, length & 255]);
    const cipher = createCipheriv(this.algorithm, this.key, this.nonce(), { authTagLength: tagLength });
    cipher.setAAD(header, { plaintextLength: inner.length });
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  /** Open a whole record; throws where its tag is wrong. */
  open(record: Buffer): Buffer {
    const { tagLength } = this.suite;
    const end = record.length - tagLength;
    const cipher = createDecipheriv(this.algorithm, this.key, this.nonce(), { authTagLength: tagLength });
    cipher.setAuthTag(record.subarray(end));
    cipher.setAAD(record.subarray(0, 5), { plaintextLength: end - 5 });
    const inner = cipher.update(record.subarray(5, end));
    cipher.final();
    return inner;
  }
}
