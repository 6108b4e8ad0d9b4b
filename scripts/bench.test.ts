// npm run bench, flash and image as people run them: bad input is a sentence and exit 2 with nothing written, and a
// simulated board behind TCP goes through all of it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Board } from "../boards/board";
import { SLOTS_FILE } from "../firmware/ota/manifest";
import { parseLine } from "./lib/bench/bars";
import { bytesOfHex } from "./lib/bench/image";
import { LINE_RATE } from "./lib/bench/port";
import { benchSettings } from "./lib/bench/settings_file";
import { PROJECT, readBoard } from "./lib/bundle/build";
import { UsageError } from "./lib/cli/exit";
import { writeSecret } from "./lib/files/private_file";
import { PURPOSES } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { openLedger } from "./lib/ledger/ledger";
import { SimulatedBoard } from "./lib/simulate/simulated_board";
import { BOARD, imageOf } from "./lib/test/bench";
import { nodeArguments } from "./lib/test/program";

interface Run {
  code: number | null;
  output: string;
  error: string;
}

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "bench-"));
  for (const purpose of PURPOSES) writeSecret(join(folder, purpose), randomKey());
  writeFileSync(join(folder, "bundle.js"), "print(1);");
  writeFileSync(join(folder, "binary.js"), Buffer.from([0x70, 0xc3, 0xa4]));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function run(
  script: string,
  args: string[],
  onStart: (child: ChildProcess) => void = () => {},
): Promise<Run> {
  const child = spawn(process.execPath, nodeArguments(`scripts/${script}.ts`, ...args), {
    cwd: PROJECT,
    env: { ...process.env, BOARD: "", PORT: "" },
  });
  onStart(child);
  let output = "";
  let error = "";
  child.stdout.on("data", (bytes) => (output += bytes));
  child.stderr.on("data", (bytes) => (error += bytes));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output, error })));
}

const masterArgs = () => PURPOSES.flatMap((purpose) => ["--master", `${purpose}=${join(folder, purpose)}`]);
const goodArgs = () => [
  ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", "--ssid", "simulated"],
  ...["--ledger", join(folder, "ledger.sqlite"), "--port", "tcp://127.0.0.1:9"],
];

