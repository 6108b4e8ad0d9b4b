// New keys over the air, the release station's side: for each device the key record of its identity with a new key version,
// wrapped under the `rekey` key that it has (firmware/ota/manifest.ts), and a manifest that its present `ota` key signs.
// A row of a file of keys, REKEY_ROW_BYTES long, one behind the other: the identity as the device has it now
// (IDENTITY_MAX_LENGTH bytes of ASCII, padded with zeros), manifest (MANIFEST_BYTES), wrapped keys (KEYS_BYTES).
// The key stream of a device goes by sequence: two files of one sequence and other new keys would give them away to whoever
// has both.
// Leaves out: publishing (publish.ts).
import { createCipheriv } from "node:crypto";
import {
  AT_DIGEST,
  AT_ENCODING,
  AT_KEYS_VERSION,
  AT_TAG,
  AT_TYPE,
  ENCODING_NONE,
  KEYS_BYTES,
  TYPE_REKEY,
} from "../../../firmware/ota/manifest";
import type { DeviceKeys, KeySource, Master } from "../custody/master";
import { UsageError } from "../exit";
import { aesKey, IDENTITY_MAX_LENGTH, type Identity, keyRecord, PURPOSES, parseIdentity } from "../keys";
import { imageDigest } from "./digest";
import {
  addressManifest,
  checkImageFields,
  type ImageFields,
  manifestOfImage,
  parseManifest,
  piecesPrefix,
  textAt,
} from "./manifest";
import { firstManifest, type Manifests, ROW_BYTES, readRows } from "./sign";

export const REKEY_ROW_BYTES = ROW_BYTES + KEYS_BYTES;
/** The greatest new key version: all ones is what erased flash reads as. */
export const NEW_VERSION_GREATEST = 254;

/** What is told of a re-key, the same for every device. */
export interface RekeyWanted extends Pick<ImageFields, "product" | "hardware" | "sequence" | "version"> {
  /** The new key version. */
  to: number;
}

/** Where keys come from. */
export interface RekeyKeys {
  /** Masters of the keys that the devices have. */
  ota: Master;
  rekey: Master;
  /** All four keys of the new identities. */
  next: KeySource;
}

/**
 * Wrap and sign new keys for devices, row after row; a buffer holds as many rows as were asked for or are left, and is
 * used again. `onLeft` gets who is left out because the place of its keys at the broker is another's of the same file
 * (32 bits of a digest): that device needs a file with another sequence.
 */
export async function* rekeyRows(
  wanted: RekeyWanted,
  identities: Iterable<Identity>,
  keys: RekeyKeys,
  onLeft: (identity: Identity) => void,
  rowsAtOnce = 1024,
): AsyncGenerator<Buffer> {
  const manifest = manifestOfImage(fieldsOf(wanted), TYPE_REKEY);
  const wrapped = Buffer.alloc(KEYS_BYTES);
  const rows = Buffer.alloc(rowsAtOnce * REKEY_ROW_BYTES);
  const places = new Set<number>();
  let at = 0;
  for (const identity of identities) {
    addressManifest(manifest, identity);
    await rekey(identity, wanted.to, keys, manifest, wrapped);
    const place = placeOf(manifest);
    if (places.has(place)) {
      onLeft(identity);
      continue;
    }
    places.add(place);
    rows.fill(0, at, at + IDENTITY_MAX_LENGTH);
    rows.write(identity.text, at, "latin1");
    manifest.copy(rows, at + IDENTITY_MAX_LENGTH);
    wrapped.copy(rows, at + ROW_BYTES);
    if ((at += REKEY_ROW_BYTES) === rows.length) {
      yield rows;
      at = 0;
    }
  }
  if (at) yield rows.subarray(0, at);
}

/** What the manifest of a re-key says of its `image`, but for the digest, which is each device's own. */
function fieldsOf({ product, hardware, sequence, version, to }: RekeyWanted): ImageFields {
  if (!Number.isInteger(to) || to < 2 || to > NEW_VERSION_GREATEST)
    throw new UsageError(
      `the new key version ${to} is not a whole number from 2 to ${NEW_VERSION_GREATEST}.`,
    );
  const digest = Buffer.alloc(32);
  return checkImageFields({
    ...{ product, hardware, sequence, version },
    ...{ length: KEYS_BYTES, digest, encoding: "none" },
  });
}

/** Make one device's wrapped keys, and finish its manifest with their digest and the tag. */
async function rekey(
  identity: Identity,
  to: number,
  { ota, rekey, next }: RekeyKeys,
  manifest: Buffer,
  wrapped: Buffer,
): Promise<void> {
  const { text, keyVersion, product, serial } = identity;
  if (to <= keyVersion)
    throw new UsageError(`${text} has key version ${keyVersion} and ${to} is not greater.`);
  const fresh = await next.deviceKeys(parseIdentity(`v${to}.${product}.${serial}`));
  const present = { ota: ota.deviceKey(identity), rekey: rekey.deviceKey(identity) };
  let record: Buffer | undefined;
  try {
    refuseEqual(text, fresh, present);
    record = keyRecord(fresh);
    wrapped.fill(0);
    record.copy(wrapped);
    wrapped[AT_KEYS_VERSION] = to;
    wrapKeys(wrapped, present.rekey, manifest);
    imageDigest(wrapped).copy(manifest, AT_DIGEST);
    aesKey(present.ota).cmac(manifest.subarray(0, AT_TAG)).copy(manifest, AT_TAG);
  } finally {
    for (const key of [...Object.values(fresh), ...Object.values(present), record]) key?.fill(0);
  }
}

