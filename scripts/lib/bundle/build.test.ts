// The build as a whole, over small programs in a folder of their own: the board's choice, the profile's overrides,
// what it refuses and how it says so, names and sizes. Its parts are tested beside them in bundle/.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { type OutputOptions, rollup } from "rollup";
import { SECTION_LIMIT } from "../../../firmware/profile";
import { detokenise } from "../../../hal/tokens";
import { boardModules } from "./board_modules";
import {
  type BuildOptions,
  type Bundle,
  boardNames,
  buildBundle,
  PROJECT,
  readBoard,
  rollupOptions,
} from "./build";
import { minify } from "./minify";
import { holdToBudget, SIZE_LIMIT, sizeTable } from "./sizes";

const folder = mkdtempSync(join(tmpdir(), "build-"));
after(() => rmSync(folder, { recursive: true }));

const BOARD = {
  name: "test",
  randomSource: "system_random",
  clockHz: 64000000,
  deep: { pin: -3 },
  list: [1, 2],
};

async function build(files: Record<string, string>, options: Partial<BuildOptions> = {}): Promise<Bundle> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return buildBundle({ board: BOARD, entry: join(folder, "main.ts"), ...options });
}

test("the board's data become literals", async () => {
  const { code } = await build({
    "main.ts": `import { board } from "board";
      if (board.clockHz > 1000) print(board.clockHz / 1000, board.deep.pin, board.list, (board as any).absent);
      else print("slow");`,
  });
  assert.equal(detokenise(code), "print(64e3,-3,[1,2],undefined);");
});

test("a board without a true source of noise does not build (R13)", async () => {
  const main = { "main.ts": "print(1);" };
  for (const randomSource of [undefined, "", 0]) {
    await assert.rejects(build(main, { board: { ...BOARD, randomSource } }), /no true source of noise/);
  }
  const reading = { "main.ts": 'import { noise } from "hal:random_source"; print(noise());' };
  await assert.rejects(
    build(reading, { board: { ...BOARD, randomSource: "hw_rand" } }),
    /no driver .*hw_rand/,
  );
});

test("a section that is longer than the interpreter may print is refused, a readable one is not", async () => {
  const files = (lines: number) => ({
    "main.ts": `declare function section<T>(module: Promise<{ default: T }>): T;
      print(section(import("./long"))(1), section(import("./long"))(2));`,
    "long.ts": `export default function long(x: number): number {
      ${'print("some", x);'.repeat(lines)} return x; }`,
  });
  assert.ok((await build(files(40), { board: "linux" })).sections[0].length <= SECTION_LIMIT);
  await assert.rejects(build(files(70), { board: "linux" }), /section long has \d+ bytes, 720 are allowed/);
  assert.match((await build(files(70), { board: "linux", debug: true })).code, /\.substr\(offset\)/);
});

test("a driver is the file that the board names", async () => {
  const main = { "main.ts": 'import { flash } from "hal:flash"; print(flash.read("conf"));' };
  const { code } = await build(main, { board: { ...BOARD, flash: "storage" } });
  assert.match(detokenise(code), /require\("Storage"\)/);
  await assert.rejects(build(main), /board test names no driver for hal:flash/);
  await assert.rejects(
    build({ "main.ts": 'import { x } from "hal:nothing"; print(x);' }),
    /no such interface/,
  );
});

test("every interface of the types has its specifier in tsconfig and in the build", async () => {
  const { default: tsconfig } = await import("../../../tsconfig.json", { with: { type: "json" } });
  const linux = await readBoard("linux");
  const plugin = boardModules(linux, join(PROJECT, "hal/espruino"));
  const resolve = plugin.resolveId as (specifier: string) => string;
  for (const [specifier, [path]] of Object.entries(tsconfig.compilerOptions.paths)) {
    if (!["board", "product", "device"].includes(specifier))
      assert.equal(resolve(specifier), join(PROJECT, path), specifier);
  }
});

