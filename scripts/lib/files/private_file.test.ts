// Key files: for their owner alone, never over another, read back whole; refused with a sentence that shows no key.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { randomKey } from "../keys/weak_keys";
import { readSecret, writeSecret } from "./private_file";

const KNOWN_MASTER = Buffer.from("00112233445566778899AABBCCDDEEFF", "hex");

describe("R25 key files", () => {
  const folder = mkdtempSync(join(tmpdir(), "keys-"));
  after(() => rmSync(folder, { recursive: true }));

  test("R25 written for the owner alone, never over another, read back whole", () => {
    const path = join(folder, "key");
    const key = randomKey();
    writeSecret(path, key);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readSecret(path), key);
    assert.throws(() => writeSecret(path, randomKey()), /not written over/);
    assert.deepEqual(readSecret(path), key);
  });

  test("R25 hex is read too; a weak, missing, oversized or shared file is a sentence without the key in it", () => {
    const path = join(folder, "hex");
    const key = randomKey();
    writeFileSync(path, `${key.toString("hex")}\n`, { mode: 0o600 });
    assert.deepEqual(readSecret(path), key);
    chmodSync(path, 0o644);
    assert.throws(() => readSecret(path), /chmod 600/);
    chmodSync(path, 0o600);
    writeFileSync(path, KNOWN_MASTER);
    assert.throws(() => readSecret(path), /published/);
    writeFileSync(path, key.subarray(1));
    assert.throws(() => readSecret(path), /15 bytes/);
    writeFileSync(path, Buffer.alloc(100));
    assert.throws(() => readSecret(path), /too long/);
    assert.throws(() => readSecret(join(folder, "absent")), /no such file/);
    assert.throws(() => readSecret(folder), /folder/);
  });
});
