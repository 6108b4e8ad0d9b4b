// New keys over the air, the release station's side (firmware/ota/manifest.ts): they go with an image. For each device the key
// record of its identity with a new key version, wrapped under the `rekey` key that it has, lies behind a manifest, and the
// tag under its present `ota` key covers both.
// A row of a file of new keys, REKEY_ROW_BYTES long, one behind the other: the identity as the device has it now
// (IDENTITY_MAX_LENGTH bytes of ASCII, padded with zeros), manifest (MANIFEST_BYTES), wrapped keys (KEYS_BYTES).
// A device's key stream goes by sequence: two files of one sequence with different new keys would give those away to whoever
// has both.
// Leaves out: reading, which is that of manifests (sign.ts).
import { createCipheriv } from "node:crypto";
import { AT_KEYS_VERSION, AT_TAG, AT_TYPE, KEYS_BYTES, TYPE_REKEY } from "../../../firmware/ota/manifest";
import { UsageError } from "../cli/exit";
import type { DeviceKeys, KeySource, Master } from "../custody/master";
import { IDENTITY_MAX_LENGTH, type Identity, parseIdentity } from "../keys/identity";
import { aesKey, keyRecord, PURPOSES } from "../keys/kdf";
import { addressManifest, checkImageFields, type ImageFields, manifestOfImage } from "./manifest";
import { ROW_BYTES } from "./sign";

export const REKEY_ROW_BYTES = ROW_BYTES + KEYS_BYTES;
/** The greatest new key version: all ones is what erased flash reads as. */
export const NEW_VERSION_GREATEST = 254;

/** Where keys come from. */
export interface RekeyKeys {
  /** Masters of the keys that the devices have. */
  ota: Master;
  rekey: Master;
  /** All four keys of the new identities. */
  next: KeySource;
}

/**
 * Sign the manifest of an image with new keys of version `to` for devices, row after row; a buffer holds as many rows as were
 * asked for or are left, and is used again.
 */
export async function* rekeyRows(
  fields: ImageFields,
  to: number,
  identities: Iterable<Identity>,
  keys: RekeyKeys,
  rowsAtOnce = 1024,
): AsyncGenerator<Buffer> {
  if (!Number.isInteger(to) || to < 2 || to > NEW_VERSION_GREATEST)
    throw new UsageError(
      `the new key version ${to} is not a whole number from 2 to ${NEW_VERSION_GREATEST}.`,
    );
  const manifest = manifestOfImage(checkImageFields(fields), TYPE_REKEY);
  const wrapped = Buffer.alloc(KEYS_BYTES);
  const rows = Buffer.alloc(rowsAtOnce * REKEY_ROW_BYTES);
  let at = 0;
  for (const identity of identities) {
    addressManifest(manifest, identity);
    await rekey(identity, to, keys, manifest, wrapped);
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

/** Refuse a new key version that is not greater than the device's. Throws UsageError. */
export function holdToVersion({ text, keyVersion }: Identity, to: number): void {
  if (to <= keyVersion)
    throw new UsageError(`${text} has key version ${keyVersion} and ${to} is not greater.`);
}

/** Make one device's wrapped keys, and the tag of its manifest and them. */
async function rekey(
  identity: Identity,
  to: number,
  { ota, rekey, next }: RekeyKeys,
  manifest: Buffer,
  wrapped: Buffer,
): Promise<void> {
  const { text, product, serial } = identity;
  holdToVersion(identity, to);
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
    const signed = Buffer.concat([manifest.subarray(0, AT_TAG), wrapped]);
    aesKey(present.ota).cmac(signed).copy(manifest, AT_TAG);
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
