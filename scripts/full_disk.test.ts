// Every command that writes, on a disk that is full (a tmpfs of a few pages in a mount namespace of its own): one sentence, no
// exit 0, nothing begun that stays behind, and what was there is there, byte by byte. Leaves out dist/ of the build, which
// has no other place; rollout's state, whose own test is ota.test.ts.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFactoryKey, sealFactoryKey } from "./lib/custody/sealed_file";
import { writeSecret } from "./lib/files/private_file";
import { PURPOSES } from "./lib/keys/kdf";
import { openLedger } from "./lib/ledger/ledger";
import { updateFile } from "./lib/ota/update_file";
import { PROJECT } from "./lib/project";
import { BOARD } from "./lib/test/bench";
import { nodeArguments } from "./lib/test/program";
import { testImage, testMasters, testUpdate } from "./lib/test/update";

const folder = mkdtempSync(join(tmpdir(), "full-"));
const at = (...names: string[]) => join(folder, ...names);
/** The disk: what is in `seed` lies on it, and no byte more fits. */
const full = (...names: string[]) => at("full", ...names);
const PHRASES = ["grape lunar", "clip rust", "zebra quilt", "bravo mint"].map(
  (words) => `${words} oxide 7 venom plum`,
);
const phrase = (name: string, i = 0) => ["--passphrase-file", `${name}=${at(`phrase${i}`)}`];
const QUICK = ["--work-factor", "14"];
const WHO = ["--who", "Ann", "--station", "HQ"];

