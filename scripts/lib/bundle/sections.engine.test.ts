// Sections on the interpreter: a bundle in Storage boots, its sections are evaluated from flash, and the heap comes
// back. Needs ESPRUINO_BIN, any Linux build of Espruino; skipped without.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loneBundle } from "../../../hal/simulator/lone_bundle";
import { ENGINE, Engine } from "../test/engine";
import { buildBundle } from "./build";

const MODULES: Readonly<Record<string, string>> = {
  "main.ts": `
    import { calls, shared } from "./shared";
    declare function section<T>(module: Promise<{ default: T }>): T;
    function caller(a: number, b: number): number {
      const sum = a + b;
      return section(import("./root"))(sum, b) + section(import("./rows"))[2] + calls();
    }
    print("first " + caller(1, 2) + " " + shared(5));
    let before = 0, after = 0;
    before = process.memory().usage;
    print("second " + caller(3, 4));
    after = process.memory().usage;
    print("kept " + (after - before));`,
  "shared.ts": `
    let count = 0;
    export function calls(): number { return count; }
    export function shared(x: number): number { count++; let s = 0; for (let i = 0; i < x; i++) s += i * x; return s; }`,
  "root.ts": `
    import { shared } from "./shared";
    declare function section<T>(module: Promise<{ default: T }>): T;
    const TEXT = "\\0\\x08\\xff and some more";
    function helper(x: number): number { let t = x; while (t < 1000) t *= 7; return t + shared(x); }
    export default function root(x: number, y: number): number {
      const o = { _private: helper(x) };
      return o._private + TEXT.charCodeAt(2) + section(import("./nested"))(y) + ("x" in o ? 1 : 2);
    }`,
  "nested.ts": `
    function only(n: number): number { let z = n; do { z *= 3; } while (z < 100); return z; }
    export default function nested(n: number): number {
      switch (n) { case 2: return only(n); case 3: return 0; default: return only(n) + only(n + 1); }
    }`,
  "rows.ts": "export default [10, 20, 30];",
};

for (const debug of [false, true]) {
  const kind = debug ? "readable" : "minified";
  test(`a ${kind} bundle boots from Storage and evaluates its sections from flash`, {
    skip: skipped(),
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "sections-"));
    try {
      for (const [name, text] of Object.entries(MODULES)) writeFileSync(join(folder, name), text);
      const entry = join(folder, "main.ts");
      const { code, sections } = await buildBundle({ board: "linux", entry, debug });
      assert.deepEqual(sections.map(({ name }) => name).sort(), ["nested", "root", "rows"]);
      const engine = new Engine(loneBundle(code));
      try {
        assert.equal((await engine.line(/^first (.*)/))[1], "1488 50");
        assert.equal((await engine.line(/^second (.*)/))[1], "3081");
        assert.ok(Number((await engine.line(/^kept (.*)/))[1]) <= 0);
      } finally {
        await engine.stop();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

function skipped(): string | false {
  return ENGINE ? false : "ESPRUINO_BIN is not set";
}
