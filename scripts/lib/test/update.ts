/*
 * Updates, signed manifests and new keys for tests, with masters of their own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { writeNewFile } from "../files/new_file";
import { parseIdentity } from "../keys/identity";
import { type PskLabel, PURPOSES, type Purpose } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import type { Encoding, ImageFields } from "../ota/manifest";
import { rekeyRows } from "../ota/rekey";
import { type Manifests, manifestsOf, readManifests, signRows } from "../ota/sign";
import { makeUpdate, type Update } from "../ota/update_file";

/** Something like a program: text that repeats itself, and differs with `seed`. */
export function testImage(length: number, seed = 1): Buffer {
  let text = "";
  for (let i = seed; text.length < length; i = (i * 75 + 74) % 65_537)
    text += `function f${i}(a,b){return a.charCodeAt(${i % 97})+b.substr(${i % 31})}`;
  return Buffer.from(text.slice(0, length));
}

export interface UpdateForTest {
  product?: string;
  sequence?: number;
  encoding?: Encoding | "shortest";
  image?: Buffer;
}

export function testUpdate(given: UpdateForTest = {}): Update {
  const { product = "meter", sequence = 7, encoding = "heatshrink", image = testImage(2700) } = given;
  return makeUpdate(image, {
    ...{ product, sequence, encoding },
    ...{ board: "esp32", hardware: 1, version: `1.0.${sequence}` },
  });
}

/** Sign an update for serials; the file is gone when the manifests are read. */
export function testManifests(update: Update, serials: readonly string[], master = randomKey()): Manifests {
  const folder = mkdtempSync(join(tmpdir(), "ota-"));
  try {
    const path = join(folder, "manifests");
    const identities = serials.map((serial) => parseIdentity(`v1.${update.product}.${serial}`));
    const rows = [
      ...signRows(update, identities, masterFromBytes(Buffer.from(master), "ota"), serials.length),
    ];
    writeNewFile(path, Buffer.concat(rows));
    return readManifests(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface RekeyForTest {
  identities: readonly string[];
  update?: ImageFields;
  to?: number;
  /** Masters of the present keys and of the new ones, 16 bytes each; the same of both unless they are given. */
  masters?: Record<Purpose, Buffer>;
  next?: Record<Purpose, Buffer>;
  /** What the new psk keys are derived for. */
  pskLabel?: PskLabel;
}

export function testMasters(): Record<Purpose, Buffer> {
  return { psk: randomKey(), ota: randomKey(), console: randomKey(), rekey: randomKey() };
}

/** The rows of a file of new keys for devices, which go with an image. */
export async function testRekeyRows(given: RekeyForTest): Promise<Buffer> {
  const { identities, update = testUpdate(), to = 2, masters = testMasters(), next = masters } = given;
  const master = (from: Record<Purpose, Buffer>, purpose: Purpose) =>
    masterFromBytes(Buffer.from(from[purpose]), purpose);
  const keys = {
    ...{ ota: master(masters, "ota"), rekey: master(masters, "rekey") },
    next: keySourceOfMasters(
      PURPOSES.map((purpose) => master(next, purpose)),
      given.pskLabel,
    ),
  };
  const rows: Buffer[] = [];
  for await (const some of rekeyRows(update, to, identities.map(parseIdentity), keys, 2))
    rows.push(Buffer.from(some));
  return Buffer.concat(rows);
}

export async function testRekeys(given: RekeyForTest): Promise<Manifests> {
  return manifestsOf(await testRekeyRows(given), "a test's keys", "rekey");
}
