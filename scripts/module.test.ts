// The module as a command: what it writes is what `require` takes, within its limit; what cannot be is a sentence.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MODULE_LIMIT, moduleBundle } from "./lib/bundle/module_bundle";
import { PROJECT } from "./lib/project";

const run = (...argv: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", "scripts/module.ts", ...argv], {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, BOARD: "" },
  });

test("make module writes dist/<board>/tls-psk.js, within its limit", async () => {
  const { status, stdout, stderr } = run("--board", "esp32");
  assert.equal(status, 0, stderr);
  const written = readFileSync(join(PROJECT, "dist/esp32/tls-psk.js"), "latin1");
  assert.equal(written, await moduleBundle("esp32"));
  assert.ok(written.length <= MODULE_LIMIT);
  assert.match(stdout, /require\("tls-psk"\)/);
});

test("no board, an unknown one, and one whose ciphers make it too long are told", () => {
  for (const [argv, sentence] of [
    [[], /--board is missing/],
    [["--board", "none"], /none of/],
    [["--board", "esp32-idf4"], /has \d+ bytes, and 6500 are the limit/],
  ] as const) {
    const { status, stderr } = run(...argv);
    assert.equal(status, 2, stderr);
    assert.match(stderr, sentence);
  }
});
