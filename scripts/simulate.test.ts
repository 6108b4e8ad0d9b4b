// `npm run simulate` as people run it: the console of a bundle, an end by time and by Ctrl-C, bad command lines.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PROJECT } from "./lib/bundle/build";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "simulate-"));
after(() => rmSync(folder, { recursive: true }));
/** Write a file into the test's folder and give its path. */
function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
const ARGUMENTS = nodeArguments("scripts/simulate.ts");
const simulate = (...options: string[]) =>
  spawnSync(process.execPath, [...ARGUMENTS, ...options], {
    cwd: PROJECT,
    encoding: "utf8",
    timeout: 600_000,
  });

file("key", "00112233445566778899aabbccddeef1");
file("conf", '{"id":"v1.demo.1","host":"127.0.0.1","port":1}');
const TALKER = file(
  "talker.js",
  `print(process.env.BOARD, JSON.parse(require("Storage").read("conf") || "{}").id, (require("Storage").read("key") || "").length);
   print("E5"); require("Wifi").connect("net", {}, function (error) { print("network", error); });`,
);

test("shows the console, errors with their sentence, and ends after --for", () => {
  const { stdout, stderr, status } = simulate("--bundle", TALKER, "--device", folder, "--for", "1");
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.match(stdout, /^ESP32 v1\.demo\.1 16$/m);
  assert.match(stdout, /^E5 {2}The network is not up/m);
  assert.match(stdout, /^network null$/m);
  assert.match(stdout, /^esp32-sim off: 0 bytes out/m);
});

test("R29 --offline and --blank: no network, no key", () => {
  const { stdout, status } = simulate("--bundle", TALKER, "--blank", "--offline", "--for", "1");
  assert.equal(status, 0);
  assert.match(stdout, /^ESP32 {2}0$|^ESP32 undefined 0$/m);
  assert.match(stdout, /^network no ap found$/m);
});

test("runs until Ctrl-C, which is exit 0", async () => {
  const child = spawn(process.execPath, [...ARGUMENTS, "--bundle", TALKER, "--blank"], { cwd: PROJECT });
  let output = "";
  child.stdout.on("data", (data) => {
    const before = output;
    output += data;
    if (/network/.test(output) && !/network/.test(before)) child.kill("SIGINT");
  });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  assert.equal(code, 0);
  assert.match(output, /esp32-sim off/);
});

const MISTAKES: [options: string[], sentence: RegExp][] = [
  [["--board", "esp32"], /"esp32" is none of esp32-idf4-sim, esp32-sim, mdbt42q-w5500-sim/],
  [["--bundle", "/nowhere.js"], /there is no bundle \/nowhere\.js/],
  [["--bundle", TALKER, "--device", "/nowhere"], /there is no \/nowhere\/key: npm run derive makes one/],
  [["--bundle", folder, "--blank"], /cannot read the bundle/],
  [["--noise", "loud"], /"loud" is none of healthy/],
  [["--for", "soon"], /"soon" is not a whole number/],
  [["--what"], /--what/],
];
for (const [options, sentence] of MISTAKES) {
  test(`bad command line: ${options.join(" ").replace(folder, "FOLDER")}`, () => {
    const { stdout, stderr, status } = simulate(...options);
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, sentence);
    assert.equal(stderr.trim().split("\n").length, 1, "one sentence");
  });
}