test("defines override the profile's constants, an unknown name fails", async () => {
  const main = {
    "main.ts": `import * as profile from "${join(PROJECT, "firmware/profile.ts")}";
      if (profile.requireEncryptThenMac) print("required"); else print("free", profile.FRAGMENT_LIMIT);`,
  };
  assert.equal(detokenise((await build(main)).code), 'print("required");');
  const { code } = await build(main, { defines: { requireEncryptThenMac: false, FRAGMENT_LIMIT: 77 } });
  assert.equal(detokenise(code), 'print("free",77);');
  await assert.rejects(
    build(main, { defines: { requireEncryptThenMacs: false } }),
    /no such constant.*ThenMacs/,
  );
});

test("what Espruino cannot run is refused with its place in the source", async () => {
  const files = {
    "main.ts": 'import { use } from "./used";\n\nprint(use([1, 2]), use([2, 3]));\n',
    "used.ts":
      "export function use(list: number[]): number {\n  const k = list.length;\n  return Math.max(...list) ** k;\n}\n",
  };
  for (const debug of [false, true]) {
    await assert.rejects(build(files, { debug }), (error: Error) => {
      assert.match(error.message, /used\.ts:3:\d+: spread: no spread; use concat/);
      // the line as it is in the source, not what the minifier made of it
      assert.match(error.message, /\n {4}return Math\.max\(\.\.\.list\) \*\* k;/);
      assert.equal(stripVTControlCharacters(error.message), error.message);
      return true;
    });
  }
  await assert.rejects(build({ "main.ts": "print(new Map());" }), /main\.ts:1:\d+: missing global/);
});

test("a call before the function's line is refused", async () => {
  await assert.rejects(
    build({
      "main.ts":
        "print(late(3)); print(late(4));\nfunction late(n: number): number { let s = 0; while (n > s) s++; return s; }",
    }),
    /used before its line/,
  );
});

test("names lead back from the minified bundle", async () => {
  const { names, ...bundle } = await build({
    "main.ts": `function telemetry(x: number): number { let s = 0; for (let i = 0; i < x; i++) s += i; return s; }
      const state = { _uptime: telemetry(3), kept: telemetry(4) };
      setTimeout(() => print(state._uptime, state.kept, state), 5);`,
  });
  const code = detokenise(bundle.code);
  const short = (table: Record<string, string>, source: string): string | undefined =>
    Object.keys(table).find((name) => table[name] === source);
  const functionName = short(names.variables, "telemetry");
  const property = short(names.properties, "_uptime");
  assert.ok(functionName && property);
  assert.match(code, new RegExp(`[ ,]${functionName}=`));
  assert.match(code, new RegExp(`[{,]${property}:`));
  assert.match(code, /kept:/);
  assert.doesNotMatch(code, /_uptime|telemetry/);
});

test("no top-level name is the interpreter's E, `of` or a pin", async () => {
  const declarations = Array.from({ length: 3000 }, (_, i) => `let v${i} = print(${i});`);
  const { names } = await minify(`${declarations.join("")}print(${declarations.map((_, i) => `v${i}`)});`);
  const short = Object.keys(names.variables);
  assert.equal(short.length, 3000);
  assert.deepEqual(
    short.filter((name) => /^(E|of|[A-HP]\d)$/.test(name)),
    [],
  );
});

test("every byte is in the size table, and too many fail", async () => {
  const files = {
    "main.ts": 'import { use } from "./used";\nprint(use(1), use(2));',
    "used.ts": "export function use(n: number): number { let s = 0; while (s < n) s++; return s; }",
  };
  const { code, sizes } = await build(files);
  assert.equal(sizes.total, code.length);
  assert.equal(sizes.left, SIZE_LIMIT - code.length);
  assert.equal(
    sizes.modules.reduce((sum, row) => sum + row.total, 0),
    code.length,
  );
  const row = sizes.modules.find(({ module }) => module.endsWith("used.ts"));
  assert.ok(row && row.total > 20 && row.total < code.length, JSON.stringify(sizes));
  assert.match(sizeTable(sizes), new RegExp(`${code.length} of 16176 bytes`));
  await assert.rejects(build({ "main.ts": `print("${"x".repeat(SIZE_LIMIT)}");` }), /over the 16176 allowed/);
  assert.throws(() => holdToBudget({ ...sizes, total: SIZE_LIMIT + 1, left: -1 }, []), /1 over/);
  holdToBudget({ ...sizes, total: SIZE_LIMIT, left: 0 }, []);
});

