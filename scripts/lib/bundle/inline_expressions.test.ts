// Names for expressions are put in the place of their uses: what goes, what stays, and that it computes the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { EXPRESSION_ROUNDS, inlineExpressions } from "./inline_expressions";

/** Run a program as it is and with its expressions inlined; gives what it told, the same both times, and its new text. */
function both(code: string): { told: unknown[]; text: string } {
  const run = (text: string): unknown[] => {
    const told: unknown[] = [];
    const require = (name: string) => ({ read: (file: string) => `${name}/${file}` });
    runInNewContext(text, { tell: (value: unknown) => told.push(value), require });
    return told;
  };
  let text = code;
  for (let round = 0; round < EXPRESSION_ROUNDS; round++) text = inlineExpressions(text).code;
  assert.deepEqual(run(text), run(code), text);
  return { told: run(text), text };
}

const goes: Record<string, { code: string; told: unknown[] }> = {
  "a library, and what it gives": {
    code: 'const gone = require("Storage"); const key = gone.read("key"); tell(key); tell(key.length);',
    told: ["Storage/key", 11],
  },
  "a function of names and constants": {
    code: "function gone(a, at) { return a[at] * a[at + 1]; } const b = [2, 3, 4]; let i = 1; tell(gone(b, 0)); tell(gone(b, i)); tell(gone(b, i - 1));",
    told: [6, 12, 6],
  },
  "calls within calls": {
    code: "function gone(a) { return a + 1; } tell(gone(gone(gone(1))));",
    told: [4],
  },
  "an argument that is missing, and a short property": {
    code: "function gone(a, iv) { return { iv, a: a }; } tell(gone(1).iv); tell(gone(1, 2).iv);",
    told: [undefined, 2],
  },
  "arguments that are worked out in another order, where that is the same": {
    code: 'function gone(a, b) { return [b, a]; } const x = "abc"; tell(gone(x.substr(1), x.substr(2)).join());',
    told: ["c,bc"],
  },
};

for (const [what, { code, told }] of Object.entries(goes))
  test(`goes: ${what}`, () => {
    const result = both(code);
    assert.deepEqual(result.told, told);
    assert.doesNotMatch(result.text, /gone/);
  });

const stays: Record<string, string> = {
  "an argument that would be worked out twice":
    "let n = 0; function stays(a) { return a + a; } tell(stays(n++)); tell(n);",
  "arguments whose order counts":
    "let n = 0; function next() { n++; return n; } function stays(a, b) { return b - a; } tell(stays(next(), next()));",
  "a function that is a value":
    "function stays(a) { return a; } const other = [stays]; tell(other[0](1)); tell(stays(2));",
  "a function that changes something":
    "let n = 0; function stays(a) { return (n += a); } tell(stays(1)); tell(n);",
  "a function that knows itself": "function stays(a) { return a ? stays(a - 1) : 7; } tell(stays(3));",
  "a function of more than a return": "function stays(a) { a++; return a; } tell(stays(3));",
  "a name that is written to": 'let stays = require("x"); tell(stays.read("y")); stays = 1; tell(stays);',
};

for (const [what, code] of Object.entries(stays))
  test(`stays: ${what}`, () => {
    assert.match(both(code).text, /stays/);
  });
