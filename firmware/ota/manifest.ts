// The manifest of an update (README.md here; the fields are those of RFC 9124, 3), 128 bytes of fixed layout, numbers
// big-endian. One table, which the device and scripts/ota both read; the device takes the numbers folded into its code.
// It travels retained on `<product>/<serial>/ota`; the image in retained pieces on `fw/<product>/<the digest's first 32 bits,
// a decimal number>/<n>`, n from 0, each PIECE_BYTES bytes of the image but the last, whatever their encoding.

/** Length of a manifest, bytes. */
export const MANIFEST_BYTES = 128;
/** Bytes of the image in a piece. */
export const PIECE_BYTES = 512;

/** The file of the two slots (slots.ts). */
export const SLOTS_FILE = ".slots";

/**
 * The keys of a slot, where a device has been given others than those of its first day: a key record (76), their key version (1),
 * 3 zeros. Erased flash or a version of 0: the file `key` has them. They travel behind a manifest of TYPE_REKEY, whose tag
 * covers them, under the device's `rekey` key: XOR with AES-128 of the blocks i = 0, 1, ...: 2 (1), the manifest's bytes from 1 on
 * (12: with the sequence, so that none comes twice), 0 (1), i (2).
 */
export const KEYS_BYTES = 80;
/** Where in them the key version stands. */
export const AT_KEYS_VERSION = 76;

/** Value of `format`. */
export const FORMAT = 1;
/** Values of `type`: an image; or an image and keys, and then KEYS_BYTES of wrapped keys follow the manifest. */
export const TYPE_IMAGE = 1;
export const TYPE_REKEY = 2;
/** Values of `encoding`: pieces as they are, or each packed by heatshrink (window 8, lookahead 6: Espruino's). */
export const ENCODING_NONE = 0;
export const ENCODING_HEATSHRINK = 1;
/** Value of `slot rule`: the slot that does not run. */
export const SLOT_OTHER = 0;

/** Where each field begins; `version` and `target` are ASCII, padded with zeros, the target with one at least. */
export const AT_FORMAT = 0; // 1
export const AT_TYPE = 1; // 1
export const AT_ENCODING = 2; // 1
export const AT_KEY_ID = 3; // 1, the key version of the `ota` key
export const AT_HARDWARE = 4; // 4, mask: bit n for boards whose `hardware` is n
export const AT_SEQUENCE = 8; // 4
export const AT_IMAGE_LENGTH = 12; // 4, bytes
export const AT_VERSION = 16; // 16, for people
export const AT_DIGEST = 32; // 32, of the installed image: imageDigest
export const AT_TARGET = 64; // 47, `<product>/<serial>`
export const AT_SLOT_RULE = 111; // 1
export const AT_TAG = 112; // 16, CMAC(the device's `ota` key, the bytes before it, and the keys behind the manifest)
