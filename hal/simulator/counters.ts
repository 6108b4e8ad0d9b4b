// What a simulated board has done so far: the numbers that firmware/README.md 1 sets limits to.

export interface Counters {
  /** AES blocks, by register or by native call. */
  aesBlocks: number;
  /** Calls of native crypto: AES, SHA-1, SHA-256. */
  nativeCalls: number;
  /**
   * Compressions: of native calls by the lengths of their arguments, of our own digest by counted_digest.ts.
   */
  sha1Compressions: number;
  sha256Compressions: number;
  /** Bytes of TCP. */
  bytesIn: number;
  bytesOut: number;
}

export function newCounters(): Counters {
  return {
    aesBlocks: 0,
    nativeCalls: 0,
    sha1Compressions: 0,
    sha256Compressions: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}
