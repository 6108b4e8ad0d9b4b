// The minifier's switches, each proven by a run: a program of all the shapes that terser rewrites, and our own SHA,
// CMAC and KBKDF, built and then run on the interpreter, print there what the unminified program prints in Node.
// Needs ESPRUINO_BIN, any Linux build of Espruino; skipped without.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { ENGINE, Engine } from "../test/engine";
import { interpreter } from "../test/engine_run";
import { buildBundle, readBoard } from "./build";

const SHAPES = `
function pick(x: number): string {
  switch (x) { case 1: return "one"; case 2: case 3: { const y = x * 2; return "few" + y; } default: return "many"; }
}
function branches(a: number, b: number): number {
  let n = 0;
  if (a > b) { n++; n += a; } else if (a === b) n = 7; else { n--; n -= b; }
  if (a) { if (b) n *= 3; else n *= 5; }
  if (!a && b) { n += 11; n ^= 5; }
  return a ? (b ? n : -n) : b ? n + 100 : n - 100;
}
function loops(list: number[]): number {
  let sum = 0, i = 0;
  for (const x of list) { if (x < 0) continue; sum += x; if (sum > 50) break; }
  for (let j = 0, k = 10; j < k; j++, k--) sum += j * k;
  while (i < 5) { i++; if (i === 3) continue; sum ^= i; }
  do { sum -= 3; i--; } while (i > 0);
  for (const key in { a: 1, b: 2 }) sum += key.charCodeAt(0);
  for (;;) { if (sum > 90) { sum >>= 1; break; } sum += 17; }
  return sum;
}
function early(x: number): number {
  if (x === 1) return 10;
  if (x === 2) { x += 5; return x; }
  try { if (x === 3) throw x; x++; } catch (e) { return (e as number) + 40; } finally { x += 2; }
  return x;
}
let state = 0;
function effects(): number { state++; return state; }
function order(): string { const a = effects(), b = effects(), c = a + effects() * b; return [a, b, c, state].join(); }
function closure(start: number): () => number { let n = start; return () => { n += 2; return n; }; }
function bytes(): string {
  const view = new Uint8Array(4), words = new Int32Array(view.buffer);
  words[0] = 0x04030201 ^ -1; view[1] |= 0x80; view[2] = view[3]--;
  let text = "";
  for (const byte of view) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text + "," + (words[0] >>> 0) + "," + (words[0] >> 4) + "," + ~words[0];
}
function strings(): string {
  const odd = "\\0\\x01\\b\\t\\n\\v\\f\\r\\"'\\\\\\x7f\\x80\\xff\\x000\\x009" + \`\${state}\\\`$\`;
  let codes = "";
  for (let i = 0; i < odd.length; i++) codes += odd.charCodeAt(i) + " ";
  return codes;
}
function numbers(): string {
  return [1e3, 1e21 > 5, 0.5, -0.25, 0xffffffff, 1 / 0 > 5, 65536 * 65536, -2147483648, 100000, 3.0, 1e-3].join();
}
class Counter {
  count: number;
  _step = 2;
  constructor(start: number) { this.count = start; }
  next(): number { this.count += this._step; return this.count; }
  get twice(): number { return this.count * 2; }
  static make(): Counter { return new Counter(9); }
}
class Louder extends Counter {
  override next(): number { return super.next() * 10; }
}
const table: { [name: string]: number } = { alpha: 1, "beta-2": 2, if: 3 };
for (const x of [1, 2, 3, 4]) print(pick(x), early(x));
for (const a of [0, 1, 5]) for (const b of [0, 1, 9]) print(branches(a, b));
print(loops([4, -1, 9, 60, 2]), order());
const turn = closure(5);
print(turn(), turn(), bytes());
print(strings());
print(numbers());
const counter = new Louder(3);
print(counter.next(), counter.twice, Counter.make().next(), counter._step);
print(table.alpha + table["beta-2"] + table.if, "alpha" in table, delete table.alpha, typeof table.alpha, void 0 === undefined);
print(((x: number) => ({ x }))(4).x, (function fact(n: number): number { return n < 2 ? 1 : n * fact(n - 1); })(5));
print([3, 1, 2].sort((a, b) => a - b).join(), [1, 2].map((x) => x * 2).join(), null ?? "none", state && "yes", !state || "no");
`;

const CRYPTO = `
import { aes } from "hal:aes128";
import { update, finish } from "hal:digest";
const hex = (bytes: ArrayBuffer): string => { let t = ""; for (const b of new Uint8Array(bytes)) t += (b < 16 ? "0" : "") + b.toString(16); return t; };
let text = "";
for (let i = 0; i < 130; i++) text += String.fromCharCode(i & 127);
for (const n of [0, 3, 55, 56, 64, 119, 130]) for (const length of [20, 32]) print(hex(finish(length, update(length, update(length, "", text.substr(0, n >> 1)), text.substr(n >> 1, n - (n >> 1))))));
print(typeof aes);
`;

const NODE_GLOBALS = { require: () => ({}), E: { toString: (...parts: string[]) => parts.join("") } };

test("what the minifier makes computes the same on the interpreter", { skip: skipped() }, async () => {
  await assertSame(SHAPES, "linux");
});

test("our own SHA, minified, agrees with the unminified on the interpreter", {
  skip: skipped(),
}, async (t) => {
  const { total } = await interpreter();
  if (total < 500) return t.skip(`the unminified program does not fit in ${total} variables`);
  const digest = "own_digest";
  const board = await readBoard("linux");
  const outputs: string[][] = [];
  for (const debug of [true, false]) outputs.push(await onEngine(CRYPTO, { ...board, digest }, debug));
  outputs.push(await onEngine(CRYPTO, board, false));
  assert.equal(outputs[0].length, 15);
  assert.deepEqual(outputs[1], outputs[0]);
  assert.deepEqual(outputs[2], outputs[0], "as the interpreter's native SHA");
});

async function assertSame(source: string, board: string): Promise<void> {
  const expected: string[] = [];
  const { code } = await build(source, board, true);
  runInNewContext(code, {
    ...NODE_GLOBALS,
    print: (...values: unknown[]) => expected.push(values.join(" ")),
  });
  assert.ok(expected.length > 20);
  for (const debug of [true, false]) assert.deepEqual(await onEngine(source, board, debug), expected);
}

/** Build a program, boot it on the interpreter, and return its lines. */
async function onEngine(source: string, board: string | object, debug: boolean): Promise<string[]> {
  const { code } = await build(`${source}\nprint("the end");`, board, debug);
  const engine = new Engine({ ".bootcde": code });
  try {
    await engine.line(/^the end/);
    return engine.lines
      .slice(0, engine.lines.indexOf("the end"))
      .filter((line) => !/^espruino:|^$/.test(line));
  } finally {
    await engine.stop();
  }
}

async function build(source: string, board: string | object, debug: boolean): Promise<{ code: string }> {
  const folder = mkdtempSync(join(tmpdir(), "minify-"));
  try {
    const entry = join(folder, "main.ts");
    writeFileSync(entry, source);
    return await buildBundle({ board: board as string, entry, debug });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function skipped(): string | false {
  return ENGINE ? false : "ESPRUINO_BIN is not set";
}
