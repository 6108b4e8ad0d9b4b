/*
 * The key schedule of TLS 1.2 with a plain pre-shared key over node:crypto: RFC 5246 (5, 6.3, 8.1), RFC 4279 (2)
 * and RFC 7627 (4). Every suite here takes the PRF with SHA-256.
 */
import { createHash, createHmac } from "node:crypto";
import type { Suite } from "./suites";

/** Hash with SHA-256; 32 bytes. */
export function sha256(...parts: Buffer[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Expand a secret to `length` bytes: P_SHA256(secret, label || seed), RFC 5246 section 5. */
export function prf(secret: Buffer, label: string, seed: Buffer, length: number): Buffer {
  const labelAndSeed = Buffer.concat([Buffer.from(label, "latin1"), seed]);
  const hmac = (data: Buffer) => createHmac("sha256", secret).update(data).digest();
  const blocks: Buffer[] = [];
  let a = labelAndSeed;
  for (let made = 0; made < length; made += 32) {
    a = hmac(a);
    blocks.push(hmac(Buffer.concat([a, labelAndSeed])));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** Make the premaster secret of RFC 4279 section 2: N zero bytes and the key, each with its length. */
export function premasterSecret(key: Buffer): Buffer {
  const length = Buffer.from([key.length >> 8, key.length & 255]);
  return Buffer.concat([length, Buffer.alloc(key.length), length, key]);
}

/** Make the 48-byte master secret from both randoms, RFC 5246 section 8.1. */
export function masterSecret(key: Buffer, clientRandom: Buffer, serverRandom: Buffer): Buffer {
  return prf(premasterSecret(key), "master secret", Buffer.concat([clientRandom, serverRandom]), 48);
}

/** Make the 48-byte extended master secret; the hash is that of all messages up to ClientKeyExchange, RFC 7627. */
export function extendedMasterSecret(key: Buffer, sessionHash: Buffer): Buffer {
  return prf(premasterSecret(key), "extended master secret", sessionHash, 48);
}

/** The keys of one direction: the HMAC key (CBC), the AES key and the fixed part of the nonce (CCM, GCM). */
export interface WriteKeys {
  mac: Buffer;
  key: Buffer;
  fixedIv: Buffer;
}

/** Cut the key block of RFC 5246 section 6.3 into the keys of the two directions. */
export function writeKeys(
  suite: Suite,
  master: Buffer,
  clientRandom: Buffer,
  serverRandom: Buffer,
): { client: WriteKeys; server: WriteKeys } {
  const macLength = suite.kind === "cbc" ? suite.macLength : 0;
  const ivLength = suite.kind === "cbc" ? 0 : 4;
  const total = 2 * (macLength + 16 + ivLength);
  const block = prf(master, "key expansion", Buffer.concat([serverRandom, clientRandom]), total);
  let offset = 0;
  const take = (length: number) => block.subarray(offset, (offset += length));
  const [clientMac, serverMac] = [take(macLength), take(macLength)];
  const [clientKey, serverKey] = [take(16), take(16)];
  const [clientIv, serverIv] = [take(ivLength), take(ivLength)];
  return {
    client: { mac: clientMac, key: clientKey, fixedIv: clientIv },
    server: { mac: serverMac, key: serverKey, fixedIv: serverIv },
  };
}

/** Make the 12 bytes of a Finished message, RFC 5246 section 7.4.9. */
export function verifyData(master: Buffer, role: "client" | "server", transcriptHash: Buffer): Buffer {
  return prf(master, `${role} finished`, transcriptHash, 12);
}