describe("bad input is a sentence and exit 2", () => {
  const cases: Record<string, [script: string, args: () => string[], sentence: RegExp]> = {
    "no board": ["bench", () => [], /--board is missing/],
    "unknown board": ["bench", () => ["--board", "arduino"], /"arduino" is none of/],
    "no ledger": ["bench", () => [...goodArgs().slice(0, 8)], /--ledger is missing/],
    "no keys": ["bench", goodArgs, /keys' source is missing/],
    "a product with a dot": ["bench", () => [...goodArgs(), "--product", "a.b"], /is not v<key version>/],
    "a product with a colon": ["bench", () => [...goodArgs(), "--product", "a:b"], /holds a colon/],
    "a product of 65 characters": [
      "bench",
      () => [...goodArgs(), "--product", "p".repeat(65)],
      /longer than 64/,
    ],
    "a port that is none": ["bench", () => ["--port", "ttyUSB0"], /neither the path of a serial port/],
    "a tcp port that is none": ["bench", () => ["--port", "tcp://host:99999"], /is not a port/],
    "a range that is none": ["bench", () => ["--range", "SN1..AB2"], /are no range/],
    "automatic without a range": ["bench", () => [...goodArgs(), "--automatic"], /needs --range/],
    "an operation that is none": [
      "bench",
      () => ["--operation", "destroy"],
      /none of provision, rework, rekey/,
    ],
    "key version 0": ["bench", () => ["--key-version", "0"], /whole number from 1/],
    "a master missing": ["bench", () => [...goodArgs(), ...masterArgs().slice(2)], /missing: psk/],
    "masters and a batch": [
      "bench",
      () => [...goodArgs(), ...masterArgs(), "--batch", "x"],
      /exclude each other/,
    ],
    "a bundle that is not there": [
      "bench",
      () => [...goodArgs(), "--bundle", "/nothing"],
      /there is no bundle/,
    ],
    "a bundle that is none": [
      "flash",
      () => ["--board", BOARD, "--port", "tcp://127.0.0.1:9", "--bundle", join(folder, "binary.js")],
      /is no bundle/,
    ],
    "flash without a port": ["flash", () => ["--board", BOARD], /--port is missing/],
    "image without a board": ["image", () => [], /--board is missing/],
  };
  for (const [name, [script, args, sentence]] of Object.entries(cases))
    test(`${script}: ${name}`, async () => {
      const { code, output, error } = await run(script, args());
      assert.equal(code, 2, error);
      assert.match(error, sentence);
      assert.equal(output, "");
      assert.ok(!existsSync(join(folder, "ledger.sqlite")), "nothing written");
    });

  test("lines at the scan field", () => {
    assert.deepEqual(parseLine("  SN1 "), { command: "scan", serial: "SN1" });
    assert.deepEqual(parseLine(""), { command: "start" });
    assert.deepEqual(parseLine("clear 2"), { command: "clear", fixture: 2 });
    // as at the page
    assert.deepEqual(parseLine("/clear 2"), { command: "clear", fixture: 2 });
    assert.deepEqual(parseLine("/start 3"), { command: "start", fixture: 3 });
    assert.deepEqual(parseLine("/3 SN1"), { command: "scan", serial: "SN1", fixture: 3 });
    assert.deepEqual(parseLine("/rework"), { command: "operation", operation: "rework" });
    assert.throws(() => parseLine("/rewrok"), UsageError);
    assert.deepEqual(parseLine("scrap SN1 fell down"), {
      command: "scrap",
      serial: "SN1",
      reason: "fell down",
    });
    for (const line of ["SN1 SN2", "clear", "clear x", "start -1", "scrap", "scrap SN1"])
      assert.throws(() => parseLine(line), UsageError, line);
  });
});

describe("a simulated board", () => {
  async function withBoard(work: (board: SimulatedBoard, port: string) => Promise<void>): Promise<void> {
    const data = (await readBoard(BOARD)) as unknown as Board;
    const board = new SimulatedBoard({ board: data, chip: "chip-1", lineRate: LINE_RATE * 10 });
    const port = await board.start();
    try {
      await work(board, port);
    } finally {
      await board.unplug();
    }
  }

  test("goes through npm run bench: a scanned line, an empty line, exit 0; an unknown unit fails, exit 1", () =>
    withBoard(async (board, port) => {
      const args = [
        ...goodArgs().slice(0, -1),
        port,
        ...masterArgs(),
        "--units",
        "1",
        "--json",
        "--who",
        "test",
        "--without-extended-master-secret",
      ];
      const scan = (child: ChildProcess) => {
        let asked = false;
        child.stdout?.on("data", (bytes) => {
          if (asked || !String(bytes).includes('"ready"')) return;
          asked = true;
          child.stdin?.write("SN0000001\n\n");
        });
      };
      const first = await run("bench", args, scan);
      assert.equal(first.code, 0, first.error);
      const events = first.output
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      assert.equal(events[0].kind, "bench");
      assert.equal(events.find(({ kind }) => kind === "result").result, "pass");
      const { port: serverPort, ems } = benchSettings(board.machine.files.conf);
      assert.deepEqual([serverPort, ems], [8883, 0]);
      const ledger = openLedger(join(folder, "ledger.sqlite"), "read");
      assert.equal(ledger.unit("meter", "SN0000001")?.state, "passed");
      ledger.close();
      assert.equal(readdirSync(join(folder, "labels")).length, 2);

      // without --json: one line for the result; another product's device is refused
      const other = [...args.filter((arg) => arg !== "--json"), "--product", "pump"];
      // typed until it is heard: the sentences do not say when a board is there
      const second = await run("bench", other, (child) => {
        child.stdin?.on("error", () => {});
        const typing = setInterval(() => child.stdin?.write("SN0000002\n\n"), 1000);
        child.once("exit", () => clearInterval(typing));
      });
      assert.equal(second.code, 1, second.error);
      assert.match(second.output, /SN0000002 FAILED at detect .*this unit is SN0000001 already/);
      assert.match(second.error, /1 of 1 units failed/);
    }));

  test("takes npm run flash; another board does not, exit 1", () =>
    withBoard(async (board, port) => {
      const bundle = join(folder, "bundle.js");
      const args = ["--board", BOARD, "--port", port, "--bundle", bundle];
      const { code, output, error } = await run("flash", args);
      assert.equal(code, 0, error);
      assert.match(output, /9 bytes written and read back, digest [0-9a-f]{64}/);
      const slots = () => board.machine.files[SLOTS_FILE];
      assert.ok(slots().startsWith("print(1);\xff"));
      // settings and a key for tests stay, other firmware comes into the same place
      board.machine.write({ key: "k".repeat(16), conf: "{}" });
      const other = join(folder, "other.js");
      writeFileSync(other, "print(22);");
      const again = await run("flash", [...args.slice(0, -1), other]);
      assert.equal(again.code, 0, again.error);
      assert.ok(slots().startsWith("print(22);\xff"));
      assert.equal(board.machine.files.key, "k".repeat(16));
      assert.equal(board.machine.files.conf, "{}");
      const wrong = await run("flash", ["--board", "mdbt42q-w5500-sim", ...args.slice(2)]);
      assert.equal(wrong.code, 1);
      assert.match(wrong.error, /this is a board ESP32, and the bench is set up for MDBT42Q/);
      assert.ok(slots().startsWith("print(22);\xff"));
    }));

  test("boots from the image of npm run image, whose hex and bytes are the same", async () => {
    const out = join(folder, "image");
    const { code, error } = await run("image", ["--board", BOARD, "--out", out]);
    assert.equal(code, 0, error);
    const bytes = readFileSync(join(out, "storage.bin"));
    const hex = bytesOfHex(readFileSync(join(out, "storage.hex"), "latin1"));
    assert.ok(hex.bytes.equals(bytes));
    const data = (await readBoard(BOARD)) as unknown as Board;
    const storage = data.flashMap.find(({ name }) => name === "storage");
    assert.equal(hex.address, storage?.start);
    assert.equal(bytes.length, storage?.length);
    const board = new SimulatedBoard({ board: data, chip: "chip-1" });
    bytes.copy(board.machine.flash.bytes);
    const port = await board.start();
    try {
      const { files } = await imageOf(BOARD);
      for (const [name, text] of Object.entries(files)) assert.equal(board.machine.files[name], text, name);
      assert.equal(board.machine.files.key, "\xff".repeat(76));
      assert.ok(port);
    } finally {
      await board.unplug();
    }
  });
});
