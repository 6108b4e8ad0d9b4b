// The crypto on the real interpreter, in a built bundle: a chain over many inputs must end in the same bytes as in Node,
// where the other tests hold the same sources to the published vectors. The seeding runs as a section, from flash.
// Needs ESPRUINO_BIN. Leaves out our own digests, which hal/drivers.engine.test.ts runs.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loneBundle } from "../../hal/simulator/lone_bundle";
import { buildBundle, PROJECT } from "../../scripts/lib/bundle/build";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { toHex } from "../../scripts/lib/test/vectors";
import { cmac } from "./cmac";
import { random, seed as startRandom } from "./ctr_drbg";

/** Statements for both sides, each for a boot of its own: `tell(name, bytes)` takes results. */
const GENERATOR = `
  var material = "", text = "", i;
  for (i = 0; i < 128; i++) material += String.fromCharCode(i * 73 & 255);
  seed(material);
  // long enough for the last byte of V to run over many times
  for (i = 0; i < 400; i++) text = random(i % 70).substr(-32) + text.substr(0, 32);
  tell("random", text);
  seed(material + text.substr(0, 32));
  tell("again", random(40));
`;
const MAC = `
  var text = "0123456789abcdefghijklmnopqrstuvwxyz", mac = text.substr(0, 16), i;
  for (i = 1; i < 37; i++) mac = cmac(mac, text.substr(i & 15, 16).repeat(1 + (i & 7)));
  tell("cmac", mac);
`;

function inNode(program: string): Record<string, string> {
  const told: Record<string, string> = {};
  const tell = (name: string, bytes: string) => {
    told[name] = toHex(bytes);
  };
  const names = { seed: startRandom, random, cmac, tell };
  new Function(...Object.keys(names), program)(...Object.values(names));
  return told;
}

async function onEngine(program: string): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), "crypto-"));
  const entry = join(folder, "main.ts");
  const source = (name: string) => JSON.stringify(join(PROJECT, "firmware/crypto", `${name}.ts`));
  writeFileSync(
    entry,
    `import { cmac } from ${source("cmac")};
    import { random } from ${source("ctr_drbg")};
    function seed(material: string) { section(import(${source("ctr_drbg")})).seed(material); }
    function tell(name: string, bytes: string) {
      let hex = "";
      for (let i = 0; i < bytes.length; i++) hex += (256 + bytes.charCodeAt(i)).toString(16).substr(1);
      print(name + " " + hex);
    }
    function program() { ${program} print("end of program"); }
    // a little later than what the interpreter itself says at its start, which comes through another pipe
    setTimeout(program, 200);`,
  );
  const { code } = await buildBundle({ board: "linux", entry }).finally(() =>
    rmSync(folder, { recursive: true }),
  );
  const engine = new Engine(loneBundle(code));
  try {
    await engine.line(/end of program/);
    const lines = engine.lines.map((line) => line.trim().split(" "));
    return Object.fromEntries(lines.filter((words) => words.length === 2));
  } finally {
    await engine.stop();
  }
}

const skip = ENGINE ? false : "ESPRUINO_BIN is not set";

test("R14 the generator on the interpreter is the one that the vectors have tested", { skip }, async () => {
  const { random, again } = await onEngine(GENERATOR);
  assert.deepEqual({ random, again }, inNode(GENERATOR));
});

test("R20 CMAC on the interpreter is that which the vectors have tested", { skip }, async () => {
  const { cmac } = await onEngine(MAC);
  assert.deepEqual({ cmac }, inNode(MAC));
});