/** Refuse new keys of which one is another of them, or is what the device has: the older schemes know no key version. */
function refuseEqual(text: string, fresh: DeviceKeys, present: Pick<DeviceKeys, "ota" | "rekey">): void {
  const all = [
    ...PURPOSES.map((purpose) => ({ name: `new ${purpose}`, key: fresh[purpose] })),
    ...(["ota", "rekey"] as const).map((purpose) => ({ name: `present ${purpose}`, key: present[purpose] })),
  ];
  for (const [i, { name, key }] of all.entries()) {
    const same = all.slice(0, i).find((other) => other.key.equals(key));
    if (same)
      throw new UsageError(
        `the ${same.name} key and the ${name} key of ${text} are the same: this takes a master of its own, or the scheme kdf.`,
      );
  }
}

/**
 * Wrap the KEYS_BYTES of new keys in their place, by the key stream of a device's `rekey` key and its manifest; the same
 * again unwraps. The stream: AES-128 of the blocks 0x02 || the manifest's bytes 1 to 12 || 0x00 || i in 16 bits, i from 0.
 */
export function wrapKeys(keys: Buffer, rekeyKey: Uint8Array, manifest: Buffer): void {
  const blocks = Buffer.alloc(KEYS_BYTES);
  for (let i = 0; i < KEYS_BYTES / 16; i++) {
    const block = blocks.subarray(16 * i, 16 * i + 16);
    block[0] = 2;
    manifest.copy(block, 1, AT_TYPE, AT_TYPE + 12);
    block.writeUInt16BE(i, 14);
  }
  const stream = createCipheriv("aes-128-ecb", rekeyKey, null).update(blocks);
  for (let i = 0; i < KEYS_BYTES; i++) keys[i] ^= stream[i];
  stream.fill(0); // with the wrapped keys, which everyone may see, it is the new ones
}

/** The first 32 bits of the digest, which make the topic. */
function placeOf(manifest: Buffer): number {
  return manifest.readUInt32BE(AT_DIGEST);
}

/** A file of keys, all of one product and sequence. `image` is what the first manifest says; the digests differ. */
export interface Rekeys extends Manifests {
  /** The wrapped keys as they are published; they share the file's memory. */
  keys(row: number): Buffer;
  /** The topic of them. */
  keysTopic(row: number): string;
}

/** Read a file of keys. Throws UsageError where a row is not in order, or says other things than the first. */
export function readRekeys(path: string): Rekeys {
  return rekeysOf(readRows(path, "keys"), path);
}

/** Take the rows of a file of keys, which was read or is to be written at `path`. */
export function rekeysOf(bytes: Buffer, path: string): Rekeys {
  if (parseManifest(firstManifest(bytes)))
    throw new UsageError(`${path} holds manifests of an image, not keys: \`publish --manifests\` takes it.`);
  const damaged = (row: number, fault: string) => new UsageError(`${path}, row ${row + 1}: ${fault}.`);
  const count = bytes.length / REKEY_ROW_BYTES;
  if (!Number.isInteger(count) || count === 0)
    throw new UsageError(`${path} is no file of keys: these have rows of ${REKEY_ROW_BYTES} bytes.`);
  const part = (row: number, from: number, to: number) =>
    bytes.subarray(row * REKEY_ROW_BYTES + from, row * REKEY_ROW_BYTES + to);
  const manifest = (row: number) => part(row, IDENTITY_MAX_LENGTH, ROW_BYTES);
  const keys = (row: number) => part(row, ROW_BYTES, REKEY_ROW_BYTES);
  const identity = (row: number) => parseIdentity(textAt(bytes, row * REKEY_ROW_BYTES, IDENTITY_MAX_LENGTH));
  const image = parseManifest(manifest(0), TYPE_REKEY);
  if (!image) throw new UsageError(`${path} is no file of keys.`);
  checkImageFields(image);
  if (image.length !== KEYS_BYTES || manifest(0)[AT_ENCODING] !== ENCODING_NONE)
    throw damaged(0, `keys are ${KEYS_BYTES} bytes as they are, and its manifest says something else`);
  const alike = manifestOfImage(image, TYPE_REKEY);
  const serials = new Set<string>();
  const places = new Set<number>();
  for (let row = 0; row < count; row++) {
    const device = identity(row);
    addressManifest(alike, device);
    imageDigest(keys(row)).copy(alike, AT_DIGEST);
    if (!alike.subarray(0, AT_TAG).equals(manifest(row).subarray(0, AT_TAG)))
      throw damaged(row, "the manifest is not the one of this identity and these wrapped keys");
    if (serials.has(device.serial)) throw damaged(row, `the serial ${device.serial} was there already`);
    serials.add(device.serial);
    if (places.has(placeOf(alike))) throw damaged(row, "the place of its keys is that of an earlier row");
    places.add(placeOf(alike));
  }
  const keysTopic = (row: number) =>
    `${piecesPrefix({ product: image.product, digest: manifest(row).subarray(AT_DIGEST) })}0`;
  return { path, count, image, identity, manifest, keys, keysTopic };
}
