// Espruino's `crypto` library (jswrap_crypto) with its traps: no padding; a bad length prints an ERROR line
// and gives undefined in CBC, a zero tail in ECB; CTR ignores its iv; DataViews are refused. Leaves out CCM,
// PBKDF2 and the modes that come out wrong (CFB, OFB).

import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import type { CryptoPart } from "../../boards/builds";
import { toBytes } from "./bytes";
import type { Counters } from "./counters";

/** What a build of Espruino may have in it. */

export interface CryptoHost {
  counters: Counters;
  print(line: string): void;
  /** Make an ArrayBuffer of the board's own realm. */
  arrayBuffer(bytes: Buffer): ArrayBuffer;
}

/** Make the library with the parts that a board's build has. */
export function nativeCrypto(parts: readonly CryptoPart[], host: CryptoHost): Record<string, unknown> {
  const library: Record<string, unknown> = {};
  for (const part of parts) {
    if (part !== "AES") library[part] = digest(part, host);
  }
  if (parts.includes("AES")) {
    library.AES = {
      encrypt: (data: unknown, key: unknown, options?: unknown) => crypt(true, data, key, options, host),
      decrypt: (data: unknown, key: unknown, options?: unknown) => crypt(false, data, key, options, host),
    };
  }
  return library;
}

function digest(part: CryptoPart, host: CryptoHost) {
  return (message: unknown): ArrayBuffer | undefined => {
    if (message === undefined) return undefined;
    const bytes = toBytes(message);
    // 0x80 and 8 bytes of length are at least added to the message (FIPS 180-4, 5.1.1)
    const compressions = (bytes.length + 9 + 63) >> 6;
    host.counters.nativeCalls++;
    if (part === "SHA1") host.counters.sha1Compressions += compressions;
    if (part === "SHA256") host.counters.sha256Compressions += compressions;
    return host.arrayBuffer(createHash(part.toLowerCase()).update(bytes).digest());
  };
}

function crypt(
  encrypt: boolean,
  data: unknown,
  key: unknown,
  options: unknown,
  host: CryptoHost,
): ArrayBuffer | undefined {
  const { mode = "CBC", iv } = (options ?? {}) as { mode?: string; iv?: unknown };
  if (!["CBC", "CFB", "CTR", "OFB", "ECB"].includes(mode)) throw new Error(`Unknown Crypto mode "${mode}"`);
  const vector = Buffer.alloc(16);
  if (iv !== undefined) toBytes(iv).copy(vector, 0, 0, 16);
  const input = toBytes(data);
  const keyBytes = toBytes(key);
  if (![16, 24, 32].includes(keyBytes.length)) return failed(host, "Unknown error: -0x20");
  host.counters.nativeCalls++;
  host.counters.aesBlocks += (input.length + 15) >> 4;
  const make = encrypt || mode === "CTR" ? createCipheriv : createDecipheriv;
  const bits = keyBytes.length * 8;
  if (mode === "CTR") {
    return host.arrayBuffer(make(`aes-${bits}-ctr`, keyBytes, Buffer.alloc(16)).update(input));
  }
  if (mode === "CBC") {
    if (input.length & 15) return failed(host, "Invalid input length");
    return host.arrayBuffer(make(`aes-${bits}-cbc`, keyBytes, vector).setAutoPadding(false).update(input));
  }
  if (mode !== "ECB") throw new Error(`simulator: mode ${mode} is not modelled`);
  const output = Buffer.alloc(input.length);
  const whole = input.subarray(0, input.length & ~15);
  make(`aes-${bits}-ecb`, keyBytes, null).setAutoPadding(false).update(whole).copy(output);
  return host.arrayBuffer(output);
}

function failed(host: CryptoHost, reason: string): undefined {
  host.print(`ERROR: ${reason}`);
  return undefined;
}
