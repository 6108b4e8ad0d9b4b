// Manifests on the host's side: the 128 bytes of firmware/ota/manifest.ts from an update's fields and a device's name, and
// back. What no device would take is refused here, before anything is signed.
// Leaves out: the tag (sign.ts).
import * as layout from "../../../firmware/ota/manifest";
import { UsageError } from "../cli/exit";
import { type Identity, NO_PRODUCT, PRODUCT } from "../keys/identity";

/** Bytes of the manifest's target, and of a zero behind it. */
const TARGET_BYTES = layout.AT_SLOT_RULE - layout.AT_TARGET;
/** Longest product and serial that a manifest holds, characters: with a slash between them and a zero behind. */
export const PRODUCT_LONGEST = 16;
export const SERIAL_LONGEST = TARGET_BYTES - PRODUCT_LONGEST - 2;
/** Longest version text, characters. */
export const VERSION_LONGEST = layout.AT_DIGEST - layout.AT_VERSION;
/** The longest image of any board, bytes: that of a slot of 32,768 (layout.ts has each board's own). */
export const IMAGE_LONGEST = 32_768 - layout.KEYS_BYTES - layout.MANIFEST_BYTES;
/** The greatest sequence: all ones is what erased flash reads as, and nothing could come after it. */
export const SEQUENCE_GREATEST = 0xffff_fffe;
/** The greatest key version that the manifest's one byte can name. */
export const KEY_VERSION_GREATEST = 255;

export const ENCODINGS = { none: layout.ENCODING_NONE, heatshrink: layout.ENCODING_HEATSHRINK } as const;
export type Encoding = keyof typeof ENCODINGS;

/** What a manifest says of the image, the same for every device. */
export interface ImageFields {
  product: string;
  /** Mask: bit n for boards whose `hardware` is n. */
  hardware: number;
  sequence: number;
  /** For people. */
  version: string;
  /** Of the installed image, bytes. */
  length: number;
  /** imageDigest, 32 bytes. */
  digest: Uint8Array;
  encoding: Encoding;
}

/** Refuse fields that no device could take, with a UsageError. Returns them. */
export function checkImageFields<Fields extends ImageFields>(fields: Fields): Fields {
  const { product, hardware, sequence, version, length, digest } = fields;
  checkProduct(product);
  if (!isWhole(sequence, 1, SEQUENCE_GREATEST))
    throw new UsageError(`the sequence ${sequence} is not a whole number from 1 to ${SEQUENCE_GREATEST}.`);
  if (!isWhole(hardware, 1, 0xffff_ffff))
    throw new UsageError(`the hardware mask ${hardware} names no board: 1 to 32 bits.`);
  if (!isText(version, VERSION_LONGEST))
    throw new UsageError(
      `the version ${JSON.stringify(version)} is not 1 to ${VERSION_LONGEST} printable ASCII characters.`,
    );
  if (!isWhole(length, 1, IMAGE_LONGEST))
    throw new UsageError(`the image has ${length} bytes, and a slot takes 1 to ${IMAGE_LONGEST}.`);
  if (digest.length !== 32) throw new UsageError(`the image's digest has ${digest.length} bytes, not 32.`);
  return fields;
}

