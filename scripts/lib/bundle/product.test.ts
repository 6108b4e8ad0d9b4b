// A product's file at build time: what is wrong with it is one sentence with file, line and what to do; what is right is there, and what
// it does not use costs nothing.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "../cli/exit";
import { type Bundle, buildBundle } from "./build";

const folder = mkdtempSync(join(tmpdir(), "product-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function build(text: string, board = "esp32"): Promise<Bundle> {
  const product = join(folder, `product${files++}.ts`);
  writeFileSync(product, text);
  return buildBundle({ board, product });
}

const where = () => relative(process.cwd(), join(folder, `product${files - 1}.ts`)).replace(/\./g, "\\.");

for (const [what, text, line, sentence] of [
  ["no program", "export function start() {\n  digitalWrite(D5, 1;\n}", 2, /Expected "\)"/],
  ["what the interpreter lacks", "\nexport function start() {\n  print(new Map());\n}", 3, /missing global/],
  ["a pin that the board has not", "export function start() {\n  digitalWrite(D6, 1);\n}", 2, /no such pin/],
  ["a name that is nothing", "export function start() {\n  opn();\n}", 2, /missing global/],
  [
    "two settings of one name",
    "export const settings = {\n  a: [1, 0, 2],\n  a: [2, 0, 3],\n};",
    3,
    /two settings "a"/,
  ],
  ["a bad name", 'export const settings = {\n  "open-s": [1, 0, 2],\n};', 2, /badly named: 1 to 16 letters/],
  ["a name of the device's", 'export const settings = {\n  host: ["", 0, 9],\n};', 2, /already/],
  ["a default outside", "export const settings = {\n  a: [9, 0, 2],\n};", 2, /not within its limits, 0 to 2/],
  ["a row that is none", "export const settings = {\n  a: 5,\n};", 2, /\[default, least, most\]/],
  ["a text too long for a line", 'export const settings = {\n  a: ["", 0, 80],\n};', 2, /room for 69 bytes/],
  [
    "settings that do not fit",
    `export const settings = {\n${[1, 2, 3, 4, 5].map((n) => `  a${n}: ["", 0, 60],`).join("\n")}\n};`,
    1,
    /room for 312: shorten them/,
  ],
  ["no time", "export function every() {}", 1, /export const everyS = 60/],
  ["a time for nothing", "export const everyS = 5;", 1, /export function every\(\)/],
  [
    "a default",
    "let n = 0;\nexport function command(a: string, b = 7) { n = b; return a; }",
    2,
    /no default values/,
  ],
  [
    "the rest",
    "export function start() { f(1); }\nfunction f(...r: any[]) { print(r); }",
    2,
    /no default values, rest/,
  ],
  [
    "a name of the build's",
    "export function start() {\n  const Y = 1;\n  print(Y);\n}",
    2,
    /`Y` is a name that/,
  ],
  ["half a second", "export const everyS = 0.5;\nexport function every() {}", 1, /whole number of seconds/],
] as const)
  test(`refused with file, line and a sentence: ${what}`, async () => {
    await assert.rejects(build(text), (error: Error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, new RegExp(`${where()}:${line}\\b`));
      assert.match(error.message, sentence);
      return true;
    });
  });

test("a product that commands other devices is refused where they would not hear it", async () => {
  const text =
    'import { tell } from "device";\nexport function every() { tell("SN2", "valve", "closed"); }\nexport const everyS = 60;';
  await assert.rejects(
    build(text),
    (error: Error) => error instanceof UsageError && /uses `tell`, .*PROFILE=peer/.test(error.message),
  );
});

test("a product that is too big is refused with what is too much", async () => {
  const big = `export function command() { return "${"x".repeat(700)}"; }\n`;
  const many = Array.from({ length: 24 }, (_, i) => `const t${i} = "${`${i}`.repeat(700)}";`).join("\n");
  await assert.rejects(
    build(`${many}\nexport function start() { print(${Array.from({ length: 24 }, (_, i) => `t${i}`)}); }`),
    (error: Error) => error instanceof UsageError && / over those that/.test(error.message),
  );
  assert.ok((await build(big)).sizes.left > 0);
});

test("a product that does nothing of it links no settings, store, times, and is no larger than the default one", async () => {
  const echo = await buildBundle({ board: "esp32" });
  const same = await build("export function command(_name: string, payload: string) { return payload; }");
  assert.equal(same.code.length, echo.code.length);
});

test("what several members share is a section; what one calls, a watch, a timer or the start of the program, is none", async () => {
  const shared = (calls: string) =>
    `let at = 0;\nfunction turn(to: number) { at = to; for (let i = 0; i < to; i++) digitalWrite(D5, i & at); }\n${calls}`;
  const names = async (calls: string) =>
    (await build(shared(calls))).sections.filter(({ name }) => name === "turn").length;
  const members = "export function start() { turn(0); }\nexport function stop() { turn(9); }";
  assert.equal(await names(members), 1);
  assert.equal(await names(`${members}\nexport function online() { setWatch(turn as any, D4); }`), 0);
  assert.equal(await names(`${members}\nexport function online() { setTimeout(() => turn(1), 9); }`), 0);
  assert.equal(
    await names(
      `${members}\nfunction pulse() { turn(1); }\nexport function online() { setWatch(pulse, D4); }`,
    ),
    0,
  );
  assert.equal(await names("export function start() { turn(0); turn(1); }"), 0);
  assert.equal(await names(`${members}\nturn(5);`), 0);
});
