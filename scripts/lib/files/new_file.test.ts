// New files: whole or not at all, all or none, nothing written over.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { NewFile, replaceFile, writeNewFiles } from "./new_file";

const folder = mkdtempSync(join(tmpdir(), "files-"));
after(() => rmSync(folder, { recursive: true }));

describe("R25 new files", () => {
  test("R25 mode 0600, whole, none written over, nothing left beside them", () => {
    const path = join(folder, "new");
    writeNewFiles([{ path, bytes: Buffer.from("first") }]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.throws(() => writeNewFiles([{ path, bytes: Buffer.from("second") }]), /not written over/);
    assert.equal(readFileSync(path, "utf8"), "first");
    assert.ok(!readdirSync(folder).some((name) => name.startsWith(".")));
  });

  test("R25 all or none: where the second cannot be written, the first is not there either", () => {
    const first = join(folder, "one");
    const taken = join(folder, "two");
    writeFileSync(taken, "taken");
    for (const second of [taken, join(folder, "absent", "two"), folder]) {
      const digest = () => createHash("sha256").update(readdirSync(folder).join()).digest("hex");
      const before = digest();
      assert.throws(
        () =>
          writeNewFiles([
            { path: first, bytes: Buffer.from("1") },
            { path: second, bytes: Buffer.from("2") },
          ]),
        /nothing was written/,
      );
      assert.ok(!existsSync(first));
      assert.equal(digest(), before);
    }
  });

  test("R25 a file in the place of another is whole at every moment, and the old one stays where it fails", () => {
    const path = join(folder, "label");
    replaceFile(path, Buffer.from("first"));
    replaceFile(path, Buffer.from("second"));
    assert.equal(readFileSync(path, "utf8"), "second");
    assert.throws(
      () => replaceFile(join(folder, "absent", "label"), Buffer.from("x")),
      /no such file or folder/,
    );
    assert.throws(() => replaceFile(folder, Buffer.from("x")), /nothing was written/);
    assert.ok(!readdirSync(folder).some((name) => name.startsWith(".")));
  });
});

test("a file that was begun and not finished leaves nothing behind, and none is written over", () => {
  const name = join(folder, "grown");
  const begun = new NewFile(name);
  begun.write(Buffer.from("half"));
  begun.close();
  assert.ok(!readdirSync(folder).some((file) => file.includes("grown")));
  const first = new NewFile(name);
  const second = new NewFile(name);
  first.finish();
  assert.throws(() => second.finish(), /is not written over/);
  first.close();
  second.close();
  assert.throws(() => new NewFile(name), /is not written over/);
  assert.deepEqual(
    readdirSync(folder).filter((file) => file.includes("grown")),
    ["grown"],
  );
});
