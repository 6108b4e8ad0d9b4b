// The checker's firmware side refuses what Espruino has not, by types alone: the same tsconfig, one file more.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../bundle/build";

const REFUSED = [
  "new Map();",
  "new Set();",
  'Symbol("a");',
  "new Promise(() => {});",
  "Promise.resolve(1);",
  "Math.imul(1, 2);",
  "Math.trunc(1.5);",
  "Array.from([1]);",
  "Number.isInteger(1);",
  "new TextEncoder();",
  "Buffer.alloc(1);",
  'require("node:fs");',
  "[1].flat();",
  "[1].at(0);",
  "process.exit(1);",
  // looser in @types/espruino: ours count
  "Serial1.write(new Uint8Array(3));",
  "E.sum({});",
];
const TAKEN = [
  "for (const byte of new Uint8Array(3)) print(byte);",
  'for (const letter of "abc") print(letter);',
  "setTimeout((failed: boolean) => print(failed), 0, true);",
  'print(E.toString(1, "a", new Uint8Array(2)), "0".repeat(3));',
  'require("Storage").read(".bootcde", 3, 4);',
  // of @types/espruino: what a product's own code needs
  "digitalWrite(D2, true);",
  "setWatch(() => {}, D3, { repeat: true });",
  "I2C1.writeTo(4, [1]);",
  "let x: number | undefined;\nprint(x ?? 3);",
];

test("the checker knows what the interpreter has, and nothing else", () => {
  const folder = mkdtempSync(join(tmpdir(), "checker-"));
  try {
    const lines = [...REFUSED, ...TAKEN.map((text) => text.replace("\n", " "))];
    writeFileSync(join(folder, "probe.ts"), `${lines.map((line) => `{ ${line} }`).join("\n")}\nexport {};\n`);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: join(PROJECT, "tsconfig.firmware.json"),
        compilerOptions: { typeRoots: [join(PROJECT, "node_modules/@types")] },
        include: [
          join(folder, "probe.ts"),
          join(PROJECT, "hal/*.d.ts"),
          join(PROJECT, "firmware/boot/section.d.ts"),
        ],
      }),
    );
    const tsc = join(PROJECT, "node_modules/.bin/tsc");
    const { stdout } = spawnSync(tsc, ["--project", folder, "--pretty", "false"], { encoding: "utf8" });
    const wrong = [...stdout.matchAll(/probe\.ts\((\d+),/g)].map((match) => lines[Number(match[1]) - 1]);
    assert.deepEqual([...new Set(wrong)], REFUSED, stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
