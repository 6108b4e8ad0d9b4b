// Every command that a page shows is run. Keys, ledger and updates in earnest, in the order in which the pages tell it; what wants a
// board, a broker or a fleet is read by its command, to the last option, and is run in the command's own test.
// Leaves out: servers and devices that meet (readme.test.ts).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { randomKey } from "./lib/keys/weak_keys";
import { openLedger } from "./lib/ledger/ledger";
import { PROJECT } from "./lib/project";
import { commandsOf, PAGES, type PageCommand } from "./lib/test/pages";
import { nodeArguments } from "./lib/test/program";
import { testImage } from "./lib/test/update";

const COMMANDS = [...PAGES].flatMap(([page, text]) => commandsOf(page, text));
const folder = mkdtempSync(join(tmpdir(), "pages-"));
const at = (name: string) => join(folder, name);
after(() => rmSync(folder, { recursive: true }));
// commands run there, and find their packages
symlinkSync(join(PROJECT, "node_modules"), at("node_modules"));

interface Ran {
  code: number | null;
  output: string;
  error: string;
}

function run({ script, args }: PageCommand, more: readonly string[] = [], input = ""): Promise<Ran> {
  // fifty devices tell as much as fifty thousand
  const few = args.map((each) => each.replace("..SN0050000", "..SN0000050"));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, nodeArguments(script, ...few, ...more), { cwd: folder });
    let [output, error] = ["", ""];
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (error += chunk));
    child.stdin.end(input);
    child.on("close", (code) => resolve({ code, output, error }));
  });
}

const told = new Set<PageCommand>();

/** The one command that begins so. */
function command(beginning: string): PageCommand {
  const found = COMMANDS.filter(({ text }) => text.startsWith(`npm run ${beginning}`));
  assert.ok(found.length > 0, `no page has npm run ${beginning}`);
  told.add(found[0]);
  return found[0];
}

/** Run it, with what a person would type or wait for besides. */
async function succeeds(beginning: string, more: readonly string[] = [], input = ""): Promise<string> {
  const { code, output, error } = await run(command(beginning), more, input);
  assert.equal(code, 0, `${beginning}: ${output}${error}`);
  return output;
}

/** The passphrase of each name, from a file; cheap to open. */
const secret = (...names: string[]) =>
  names.flatMap((name) => {
    const [as, of = as] = name.split(":");
    const file = at(`${of}.passphrase`);
    writeFileSync(file, `horse ${of} battery staple 7 ${of}\n`, { mode: 0o600 });
    return ["--passphrase-file", as === "" ? file : `${as}=${file}`];
  });
const CHEAP = ["--work-factor", "14"];
const PURPOSES = ["psk", "ota", "console", "rekey"];

describe("keys and updates, in the order of the pages", () => {
  test("the ceremony, a master made again, an older scheme, a factory and its batch", async () => {
    await succeeds("keys -- new --out", [...secret("root", ...PURPOSES), ...CHEAP]);
    await succeeds("keys -- new --root", [...secret("root", "psk:again"), ...CHEAP]);
    writeFileSync(at("legacy.key"), randomKey(), { mode: 0o600 });
    await succeeds("keys -- import --master legacy.key", [...secret("new:legacy"), ...CHEAP]);
    await succeeds("keys -- factory-key", [...secret(":factory"), ...CHEAP]);
    await succeeds("keys -- batch", secret("psk"));
    const output = await succeeds("keys -- check --batch", secret(":factory"));
    assert.match(output, /[0-9A-F]{6}/);
  });

  test("an update, its manifests, and new keys", async () => {
    for (const purpose of PURPOSES) copyFileSync(at(`ceremony/${purpose}.age`), at(`${purpose}.age`));
    writeFileSync(at("image"), testImage(3000));
    const image = ["--image", at("image")];
    await succeeds("ota -- build", image);
    const later = ["--sequence", "13", "--out", "meter-13.update"];
    await succeeds("ota -- build", [...image, ...later]);
    assert.match(await succeeds("ota -- sign", secret(":ota")), /50 manifests/);
    const opened = secret("ota", "rekey", "new-psk:psk", "new-console:console");
    assert.match(await succeeds("ota -- rekey", opened), /keys v2 for 50 devices/);
  });

  test("the service desk answers a challenge", async () => {
    const challenge = "UNLOCK v1.meter.SN0000001 0000000000000 7\ns\n60\n";
    const output = await succeeds("unlock -- --master", secret(":console"), challenge);
    assert.match(output, /^unlock s 60 [0-9A-Z]/m);
  });

  test("the ledger: a range for another bench, its entries, an end, the chain", async () => {
    openLedger(at("FILE")).close();
    writeFileSync(at("anchors"), await succeeds("ledger -- head FILE"));
    await succeeds("ledger -- reserve FILE");
    await succeeds("ledger -- merge FILE");
    assert.match(await succeeds("ledger -- show FILE"), /reserved for B9/);
    await succeeds("ledger -- scrap FILE");
    await succeeds("ledger -- report FILE");
    assert.match(await succeeds("ledger -- verify FILE"), /entries, each as it was written/);
  });
});

test("every other command is read by its program, to the last option", async () => {
  assert.ok(COMMANDS.length > 30);
  const seen = new Set<string>();
  const others = COMMANDS.filter((each) => {
    const key = `${each.script} ${each.args.join(" ")}`;
    return !told.has(each) && !each.args.includes("--help") && seen.size < seen.add(key).size;
  });
  // two at a time
  const next = async () => {
    for (let each = others.pop(); each; each = others.pop()) {
      const { code, output, error } = await run(each, ["--help"]);
      assert.equal(code, 0, `${each.page}: ${each.text}\n${error}`);
      assert.match(output, /^usage: npm /);
    }
  };
  await Promise.all([next(), next()]);
});
