// Every command that writes, on a disk that is full (a tmpfs of a few pages in a mount namespace of its own): one sentence, no
// exit 0, nothing begun that stays behind, and what was there is there, byte by byte; and a bench, whose disk fills while it works.
// Leaves out `push` and `start`, which keep nothing but built bundles (bundle/cache.test.ts), and a gateway whose disk fills, which
// tells it and goes on (lib/gateway/quotas.test.ts has the retained messages).
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Board } from "../boards/board";
import { LINE_RATE } from "./lib/bench/port";
import { makeFactoryKey, sealFactoryKey } from "./lib/custody/sealed_file";
import { writeSecret } from "./lib/files/private_file";
import { PURPOSES } from "./lib/keys/kdf";
import { openLedger } from "./lib/ledger/ledger";
import { RolloutState } from "./lib/ota/rollout_state";
import { updateFile } from "./lib/ota/update_file";
import { PROJECT, readBoard } from "./lib/project";
import { SimulatedBoard } from "./lib/simulate/simulated_board";
import { BOARD } from "./lib/test/bench";
import { startPlainMosquitto } from "./lib/test/doors";
import { skipWithout } from "./lib/test/peers/install";
import { freePort } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";
import { testImage, testMasters, testRekeyRows, testUpdate } from "./lib/test/update";

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

/** What commands talk to: a board that is blank, and a broker. */
let port = "";
let brokerPort = 0;
const ends: (() => Promise<unknown>)[] = [];

