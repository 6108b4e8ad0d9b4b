// The security associations of a device of the profile `esp` (firmware/README.md 14), both derived from its key of label `esp`: SPIs, AES keys,
// and salts (RFC 4309) or HMAC keys (RFC 2404). The label of this second derivation names the transform: no key is used under two.
import { kbkdf } from "./kdf";

/** The transforms by the words of options; bytes of what stands beside the AES key, and all that is derived. */
export const TRANSFORMS = {
  ccm: { about: "AES-CCM with an ICV of 16 bytes (RFC 4309)", beside: 3, derived: 48 },
  cbc: { about: "AES-128-CBC with HMAC-SHA-1-96 (RFC 3602, RFC 2404)", beside: 20, derived: 80 },
} as const;
export type Transform = keyof typeof TRANSFORMS;
export const TRANSFORM_NAMES = Object.keys(TRANSFORMS) as Transform[];

/** One direction (RFC 4301, 4.1). */
export interface Association {
  transform: Transform;
  /** 2^31 to 2^32 - 1: those below 256 are reserved (RFC 4303, 2.1). */
  spi: number;
  /** Of AES, 16 bytes. */
  key: Buffer;
  /** The salt, 3 bytes, or the key of HMAC-SHA-1, 20. */
  beside: Buffer;
}

export interface Associations {
  /** What the device sends under, and what is sent to it. */
  up: Association;
  down: Association;
  /** The device's address in the tunnel: 10. and the last three bytes of the SPI that it sends under. */
  address: string;
}

const AES_KEY = 16; // bytes

/** Derive both associations from a device's key of label `esp`, which stays the caller's. */
export function associationsOf(key: Uint8Array, transform: Transform): Associations {
  const { beside, derived } = TRANSFORMS[transform];
  const made = kbkdf(key, `esp/${transform}`, "", derived);
  const association = (at: number, from: number): Association => ({
    transform,
    spi: (made.readUInt32BE(at) | 0x80000000) >>> 0,
    key: made.subarray(from, from + AES_KEY),
    beside: made.subarray(from + AES_KEY, from + AES_KEY + beside),
  });
  const up = association(0, 8);
  return {
    up,
    down: association(4, 8 + AES_KEY + beside),
    address: `10.${(up.spi >>> 16) & 255}.${(up.spi >>> 8) & 255}.${up.spi & 255}`,
  };
}
