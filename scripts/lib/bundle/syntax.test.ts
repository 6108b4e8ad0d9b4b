// Who refers to which declaration, over the scopes that make it hard.
import assert from "node:assert/strict";
import { test } from "node:test";
import { analyse, parse } from "./syntax";

/** Each use of `name` as the line of the declaration that it means; 0: a global. */
function linesMeant(name: string, text: string): number[] {
  return analyse(parse(text))
    .references.filter((each) => each.identifier.name === name)
    .map((each) => each.binding?.declarations[0].loc?.start.line ?? 0);
}

const CASES: readonly [string, string, number[]][] = [
  ["a parameter hides the top level", "let x = 1;\nfunction f(x) { return x; }\nprint(x);", [2, 1]],
  ["a block has its own let", "let x = 1;\n{ let x = 2;\nprint(x); }\nprint(x);", [2, 1]],
  ["var belongs to the function", "function f() {\nif (1) { var x = 2; }\nreturn x; }\nprint(x);", [2, 0]],
  ["a use before its declaration", "function f() { return x; }\nlet x = 1;", [2]],
  [
    "a loop has its own variable",
    "let x = 1;\nfor (let x = 0; x < 3; x++) print(x);\nprint(x);",
    [2, 2, 2, 1],
  ],
  ["for-of and for-in", "let x = 1;\nfor (const x of [x]) print(x);\nfor (x in {}) print(x);", [2, 2, 1, 1]],
  ["catch", "let x = 1;\ntry { print(x); } catch (x) { print(x); }", [1, 2]],
  ["a function expression's own name", "let x = 1;\nprint(function x() { return x; }, x);", [2, 1]],
  ["properties and keys are no names", "let x = 1;\nprint({ x: 2 }.x, y.x, { x });\nclass A { x() {} }", [1]],
  ["arrow functions", "let x = 1;\nprint((x) => x, () => x);", [2, 1]],
  ["assignments and updates", "let x = 1;\nx = 2;\nx++;\nx += x;", [1, 1, 1, 1]],
  ["labels", "x: for (;;) { break x; }\nprint(x);", [0]],
  ["patterns", "let { a: x, b = x } = y;\nlet [z = x] = y;", [1, 1]],
  ["a switch is one block", "let x = 1;\nswitch (x) {\ncase 1: let x = 3; print(x); }\nprint(x);", [1, 3, 1]],
];

for (const [what, text, lines] of CASES) {
  test(`names: ${what}`, () => assert.deepEqual(linesMeant("x", text), lines));
}

test("writes are told from reads", () => {
  const { references } = analyse(parse("let a = 1, b; a = 2; b++; for (a of [b]) print(a);"));
  const writes = references.filter((each) => each.writes).map((each) => each.identifier.name);
  assert.deepEqual(writes, ["a", "b", "a"]);
});