test("a board that is not there is refused with the list of those that are", async () => {
  await assert.rejects(buildBundle({ board: "esp33" }), /no board "esp33"; there are .*esp32/);
});

for (const board of boardNames()) {
  test(`the bundle of ${board} is built, bytes of one file, each part a program that ends with a zero byte`, async () => {
    const { code, sizes, sections } = await buildBundle({ board });
    assert.match(code, /^[\0-\xff]+$/);
    assert.ok(sizes.left >= 0);
    const bodies = sections.map(({ offset, length }) => code.substr(offset, length));
    assert.equal(code, [code.slice(0, sections[0].offset - 1), ...bodies, ""].join("\0"));
    for (const { offset, length, name } of sections)
      assert.equal(detokenise(code.slice(offset)), detokenise(code.substr(offset, length)), name);
  });
}

test("rollup writes the bytes of a bundle, and the readable one as it is", async () => {
  for (const debug of [false, true]) {
    const options = await rollupOptions({ board: "linux", debug });
    const build = await rollup(options);
    const { output } = await build.generate(options.output as OutputOptions);
    await build.close();
    const file = output.find(({ fileName }) => fileName === (debug ? "firmware.debug.js" : "firmware.js"));
    const { code } = await buildBundle({ board: "linux", debug });
    assert.ok(file?.type === "asset");
    assert.equal(Buffer.from(file.source).toString("latin1"), code);
    assert.equal(/[\x80-\xff]/.test(code), !debug);
    assert.deepEqual(
      output.filter(({ type }) => type === "chunk"),
      [],
    );
  }
});

/** Bytes of a bundle of esp32, by its modules. */
async function esp32(defines: BuildOptions["defines"] = {}) {
  return (await buildBundle({ board: "esp32", defines })).sizes;
}

test("the bundle of esp32 keeps to its limits: TLS and MQTT in 10,450 bytes, of them TLS in 6,144; the console is beside that", async () => {
  const { total, modules } = await esp32({ CONSOLE: false, PROVISIONING: false });
  assert.ok(total <= 10450, `${total} bytes`);
  const tls = modules.filter(({ module }) => module.startsWith("firmware/tls/"));
  assert.ok(tls.length > 5);
  assert.ok(tls.reduce((sum, row) => sum + row.total, 0) <= 6144);
  assert.ok((await esp32()).total > total);
});

test("the bundle of esp32 has room for updates: 13,450 bytes with bench and console, 15,600 with all", async () => {
  const { total } = await esp32({ UPDATES: false });
  assert.ok(total <= 13450, `${total} bytes`);
  const { total: all } = await esp32();
  assert.ok(all > total && all <= 15600, `${all} bytes`);
});

test("what provisioning adds to the bundle of esp32 is at most 800 bytes", async () => {
  const added = (await esp32()).total - (await esp32({ PROVISIONING: false })).total;
  assert.ok(added > 0 && added <= 800, `${added} bytes`);
});

/** The profile's settings, each with its other value; the first makes a bundle longer, the others hardly. */
const OTHER_PROFILES: Record<string, boolean> = {
  requireEncryptThenMac: false,
  requireExtendedMasterSecret: false,
  falseStart: true,
  TLS_PSK_WITH_AES_128_CBC_SHA256: false,
  TLS_PSK_WITH_AES_128_CCM_8: false,
  TLS_PSK_WITH_AES_128_CCM: false,
  CONSOLE: false,
  PROVISIONING: false,
  UPDATES: false,
};

/** The board whose slot is the fullest. */
const FULLEST = "esp32-idf4";

for (const [name, value] of Object.entries(OTHER_PROFILES))
  test(`the profile with ${name} ${value} builds`, async () => {
    const real = [];
    for (const board of boardNames()) if (!(await readBoard(board)).simulates) real.push(board);
    const boards = name === "requireEncryptThenMac" ? real : [FULLEST];
    for (const board of boards)
      assert.ok((await buildBundle({ board, defines: { [name]: value } })).code.length <= SIZE_LIMIT, board);
  });
