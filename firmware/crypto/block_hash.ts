// What SHA-1 and SHA-256 share (FIPS 180-4, 5.1.1, 5.2.1 and 6): padding, cutting into blocks of 64 bytes and the
// running state, a string: chaining value, number of bytes so far, bytes of the unfinished block. Words stand in
// reverse order, because reversing all bytes at once is one native call and turns big-endian words into the
// machine's own. For little-endian machines and messages of less than 2^29 bytes.
import type { Bytes } from "../bytes";

/** Change `chain`, the chaining value and one word more, by every 16 words of `blocks`; both last word first. */
export type Compress = (chain: Int32Array, blocks: Int32Array) => void;

/** Hash `data` on from `state`, whose chaining value has `length` bytes, and return the state after it. */
export function hashUpdate(compress: Compress, length: number, state: Bytes, data: Bytes): Bytes {
  const chain = new Int32Array(E.toUint8Array(state.substr(0, length + 4)).buffer);
  const text = state.substr(length + 4) + data;
  const whole = text.length & -64;
  chain[length >> 2] += data.length;
  compress(chain, new Int32Array(E.toUint8Array(text.substr(0, whole)).reverse().buffer));
  return E.toString(chain.buffer, text.substr(whole));
}

/** Pad and finish the message of `state` (not the initial ""); returns the digest, `length` bytes. */
export function hashFinish(compress: Compress, length: number, state: Bytes): ArrayBuffer {
  const count = new Int32Array(E.toUint8Array(state.substr(length, 4)).buffer)[0];
  // 0x80, zeros, and the length in bits as 8 bytes, big-endian, up to the end of a block
  const padding = { data: 0, count: ((55 - count) & 63) + 4 };
  const end = E.toString(0x80, padding, count >> 21, count >> 13, count >> 5, count << 3);
  return E.toUint8Array(hashUpdate(compress, length, state, end).substr(0, length)).reverse().buffer;
}
