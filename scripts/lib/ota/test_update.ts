/*
 * An update and signed manifests for tests, with masters of their own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { masterFromBytes } from "../custody/master";
import { parseIdentity, randomKey } from "../keys";
import type { Encoding } from "./manifest";
import { writeNewFile } from "./new_file";
import { type Manifests, readManifests, signRows } from "./sign";
import { makeUpdate, type Update } from "./update_file";

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
  encoding?: Encoding;
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