before(async () => {
  for (const name of ["full", "seed"]) mkdirSync(at(name));
  const data = (await readBoard("mdbt42q-w5500-sim")) as unknown as Board;
  const board = new SimulatedBoard({ board: data, chip: "chip-1", lineRate: 100 * LINE_RATE });
  port = await board.start();
  ends.push(() => board.unplug());
  if (!skipWithout("mosquitto")) {
    const broker = await startPlainMosquitto();
    brokerPort = broker.port;
    ends.push(() => broker.stop());
  }
  for (const [i, text] of PHRASES.entries()) writeFileSync(at(`phrase${i}`), text, { mode: 0o600 });
  mkdirSync(at("seed", "home"), { mode: 0o700 });
  for (const [purpose, bytes] of Object.entries(testMasters())) {
    writeSecret(at(purpose), bytes);
    writeSecret(at("seed", "home", purpose), bytes);
  }
  const { privateKey, publicKey } = await makeFactoryKey();
  writeFileSync(at("factory.age"), await sealFactoryKey(privateKey, Buffer.from(PHRASES[0]), 10));
  writeFileSync(at("factory.pub"), `${publicKey}\n`);
  writeFileSync(at("update"), updateFile(testUpdate()));
  copyFileSync(at("update"), at("seed", "update"));
  writeFileSync(at("rekeys"), await testRekeyRows({ identities: ["v1.meter.SN1"] }));
  writeFileSync(at("devices"), "v1.meter.SN1\n");
  const stateOf = (version: string, ...names: string[]) => {
    const plan = { product: "meter", sequence: 7, version, digest: "", stopAt: 5, waitMinutes: 1 };
    RolloutState.create(at(...names), { ...plan, rings: [["SN1"]] }).close();
    return statSync(at(...names)).size;
  };
  // as long as a page of the disk, so that no line more fits
  stateOf("1".repeat(4096 - stateOf("", "short state")), "seed", "state");
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
after(async () => {
  for (const end of ends) await end();
  rmSync(folder, { recursive: true, force: true });
});

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A disk of so many bytes, with what is in `seed`. */
const mounted = (size: string) => `mount -t tmpfs -o size=${size} none full && cp -r seed/* full/`;
const FILL = "head -c 2000000 /dev/zero > full/filler 2> /dev/null";

/** Run a shell's program in a namespace where it may mount, with a command as "$@". */
function inNamespace(
  program: readonly string[],
  command: readonly string[],
  typed?: (said: string) => string,
) {
  const child = spawn("unshare", [...(unshare ?? []), "sh", "-c", program.join("\n"), "sh", ...command], {
    cwd: folder,
  });
  const outcome = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => {
    outcome.stdout += bytes;
    if (typed) child.stdin.write(typed(outcome.stdout));
  });
  child.stderr.on("data", (bytes) => (outcome.stderr += bytes));
  if (!typed) child.stdin.end();
  return new Promise<Outcome>((resolve) => child.on("close", (code) => resolve({ code, ...outcome })));
}

const nodeCommand = (script: string, args: readonly string[]) => [
  process.execPath,
  ...nodeArguments(`scripts/${script}.ts`, ...args),
];

/** Run a command with the full disk at its place, at that of dist/BOARD as well, and compare what is on it. */
function onFullDisk(command: readonly string[]): Promise<Outcome> {
  const list = "(cd full; find . -type f | sort | xargs cksum)";
  mkdirSync(join(PROJECT, "dist", BOARD), { recursive: true });
  return inNamespace(
    [
      mounted("1m"),
      FILL,
      `mount --bind full '${PROJECT}/dist/${BOARD}'`,
      `${list} > before`,
      `cd '${PROJECT}'; "$@"; code=$?; cd '${folder}'`,
      `${list} | diff before - >&2 || exit 99`,
      "exit $code",
    ],
    command,
  );
}

describe("R29 a full disk is a sentence, and nothing changes", {
  skip: !unshare && "no mount namespace may be opened here",
}, () => {
  const rekeyMasters = () =>
    Object.entries({ ota: "ota", rekey: "rekey", "new-psk": "psk", "new-console": "console" }).flatMap(
      ([option, name]) => [`--${option}`, at(name)],
    );
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
        ...["--image", at("image"), "--out", full("new update")],
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
        ...rekeyMasters(),
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
    "setup: the ledger": () => [
      "setup",
      ["--port", port, "--server", "127.0.0.1:8883", "--keys", full("home")],
    ],
    farm: () => ["farm", ["--boards", "1", "--folder", full("farm")]],
    "product new": () => ["product", ["new", full("thermometer")]],
    module: () => ["module", ["--board", BOARD]],
    "doctor --report --noise": () => [
      "doctor",
      [
        ...["--port", port, "--drivers", "--blocks", "1"],
        ...["--report", full("report"), "--noise", full("noise")],
      ],
    ],
    "gateway --store": () => [
      "gateway",
      ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--store", full("retained.sqlite")],
    ],
    "tunnel --counters": () => [
      "tunnel",
      [
        ...["--master", at("psk"), "--devices", at("devices"), "--counters", full("numbers.sqlite")],
        ...["--listen", `127.0.0.1:${free}`, "--to", "127.0.0.1:9"],
      ],
    ],
    "ota rekey: the note": () => [
      "ota",
      [
        ...["rekey", "--update", full("update"), "--serials", "SN1", "--to", "2", "--out", at("never")],
        ...rekeyMasters(),
      ],
    ],
    "ota publish: the note": () => ["ota", ["publish", "--update", full("update"), "--rekey", at("rekeys")]],
    ...(!skipWithout("mosquitto") && {
      "ota rollout: its state": () => [
        "ota",
        [
          "rollout",
          "--update",
          at("update"),
          "--rekey",
          at("rekeys"),
          "--state",
          full("new state"),
          "--broker",
          `127.0.0.1:${brokerPort}`,
        ],
      ],
      "ota stop: the rollout's state": () => [
        "ota",
        ["stop", "--state", full("state"), "--broker", `127.0.0.1:${brokerPort}`],
      ],
    }),
  };
  let free = 0;
  before(async () => {
    free = await freePort();
  });
  before(() => writeFileSync(at("bundle.js"), "print(1);"));

  for (const [name, given] of Object.entries(commands))
    test(`R29 ${name}`, async () => {
      const [script, args] = given();
      isSentence(await onFullDisk(nodeCommand(script, args)));
      assert.ok(!existsSync(at("never")));
    });

  test("R29 make bundle", async () => {
    const rollup = ["--import", "tsx", "node_modules/rollup/dist/bin/rollup", "--config", "--silent"];
    isSentence(await onFullDisk(["env", `BOARD=${BOARD}`, process.execPath, ...rollup]));
  });

  function isSentence({ code, stdout, stderr }: Outcome): void {
    assert.ok(code === 1 || code === 2, `exit ${code}: ${stdout}${stderr}`);
    assert.match(stderr, /^[a-z-]+: [^\n]*disk is full[^\n]*\.\n$/);
  }

  test("R29 bench: a disk that fills while it works fails the unit, and it goes on where there is room again", async () => {
    const data = (await readBoard(BOARD)) as unknown as Board;
    const board = new SimulatedBoard({ board: data, chip: "chip-2", lineRate: 10 * LINE_RATE });
    ends.push(() => board.unplug());
    const args = [
      ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:1", "--ssid", "simulated", "--json"],
      ...["--ledger", full("new.sqlite"), "--port", await board.start(), ...masters(), "--units", "2"],
    ];
    // the disk is full as long as there is a file `fill`
    const disk = `while :; do if [ -e fill ]; then [ -e full/filler ] || { ${FILL}; touch filled; }; else rm -f full/filler filled; fi; sleep 0.1; done`;
    const events = (said: string) =>
      said
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line));
    let typed = 0;
    const { code, stdout, stderr } = await inNamespace(
      [mounted("1m"), `${disk} & disk=$!`, `cd '${PROJECT}'; "$@"; code=$?; kill $disk; exit $code`],
      nodeCommand("bench", args),
      (said) => {
        const all = events(said);
        const results = all.filter(({ kind }) => kind === "result").length;
        const is = (wanted: string) => all.some(({ kind, state }) => kind === "fixture" && state === wanted);
        if (typed === 0 && is("ready") && ++typed) return "SN0000001\n/start 1\n";
        if (typed === 1 && is("running") && ++typed) writeFileSync(at("fill"), "");
        if (typed === 2 && results === 1 && ++typed) {
          rmSync(at("fill"));
          return "/start 1\n";
        }
        return "";
      },
    );
    const results = events(stdout).filter(({ kind }) => kind === "result");
    assert.deepEqual(
      results.map(({ result, step }) => [result, step]),
      [
        ["fail", "write-keys"],
        ["pass", undefined],
      ],
      stdout + stderr,
    );
    assert.match(results[0].failure.text, /the ledger .* could not be written: the disk is full\./);
    assert.equal(code, 1, "one of two failed");
  });
});
