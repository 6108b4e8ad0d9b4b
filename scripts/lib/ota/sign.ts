// Signing: a manifest for each device, its tag AES-CMAC (SP 800-38B) under that device's `ota` key, which is derived here and
// forgotten here. Of whom a row is for and of what it says anyone may know; a key is in none.
// A row of a file of manifests, ROW_BYTES long, one behind the other: identity (IDENTITY_MAX_LENGTH bytes of ASCII, padded
// with zeros), manifest (MANIFEST_BYTES). A file of new keys (rekey.ts) has them behind each manifest and is read here, too.
// Leaves out: verifying, which takes the key and is the device's business.
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { AT_TAG, MANIFEST_BYTES, TYPE_IMAGE, TYPE_REKEY } from "../../../firmware/ota/manifest";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import type { Master } from "../custody/master";
import { IDENTITY_MAX_LENGTH, type Identity, parseIdentity } from "../keys/identity";
import { aesKey } from "../keys/kdf";
import {
  addressManifest,
  checkImageFields,
  type ImageFields,
  type Manifest,
  manifestBytes,
  manifestOfImage,
  parseManifest,
  textAt,
} from "./manifest";

export const ROW_BYTES = IDENTITY_MAX_LENGTH + MANIFEST_BYTES;

/** Sign the manifest of an image for devices, row after row; a buffer holds as many rows as were asked for or are left. */
export function* signRows(
  fields: ImageFields,
  identities: Iterable<Identity>,
  master: Master,
  rowsAtOnce = 1024,
): Generator<Buffer> {
  const manifest = manifestOfImage(checkImageFields(fields));
  const signed = manifest.subarray(0, AT_TAG);
  const rows = Buffer.alloc(rowsAtOnce * ROW_BYTES);
  let at = 0;
  for (const identity of identities) {
    addressManifest(manifest, identity);
    const key = master.deviceKey(identity);
    aesKey(key).cmac(signed).copy(manifest, AT_TAG);
    key.fill(0);
    rows.fill(0, at, at + IDENTITY_MAX_LENGTH);
    rows.write(identity.text, at, "latin1");
    manifest.copy(rows, at + IDENTITY_MAX_LENGTH);
    if ((at += ROW_BYTES) === rows.length) {
      yield rows;
      at = 0;
    }
  }
  if (at) yield rows.subarray(0, at);
}

/** A file of manifests, all of one image. */
export interface Manifests {
  path: string;
  count: number;
  /** What they say alike; `serial`, `keyVersion` and `tag` are those of the first. */
  image: Manifest;
  identity(row: number): Identity;
  /** The bytes as they are published, of new keys with these behind the manifest; they share the file's memory. */
  manifest(row: number): Buffer;
}

/** The two kinds of files: manifests of an image, and the same with new keys. */
const KINDS = {
  manifests: {
    type: TYPE_IMAGE,
    name: "manifests",
    another: "holds new keys, and --manifests takes none: give it as --rekey",
  },
  rekey: {
    type: TYPE_REKEY,
    name: "new keys",
    another: "holds manifests without keys, and --rekey takes none: give it as --manifests",
  },
} as const;
export type Kind = keyof typeof KINDS;

/** Read a file of manifests. Throws UsageError where a row is not in order, or of another image than the first. */
export function readManifests(path: string, kind: Kind = "manifests"): Manifests {
  return manifestsOf(readRows(path, KINDS[kind].name), path, kind);
}

/** Take the rows of a file of manifests, which was read or is to be written at `path`. */
export function manifestsOf(bytes: Buffer, path: string, kind: Kind = "manifests"): Manifests {
  const { type, name, another } = KINDS[kind];
  const first = (type: number) =>
    bytes.subarray(IDENTITY_MAX_LENGTH, IDENTITY_MAX_LENGTH + manifestBytes(type));
  const other = type === TYPE_IMAGE ? TYPE_REKEY : TYPE_IMAGE;
  if (parseManifest(first(other), other)) throw new UsageError(`${path} ${another}.`);
  const damaged = (row: number, fault: string) => new UsageError(`${path}, row ${row + 1}: ${fault}.`);
  const rowBytes = IDENTITY_MAX_LENGTH + manifestBytes(type);
  const count = bytes.length / rowBytes;
  if (!Number.isInteger(count) || count === 0)
    throw new UsageError(`${path} is no file of ${name}: these have rows of ${rowBytes} bytes.`);
  const manifest = (row: number) =>
    bytes.subarray(row * rowBytes + IDENTITY_MAX_LENGTH, (row + 1) * rowBytes);
  const identity = (row: number) => parseIdentity(textAt(bytes, row * rowBytes, IDENTITY_MAX_LENGTH));
  const image = parseManifest(first(type), type);
  if (!image) throw new UsageError(`${path} is no file of ${name}.`);
  checkImageFields(image);
  const alike = manifestOfImage(image, type);
  const seen = new Set<string>();
  for (let row = 0; row < count; row++) {
    const device = identity(row);
    addressManifest(alike, device);
    if (!alike.subarray(0, AT_TAG).equals(manifest(row).subarray(0, AT_TAG)))
      throw damaged(row, "the manifest is not the one of this identity and this image");
    if (seen.has(device.serial)) throw damaged(row, `the serial ${device.serial} was there already`);
    seen.add(device.serial);
  }
  return { path, count, image, identity, manifest };
}

const FILE_LONGEST = 1 << 30; // bytes, 5.6 million manifests

function readRows(path: string, what: string): Buffer {
  try {
    const descriptor = openSync(path, "r");
    try {
      if (fstatSync(descriptor).size > FILE_LONGEST)
        throw new UsageError(`${path} is longer than any file of ${what}.`);
      return readFileSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read the ${what} ${path}: ${fileFault(error)}.`);
  }
}
