// The technician's challenge (firmware/README.md 6), the host's side: what a device prints at `unlock`, and the answer that its
// console key gives. Both are Crockford's base 32, which a person can read out: no I, L, O and U. Leaves out who may ask
// for an answer, and the console key's own way (custody/).
import { type AesKey, aesKey } from "../keys/kdf";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
export const CHALLENGE_NONCE_LENGTH = 8; // bytes: 13 digits
/** Digits of an answer, 60 bits, in groups of GROUP. */
const ANSWER_DIGITS = 12;
const GROUP = 4;

/** What an answer opens: service commands, or the factory reset as well. */
export const ROLES = { service: "s", reset: "r" } as const;
export type Role = (typeof ROLES)[keyof typeof ROLES];

/** What an answer is for. */
export interface Challenge {
  role: Role;
  /** 8 bytes, as the device made them; good for one answer. */
  nonce: Uint8Array;
  /** The device's count of its boots, 0 to 2^24 - 1. */
  boots: number;
  /** How long it stays unlocked, 1 to 255. */
  minutes: number;
}

/** Write bytes in base 32, 5 bits a digit from the first byte's highest bit on; zeros fill the last digit. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  for (let bit = 0; bit < bytes.length * 8; bit += 5) {
    const pair = (bytes[bit >> 3] << 8) | (bytes[(bit >> 3) + 1] ?? 0);
    text += DIGITS[(pair >> (11 - (bit & 7))) & 31];
  }
  return text;
}

/**
 * Read base 32 as people type it: lower case, I and L for 1, O for 0, hyphens and spaces anywhere. Gives the whole bytes;
 * undefined where another character stands, or where the bits that are no whole byte are not zero.
 */
export function decodeBase32(text: string): Buffer | undefined {
  const digits = text.toUpperCase().replace(/[- ]/g, "").replace(/[IL]/g, "1").replace(/O/g, "0");
  const bytes: number[] = [];
  let bits = 0;
  let count = 0;
  for (const digit of digits) {
    const value = DIGITS.indexOf(digit);
    if (value < 0) return undefined;
    bits = (bits << 5) | value;
    count += 5;
    if (count < 8) continue;
    count -= 8;
    bytes.push(bits >> count);
    bits &= (1 << count) - 1;
  }
  return bits || count >= 5 ? undefined : Buffer.from(bytes);
}

/**
 * Compute the answer to a challenge, `XXXX-XXXX-XXXX`: the first 60 bits of CMAC(console key, "con" || role (1) || nonce
 * (8) || boots (3, big-endian) || minutes (1)).
 */
export function challengeAnswer(consoleKey: Uint8Array | AesKey, challenge: Challenge): string {
  const { role, nonce, boots, minutes } = challenge;
  if (nonce.length !== CHALLENGE_NONCE_LENGTH) throw new RangeError(`a nonce of ${nonce.length} bytes`);
  if (!Number.isInteger(boots) || boots < 0 || boots > 0xffffff) throw new RangeError(`boots ${boots}`);
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 255) throw new RangeError(`${minutes} minutes`);
  const block = Buffer.alloc(16);
  block.write(`con${role}`, "latin1");
  block.set(nonce, 4);
  block.writeUIntBE(boots, 12, 3);
  block[15] = minutes;
  const digits = encodeBase32(aesKey(consoleKey).cmac(block)).slice(0, ANSWER_DIGITS);
  return [0, GROUP, 2 * GROUP].map((at) => digits.substr(at, GROUP)).join("-");
}