/** Arguments of `unshare` with which this user may mount, or undefined. */
const unshare = [["--mount"], ["--map-root-user", "--mount"]].find(
  (args) => spawnSync("unshare", [...args, "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0,
);

before(async () => {
  for (const name of ["full", "seed"]) mkdirSync(at(name));
  for (const [i, text] of PHRASES.entries()) writeFileSync(at(`phrase${i}`), text, { mode: 0o600 });
  for (const [purpose, bytes] of Object.entries(testMasters())) writeSecret(at(purpose), bytes);
  const { privateKey, publicKey } = await makeFactoryKey();
  writeFileSync(at("factory.age"), await sealFactoryKey(privateKey, Buffer.from(PHRASES[0]), 10));
  writeFileSync(at("factory.pub"), `${publicKey}\n`);
  writeFileSync(at("update"), updateFile(testUpdate()));
  writeFileSync(at("image"), testImage(2700));
  const range = {
    product: "meter",
    first: "SN0001",
    last: "SN0100",
    reservedFor: "B9",
    who: "Ann",
    station: "HQ",
  };
  const ledger = openLedger(at("seed", "ledger.sqlite"));
  ledger.reserve(range, at("offline.sqlite"));
  ledger.close();
  const offline = openLedger(at("offline.sqlite"), "write");
  for (let i = 1; i <= 100; i++)
    offline.append({
      ...({
        type: "begin",
        operation: "provision",
        result: "begun",
        product: "meter",
        chip: "c0ffee",
      } as const),
      ...{
        who: "Ann",
        station: "B9",
        fixture: 1,
        serial: `SN${String(i).padStart(4, "0")}`,
        imageDigest: "",
      },
      ...{ keyVersion: 1, checkValue: "", seconds: 0 },
    });
  offline.close();
  copyFileSync(at("factory.pub"), at("seed", "old"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Run a command with the full disk at its place, and compare what is on it. */
function onFullDisk(script: string, args: readonly string[]): Promise<Outcome> {
  const list = "(cd full; find . -type f | sort | xargs cksum)";
  const program = [
    "mount -t tmpfs -o size=1m none full && cp seed/* full/",
    "head -c 2000000 /dev/zero > full/filler 2> /dev/null",
    `${list} > before`,
    `cd '${PROJECT}'; "$@"; code=$?; cd '${folder}'`,
    `${list} | diff before - >&2 || exit 99`,
    "exit $code",
  ].join("\n");
  const command = [process.execPath, ...nodeArguments(`scripts/${script}.ts`, ...args)];
  const child = spawn("unshare", [...(unshare ?? []), "sh", "-c", program, "sh", ...command], {
    cwd: folder,
  });
  const outcome = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => (outcome.stdout += bytes));
  child.stderr.on("data", (bytes) => (outcome.stderr += bytes));
  child.stdin.end();
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...outcome })));
}

describe("R29 a full disk is a sentence, and nothing changes", {
  skip: !unshare && "no mount namespace may be opened here",
}, () => {
  const masters = () => PURPOSES.flatMap((purpose) => ["--master", `${purpose}=${at(purpose)}`]);
  const commands: Record<string, () => [script: string, args: string[]]> = {
    sheet: () => ["sheet", ["--out", full("sheet.pdf")]],
    "sheet over the old one": () => ["sheet", ["--out", full("old")]],
    "console-page": () => ["console_page", ["--out", full("console.html")]],
    label: () => ["label", ["--product", "meter", "--serials", "SN1..SN2", "--out", full()]],
    "label --sheet": () => [
      "label",
      ["--product", "meter", "--serials", "SN1..SN2", "--sheet", full("labels.pdf")],
    ],
    derive: () => ["derive", ["--out", full()]],
    image: () => ["image", ["--board", BOARD, "--bundle", at("bundle.js"), "--out", full()]],
    bench: () => [
      "bench",
      [
        ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:1", "--port", "tcp://127.0.0.1:1"],
        ...["--ledger", full("new.sqlite"), ...masters()],
      ],
    ],
    "keys new": () => [
      "keys",
      ["new", "--without-root", "--out", full(), ...QUICK, ...PURPOSES.flatMap((name, i) => phrase(name, i))],
    ],
    "keys factory-key": () => ["keys", ["factory-key", "--out", full(), ...QUICK, ...phrase("factory")]],
    "keys import": () => [
      "keys",
      [
        "import",
        "--master",
        at("psk"),
        "--purpose",
        "psk",
        "--out",
        full("psk.age"),
        ...QUICK,
        ...phrase("new"),
      ],
    ],
    "keys batch": () => [
      "keys",
      [
        ...["batch", "--master", `psk=${at("psk")}`, "--product", "meter", "--first", "SN1", "--count", "2"],
        ...["--for", at("factory.pub"), "--out", full("batch")],
      ],
    ],
    "ledger reserve": () => [
      "ledger",
      [
        ...["reserve", full("ledger.sqlite"), "--product", "meter", "--range", "SN0200..SN0300"],
        ...["--for", "B8", ...WHO],
      ],
    ],
    "ledger reserve --into": () => [
      "ledger",
      [
        ...["reserve", full("ledger.sqlite"), "--product", "meter", "--range", "SN0200..SN0300"],
        ...["--for", "B8", "--into", full("b8.sqlite"), ...WHO],
      ],
    ],
    "ledger merge": () => ["ledger", ["merge", full("ledger.sqlite"), at("offline.sqlite")]],
    "ledger scrap": () => [
      "ledger",
      [
        "scrap",
        full("ledger.sqlite"),
        "--product",
        "meter",
        "--serial",
        "SN9",
        "--reason",
        "Cracked",
        ...WHO,
      ],
    ],
    "ota build": () => [
      "ota",
      [
        ...["build", "--product", "meter", "--board", "esp32", "--version", "1", "--sequence", "3"],
        ...["--image", at("image"), "--out", full("update")],
      ],
    ],
    "ota sign": () => [
      "ota",
      [
        ...["sign", "--update", at("update"), "--master", at("ota"), "--serials", "SN1..SN9"],
        ...["--out", full("manifests")],
      ],
    ],
    "ota rekey": () => [
      "ota",
      [
        ...["rekey", "--update", at("update"), "--serials", "SN1..SN9", "--to", "2", "--out", full("rekeys")],
        ...[
          "--ota",
          at("ota"),
          "--rekey",
          at("rekey"),
          "--new-psk",
          at("psk"),
          "--new-console",
          at("console"),
        ],
      ],
    ],
    "keys export": () => [
      "keys",
      [
        ...["export", "--master", at("psk"), "--format", "stunnel", "--product", "meter"],
        ...["--serials", "SN1..SN9", "--out", full("psk.txt")],
      ],
    ],
    "setup: the key folder": () => [
      "setup",
      ["--port", "tcp://127.0.0.1:1", "--server", "127.0.0.1:8883", "--keys", full("keys")],
    ],
    farm: () => ["farm", ["--boards", "1", "--folder", full("farm")]],
    "product new": () => ["product", ["new", full("thermometer")]],
  };
  before(() => writeFileSync(at("bundle.js"), "print(1);"));

  for (const [name, given] of Object.entries(commands))
    test(`R29 ${name}`, async () => {
      const [script, args] = given();
      const { code, stdout, stderr } = await onFullDisk(script, args);
      assert.ok(code === 1 || code === 2, `exit ${code}: ${stdout}${stderr}`);
      assert.match(stderr, /^[a-z-]+: [^\n]*disk is full[^\n]*\.\n$/);
    });
});
