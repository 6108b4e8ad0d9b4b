// The digest of images against the same chain computed by the shell's sha256sum.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { imageDigest } from "./digest";

/** SHA-256 by a program that is not ours. */
function sha256sum(input: Buffer): Buffer {
  const { stdout } = spawnSync("sha256sum", { input });
  return Buffer.from(stdout.toString().slice(0, 64), "hex");
}

test("R20 an image's digest is the chain of its pieces' digests, whatever the length of the last piece", () => {
  for (const length of [1, 511, 512, 513, 1024, 10_233]) {
    const image = Buffer.from(Array.from({ length }, (_, i) => (i * 167 + (i >> 8)) & 0xff));
    let expected: Buffer = Buffer.alloc(32);
    for (let at = 0; at < length; at += 512)
      expected = sha256sum(Buffer.concat([expected, image.subarray(at, at + 512)]));
    assert.equal(imageDigest(image).toString("hex"), expected.toString("hex"), `${length} bytes`);
    image[length - 1] ^= 1;
    assert.notEqual(imageDigest(image).toString("hex"), expected.toString("hex"));
  }
});
