// Long lines: whole words, in 80 and 120 columns and in a few, and no line over the width.
import assert from "node:assert/strict";
import { test } from "node:test";
import { wrap, wrapLines } from "./wrap";

const LINE =
  "err   E6      The server cannot be reached: nothing listens on that port, the address is wrong, or a firewall stands between. The device tries again.";

test("a long line breaks between words, and goes on below its text", () => {
  for (const width of [40, 80, 120]) {
    const lines = wrap(LINE, width, 14).split("\n");
    assert.ok(
      lines.every((line) => line.length <= width),
      lines.join("\n"),
    );
    assert.ok(
      lines.slice(1).every((line) => /^ {14}\S/.test(line)),
      lines.join("\n"),
    );
    assert.equal(lines.map((line, i) => (i ? line.trimStart() : line)).join(" "), LINE);
  }
  assert.equal(wrap(LINE, 80, 14).split("\n").length, 3);
});

test("what fits, what has no width and what cannot be broken stays as it is", () => {
  assert.equal(wrap("id    v1.meter.SN1", 80, 6), "id    v1.meter.SN1");
  assert.equal(wrap(LINE, undefined, 14), LINE);
  assert.equal(wrap(LINE, 20, 14), LINE);
  assert.equal(wrap(`a ${"b".repeat(90)} c`, 80, 2), `a\n  ${"b".repeat(90)}\n  c`);
});

test("JSON that is longer than a line breaks behind its commas, a path stays whole", () => {
  const json = JSON.stringify({ up: 0, mem: 251, err: 0, boots: 1, drop: 0, seq: 1, rev: 0, litres: 12 });
  const lines = wrap(`x ${json}`, 40, 2).split("\n");
  assert.ok(lines.every((line) => line.length <= 40 && !/^\s*,/.test(line)));
  assert.ok(
    lines.slice(0, -1).every((line) => line.endsWith(",")),
    lines.join("\n"),
  );
  assert.equal(lines.map((line) => line.trimStart()).join(""), `x ${json}`);
  const path = `/home/${"a-folder/".repeat(10)}file`;
  assert.equal(
    wrap(`cannot write ${path}: the disk is full`, 40, 2),
    `cannot write\n  ${path}:\n  the disk is full`,
  );
});

test("a text of several lines keeps its own lines and their indents", () => {
  assert.equal(
    wrapLines("main.ts:3: no pin: there is none of that name\n    D99.set()", 24),
    "main.ts:3: no pin: there\n  is none of that name\n    D99.set()",
  );
  assert.equal(wrapLines("a b", undefined), "a b");
});
