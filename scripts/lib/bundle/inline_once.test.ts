// Functions that are called once go to the place of their call: what stays, what goes, and that it computes the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { inlineOnce, ROUNDS } from "./inline_once";

/** Run a program as it is and with its functions inlined; gives what it told, the same both times, and its new text. */
function both(code: string): { told: unknown[]; text: string } {
  const run = (text: string): unknown[] => {
    const told: unknown[] = [];
    runInNewContext(text, { tell: (value: unknown) => told.push(value) });
    return told;
  };
  let text = code;
  for (let round = 0; round < ROUNDS; round++) text = inlineOnce(text).code;
  assert.deepEqual(run(text), run(code), text);
  return { told: run(text), text };
}

const goes: Record<string, { code: string; told: unknown[] }> = {
  "a statement": {
    code: "function step(a, b) { let sum = a + b; tell(sum); } function main() { let sum = 1; step(sum, 2); tell(sum); } main();",
    told: [3, 1],
  },
  "the value of a declaration": {
    code: "function step(a) { if (a > 1) return 'more'; a++; return a; } function main(x) { const y = step(x); tell(y); } main(1); main(2);",
    told: [2, "more"],
  },
  "the value of an assignment, with all that follows an early return": {
    code: "function step(a) { if (a > 2) return 1; if (a > 1) { tell(a); return; } return 3; } function main(x) { let y; y = step(x); tell(y); } main(1); main(2); main(3);",
    told: [3, 2, undefined, 1],
  },
  "what is returned, from within a loop too": {
    code: "function step(a) { for (let i = 0; i < 3; i++) if (i === a) return i; tell('none'); } function main(x) { if (x) return step(x); return 7; } tell(main(0)); tell(main(2)); tell(main(9));",
    told: [7, 2, "none", undefined],
  },
  "a branch without braces, with fewer arguments": {
    code: "function step(a, b) { tell(a); tell(b); } function main(x) { if (x) step(x); else tell('no'); } main(1); main(0);",
    told: [1, undefined, "no"],
  },
  "a parameter that is written to, of a variable that lives on": {
    code: "function step(a) { a = a + 1; tell(a); } function main(x) { step(x); tell(x); } main(1);",
    told: [2, 1],
  },
  "a variable of a loop": {
    code: "function step(a) { a += 10; tell(a); } function main(x) { for (let i = 0; i < 2; i++) step(x); } main(1);",
    told: [11, 11],
  },
  "a part of a condition": {
    code: "function step(a) { if (a > 5) return; tell(a); } function main(x) { x && step(x); x || tell('none'); } main(1); main(0); main(6);",
    told: [1, "none"],
  },
  "a branch of a choice": {
    code: "function step(a) { tell(a + 10); } function main(x) { x ? tell(x) : step(x); } main(1); main(0);",
    told: [1, 10],
  },
  "what is returned within try and catch": {
    code: "function step(a) { if (a > 1) return 9; try { tell(a.b.c); return 1; } catch (error) { return error instanceof TypeError ? 2 : 3; } } function main(x) { const y = step(x); tell(y); } main({ b: { c: 0 } }); main(0); main(2);",
    told: [0, 1, 2, 9],
  },
  "one within another": {
    code: "function inner(a) { tell(a); } function outer(a) { inner(a + 1); tell('outer'); } function main() { outer(1); } main();",
    told: [2, "outer"],
  },
};

for (const [what, { code, told }] of Object.entries(goes))
  test(`inlined: ${what}`, () => {
    const result = both(code);
    assert.deepEqual(result.told, told);
    assert.doesNotMatch(result.text, /function (step|inner|outer)/);
  });

test("a variable that ends with the call goes on as the parameter: nothing holds its value twice", () => {
  const given = both(
    "function step(a) { a = a + 1; return a; } function main(x) { x = step(x); tell(x); } main(1);",
  );
  assert.doesNotMatch(given.text, /let/);
  const last = both(
    "function step(a) { a = a + 1; tell(a); } function main(x) { tell(x); step(x); } main(1);",
  );
  assert.doesNotMatch(last.text, /let/);
  const same = both("function step(a) { tell(a + 1); } function main(x) { step(x); tell(x); } main(1);");
  assert.doesNotMatch(same.text, /let/);
});

const stays: Record<string, string> = {
  "it is called twice": "function step(a) { tell(a); } function main() { step(1); step(2); } main();",
  "it is a value": "function step(a) { tell(a); } function main() { [1].forEach(step); } main();",
  "its call is part of an expression":
    "function step(a) { tell(a); return 1; } function main() { tell(1 + step(2)); } main();",
  "it knows itself": "function step(a) { if (a) step(a - 1); } function main() { step(1); } main();",
  "it returns from within a loop":
    "function step(a) { for (;;) if (a++ > 3) return a; } function main() { const x = step(1); tell(x); } main();",
  "it looks at its call":
    "function step() { tell(arguments.length); } function main() { step(1, 2); } main();",
  "the caller hides what it means":
    "let seen = 5; function step() { tell(seen); } function main() { let seen = 1; step(); tell(seen); } main();",
  "nothing calls it but the program": "function step() { tell(1); } step();",
};

for (const [why, code] of Object.entries(stays))
  test(`not inlined: ${why}`, () => assert.match(both(code).text, /function step/));
