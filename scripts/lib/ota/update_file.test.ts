// Updates as files: made, read, and refused where a bit is another.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "../cli/exit";
import { testImage, testUpdate } from "../test/update";
import { imageDigest } from "./digest";
import { imageOf, readUpdate, storedBytes, updateFile } from "./update_file";

const folder = mkdtempSync(join(tmpdir(), "update-"));
const path = join(folder, "update");
after(() => rmSync(folder, { recursive: true }));

for (const encoding of ["none", "heatshrink"] as const) {
  test(`an image becomes an update and comes back out of its file (${encoding})`, () => {
    for (const length of [1, 511, 512, 513, 10_233, 16_176]) {
      if (encoding === "heatshrink" && length < 511) continue;
      const image = testImage(length);
      const update = testUpdate({ image, encoding });
      writeFileSync(path, updateFile(update));
      const read = readUpdate(path);
      assert.deepEqual(read, { ...update, digest: Buffer.from(update.digest) });
      assert.deepEqual(imageOf(encoding, read.pieces), image);
      assert.deepEqual(read.digest, imageDigest(image));
      assert.equal(read.pieces.length, Math.ceil(length / 512));
      if (encoding === "heatshrink") assert.ok(storedBytes(read.pieces) < length);
    }
  });
}

test("an update with any bit of its pieces changed, or cut anywhere, is refused", () => {
  const bytes = updateFile(testUpdate({ image: testImage(700), encoding: "none" }));
  const start = bytes.indexOf("\n") + 1;
  for (let at = start; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] ^= 0x10;
    writeFileSync(path, changed);
    assert.throws(() => readUpdate(path), UsageError, `byte ${at}`);
  }
  for (let length = 0; length < bytes.length; length += 7) {
    writeFileSync(path, bytes.subarray(0, length));
    assert.throws(() => readUpdate(path), UsageError, `${length} bytes`);
  }
});

test("an update whose header says what cannot be is refused with a sentence", () => {
  const bytes = updateFile(testUpdate());
  const end = bytes.indexOf("\n");
  const header = JSON.parse(bytes.toString("latin1", 0, end));
  for (const [field, value] of [
    ["update", 2],
    ["product", "a/b"],
    ["sequence", 0],
    ["sequence", "7"],
    ["length", 2699],
    ["hardware", 0],
    ["digest", "00"],
    ["encoding", "gzip"],
    ["encoding", "none"],
    ["pieces", "all"],
    ["pieces", [513]],
    ["version", 1],
  ]) {
    writeFileSync(
      path,
      Buffer.concat([
        Buffer.from(JSON.stringify({ ...header, [field as string]: value })),
        bytes.subarray(end),
      ]),
    );
    assert.throws(() => readUpdate(path), UsageError, `${field} ${value}`);
  }
});

test("an image that heatshrink makes longer is refused with the advice to leave it", () => {
  assert.throws(() => testUpdate({ image: randomBytes(1024) }), /does not get shorter/);
});

test("the shortest is packed where that is shorter, and else the image as it is; either is read back", () => {
  for (const [image, encoding] of [
    [testImage(2700), "heatshrink"],
    [randomBytes(2700), "none"],
  ] as const) {
    const update = testUpdate({ image, encoding: "shortest" });
    assert.equal(update.encoding, encoding);
    const path = join(folder, `shortest-${encoding}`);
    writeFileSync(path, updateFile(update));
    const read = readUpdate(path);
    assert.ok(imageOf(read.encoding, read.pieces).equals(image));
  }
});
