// `make size` and `make bundle` where nothing has been built, and where `npm start` alone has: in a copy of the project as Git has it,
// with the packages of this one. What is wrong with a name or a file there is a sentence.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PROJECT } from "./lib/project";

const clone = mkdtempSync(join(tmpdir(), "clone-"));
const at = (...names: string[]) => join(clone, ...names);

before(() => {
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], {
    cwd: PROJECT,
    encoding: "utf8",
  });
  for (const file of files.trim().split("\n"))
    if (existsSync(join(PROJECT, file))) cpSync(join(PROJECT, file), at(file));
  symlinkSync(join(PROJECT, "node_modules"), at("node_modules"));
});
after(() => rmSync(clone, { recursive: true, force: true }));

/** Type it in the clone; the runner's own variables are not there. */
function typed(command: string, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const { PATH, HOME } = process.env;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: clone, env: { PATH, HOME } });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code) => resolve({ code, output }));
  });
}

const TOTAL = /^esp32 [\s\S]*\n\d+ of 16176 bytes, \d+ left; for a product of your own \d+\n$/m;

describe("a clean clone", () => {
  test("make size where nothing is built, and where npm start alone has built", async () => {
    const { code, output } = await typed("make", "size");
    assert.equal(code, 0, output);
    assert.match(output, TOTAL);
    const started = await typed("npm", "start", "--", "--once");
    assert.equal(started.code, 0, started.output);
    const later = await typed("make", "size");
    assert.equal(later.code, 0, later.output);
    assert.equal(later.output, output);
  });

  test("make bundle for a board, then its size.json is what make size shows", async () => {
    const { code, output } = await typed("make", "bundle", "BOARD=esp32");
    assert.equal(code, 0, output);
    assert.ok(existsSync(at("dist/esp32/size.json")));
    assert.match((await typed("make", "size")).output, TOTAL);
  });

  test("make size of a board that is none, of sizes that are no JSON; make bundle of what is none: a sentence", async () => {
    const wrong = async (sentence: RegExp, ...args: string[]) => {
      const { code, output } = await typed("make", ...args);
      assert.equal(code, 2, output);
      assert.match(output, sentence);
      assert.doesNotMatch(output, /\n\s+at /);
    };
    await wrong(/no board "nonsense"; there are esp32, /, "size", "BOARD=nonsense");
    writeFileSync(at("dist/esp32/size.json"), "{");
    await wrong(/size\.json: it is no JSON; make bundle BOARD=esp32 writes it anew/, "size");
    await wrong(/no profile "nonsense"; there are main, /, "bundle", "BOARD=esp32", "PROFILE=nonsense");
    await wrong(/there is no product .*nowhere/, "bundle", "BOARD=esp32", "PRODUCT=nowhere");
  });
});
