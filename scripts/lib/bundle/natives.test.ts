// A native gets a name of its own where that gains bytes, and only there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nameNatives } from "./natives";

test("a native that is used often gets a name", () => {
  const { code } = nameNatives(`${"print(E.toString(1, 2));\n".repeat(20)}`);
  assert.ok(code.startsWith("const E_toString = E.toString;\nprint(E_toString(1, 2));"));
  assert.doesNotMatch(code.slice(30), /E\.toString/);
});

test("a native that is used seldom, needs its object or belongs to our own E does not", () => {
  for (const program of [
    "print(E.toString(1));\n".repeat(5),
    "E.on('errorFlag', print);\n".repeat(50),
    "const now = [1].map(Math.random);\n",
    `const E = { toString() {} };\n${"print(E.toString(1));\n".repeat(50)}`,
  ]) {
    assert.equal(nameNatives(program).code, program);
  }
});

test("the name is none that the program has", () => {
  const { code } = nameNatives(`const E_toString = 1;\n${"print(E.toString(1, E_toString));\n".repeat(20)}`);
  assert.ok(code.startsWith("const E_toString_ = E.toString;\n"));
});

test("a member of texts that is used often gets a name", () => {
  const { code } = nameNatives(
    `${"print((a + b) .substr(1), c.substr(2));\n".repeat(20)}while (d) d.substr(3);\n`,
  );
  assert.ok(
    code.startsWith('const text_substr = "substr";\nprint((a + b) [text_substr](1), c[text_substr](2));'),
  );
  assert.ok(code.endsWith("while (d) d[text_substr](3);\n"));
  const seldom = "print(a.substr(1));\n".repeat(5);
  assert.equal(nameNatives(seldom).code, seldom);
});

test("a class that is made often gets a name", () => {
  const { code } = nameNatives(`${"print(new Int32Array(4));\n".repeat(20)}`);
  assert.ok(code.startsWith("const Int32Array_ = Int32Array;\nprint(new Int32Array_(4));"));
});
