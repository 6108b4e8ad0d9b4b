// Tables of numbers: what is packed gives what the table gave, and what is used in another way stays.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { packTables } from "./pack_tables";

/** Run a program as it is and packed; gives its packed text. */
function both(code: string): string {
  const run = (text: string): unknown[] => {
    const told: unknown[] = [];
    runInNewContext(text, { tell: (value: unknown) => told.push(JSON.stringify(value)) });
    return told;
  };
  const packed = packTables(code).code;
  assert.deepEqual(run(packed), run(code), packed);
  return packed;
}

const TABLE = `const TABLE = [
  { type: 65281, length: 1, isOurs: true, kind: 7 },
  { type: 0, length: 3, isOurs: false, kind: 7 },
  { type: 28, length: 0, isOurs: true, kind: 7 }];`;
const ALL =
  "for (let row = 0; row < TABLE.length; row++) { tell(TABLE[row].type); tell(TABLE[row].length); tell(TABLE[row].isOurs); tell(TABLE[row].kind); }";

test("each row is a number, each member its bits, and a column of one value is that value", () => {
  const packed = both(TABLE + ALL);
  assert.match(packed, /\[522251, 6, 225\]/);
  assert.match(packed, /tell\(7\)/);
  assert.match(packed, /row < 3/);
});

test("texts are joined, other values are chosen among their column, numbers of one digit are digits", () => {
  const packed = both(`const f = 5, g = 6, __section__ = (x) => x;
    const T = [{ word: "one", action: f, isLate: false, which: 0 }, ...[{ word: "two", action: __section__(g), isLate: true, which: 2 }], ...[]];
    tell(T.map((row) => row.word).join(" "));
    for (let row = 0; row < T.length; row++) { tell(T[row].action); tell(T[row].isLate); tell(T[row].which); }`);
  assert.match(packed, /tell\("one two"\)/);
  assert.match(packed, /\[f, __section__\(g\)\]\[row\]/);
  assert.match(packed, /const T = "06"/);
});

test("a table that is used in another way stays", () => {
  for (const use of [
    "tell(TABLE[0])",
    "tell(TABLE.map((row) => row.type))",
    "tell(TABLE[0].absent)",
    "tell(TABLE[0]['type'])",
    "tell(TABLE.map((row) => row.kind).join(' '))",
    "tell(TABLE.map((row) => row.type))",
  ])
    assert.match(both(`${TABLE}${ALL}${use};`), /type: 65281/);
});

test("a table that is no table of small numbers stays", () => {
  for (const rows of ["{ a: -1 }, { a: 1 }", "{ a: 1.5 }, { a: 1 }", "{ a: 1 }, { b: 1 }", "{ a: 1 }, 2"])
    assert.match(both(`const T = [${rows}]; for (let i = 0; i < T.length; i++) tell(T[i].a);`), /a: /);
  const wide = "{ a: 65535, b: 65535 }, { a: 1, b: 1 }";
  assert.match(both(`const T = [${wide}]; tell(T[0].a); tell(T[1].b);`), /a: 65535/);
});
