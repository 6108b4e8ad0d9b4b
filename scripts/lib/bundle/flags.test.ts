// Flags as numbers: what becomes one, what stays, and that the program does the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { flagsAsNumbers } from "./flags";

/** Run a program as it is and with its flags as numbers; gives its new text. */
function both(code: string): string {
  const run = (text: string): unknown[] => {
    const told: unknown[] = [];
    runInNewContext(text, { tell: (value: unknown) => told.push(value) });
    return told;
  };
  const { code: changed } = flagsAsNumbers(code);
  assert.deepEqual(run(changed), run(code), changed);
  return changed;
}

test("what is only ever true or false, and only asked for, is 1 or 0", () => {
  const changed = both(`let busy; let open = false; let other = true;
    function turn(x) { if (busy || (x && open)) return 1; busy = true; open = other = false; open && tell(2);
      return !open ? 8 * other : busy ? 3 : 4; }
    tell(turn(0)); tell(turn(1)); while (busy) busy = false; tell(turn(1));`);
  assert.doesNotMatch(changed, /true|false/);
});

for (const [what, code] of Object.entries({
  "its value is handed on": "let flag = false; tell(flag); flag = true; tell(flag);",
  "its value goes into another variable": "let flag = true; let copy = flag; tell(copy);",
  "it is compared": "let flag = true; tell(flag === true ? 1 : 2);",
  "it is given something else, too": "let flag = false; flag = 'text'; tell(flag ? flag.length : 0);",
  "what chooses between two values is handed on":
    "let flag = true; tell(flag && 'text'); tell(flag || 'text');",
  "it belongs to a function": "function f() { let flag = true; return flag ? 1 : 2; } tell(f());",
  "one chain with what stays": "let flag; let value; flag = value = true; tell(value); tell(flag ? 1 : 2);",
  "an assignment is a value": "let flag; tell((flag = true)); if (flag) tell(1);",
}))
  test(`it stays where ${what}`, () => assert.match(both(code), /true|false/));