/** Refuse a product that is no topic level of its own or does not fit into a manifest. Returns it. */
export function checkProduct(product: string): string {
  if (!isText(product, PRODUCT_LONGEST) || !PRODUCT.test(product))
    throw new UsageError(
      `the product ${JSON.stringify(product)} is not 1 to ${PRODUCT_LONGEST} printable ASCII characters: it has no ` +
        `${NO_PRODUCT}.`,
    );
  return product;
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function isText(text: string, longest: number): boolean {
  return text.length <= longest && /^[ -~]+$/.test(text);
}

/** Lay out the manifest of an image, to go alone or with keys, without device and tag: 128 bytes. */
export function manifestOfImage(fields: ImageFields, type: number = layout.TYPE_IMAGE): Buffer {
  const manifest = Buffer.alloc(layout.MANIFEST_BYTES);
  manifest[layout.AT_FORMAT] = layout.FORMAT;
  manifest[layout.AT_TYPE] = type;
  manifest[layout.AT_ENCODING] = ENCODINGS[fields.encoding];
  manifest.writeUInt32BE(fields.hardware, layout.AT_HARDWARE);
  manifest.writeUInt32BE(fields.sequence, layout.AT_SEQUENCE);
  manifest.writeUInt32BE(fields.length, layout.AT_IMAGE_LENGTH);
  manifest.write(fields.version, layout.AT_VERSION, "latin1");
  manifest.set(fields.digest, layout.AT_DIGEST);
  manifest.write(`${fields.product}/`, layout.AT_TARGET, "latin1");
  manifest[layout.AT_SLOT_RULE] = layout.SLOT_OTHER;
  return manifest;
}

/** Write a device into an image's manifest. Throws UsageError where it is of another product or does not fit. */
export function addressManifest(manifest: Buffer, { text, product, serial, keyVersion }: Identity): void {
  if (product !== targetOf(manifest)[0])
    throw new UsageError(`the update is for another product than ${text}.`);
  if (serial.length > SERIAL_LONGEST)
    throw new UsageError(
      `the serial ${serial} has ${serial.length} characters, and a manifest holds ${SERIAL_LONGEST}.`,
    );
  if (keyVersion > KEY_VERSION_GREATEST)
    throw new UsageError(
      `the key version of ${text} is over ${KEY_VERSION_GREATEST}, a manifest's greatest.`,
    );
  manifest[layout.AT_KEY_ID] = keyVersion;
  manifest.fill(0, layout.AT_TARGET, layout.AT_SLOT_RULE);
  manifest.write(`${product}/${serial}`, layout.AT_TARGET, "latin1");
}

/** Everything that a manifest says. */
export interface Manifest extends ImageFields {
  serial: string;
  keyVersion: number;
  tag: Buffer;
}

/** Bytes of a manifest of some type with what belongs behind it. */
export function manifestBytes(type: number): number {
  return layout.MANIFEST_BYTES + (type === layout.TYPE_REKEY ? layout.KEYS_BYTES : 0);
}

/**
 * Read a manifest, of TYPE_REKEY with its keys behind it, or give undefined where these bytes are none of this format and
 * type. The tag is not verified.
 */
export function parseManifest(bytes: Buffer, type: number = layout.TYPE_IMAGE): Manifest | undefined {
  const encoding = (Object.keys(ENCODINGS) as Encoding[]).find(
    (name) => ENCODINGS[name] === bytes[layout.AT_ENCODING],
  );
  const known =
    bytes.length === manifestBytes(type) &&
    bytes[layout.AT_FORMAT] === layout.FORMAT &&
    bytes[layout.AT_TYPE] === type;
  if (!known || encoding === undefined) return undefined;
  const [product, serial = ""] = targetOf(bytes);
  return {
    ...{ product, serial },
    keyVersion: bytes[layout.AT_KEY_ID],
    hardware: bytes.readUInt32BE(layout.AT_HARDWARE),
    sequence: bytes.readUInt32BE(layout.AT_SEQUENCE),
    version: textAt(bytes, layout.AT_VERSION, VERSION_LONGEST),
    length: bytes.readUInt32BE(layout.AT_IMAGE_LENGTH),
    digest: bytes.subarray(layout.AT_DIGEST, layout.AT_TARGET),
    encoding,
    tag: bytes.subarray(layout.AT_TAG, layout.MANIFEST_BYTES),
  };
}

/** The sequence of a manifest, whether it goes alone or with keys; undefined where it is none. */
export function sequenceOf(bytes: Buffer): number | undefined {
  return (parseManifest(bytes) ?? parseManifest(bytes, layout.TYPE_REKEY))?.sequence;
}

/** Read ASCII that is padded with zeros. */
export function textAt(bytes: Buffer, at: number, longest: number): string {
  return bytes.toString("latin1", at, at + longest).replace(/\0+$/, "");
}

/** The product and, where there is one, the serial of a manifest. */
function targetOf(manifest: Buffer): string[] {
  return textAt(manifest, layout.AT_TARGET, TARGET_BYTES).split("/");
}

/** The topic of a device's manifest. */
export function manifestTopic(product: string, serial: string): string {
  return `${product}/${serial}/ota`;
}

/** The topics of an image's pieces, but for the number. */
export function piecesPrefix({ product, digest }: Pick<ImageFields, "product" | "digest">): string {
  return `fw/${product}/${Buffer.from(digest).readUInt32BE()}/`;
}
