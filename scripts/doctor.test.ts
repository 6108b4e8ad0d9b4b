// The doctor on simulated boards: what is blank, locked, too old, another build; and the drivers' contract on a good chip and
// on chips with one fault each.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Board } from "../boards/board";
import { board as esp32 } from "../boards/esp32-sim";
import { board as mdbt42q } from "../boards/mdbt42q-w5500-sim";
import type { Runtime } from "../hal/simulator/runtime";
import { Port } from "./lib/bench/port";
import { readBoard } from "./lib/bundle/build";
import { examineDrivers } from "./lib/home/drivers";
import { examine } from "./lib/home/examine";
import { boardNames, PROJECT } from "./lib/project";
import { newMasters, simulatedDevice } from "./lib/simulate/finished_device";
import { SimulatedBoard, type SimulatedBoardOptions } from "./lib/simulate/simulated_board";
import { nodeArguments } from "./lib/test/program";

const FAST = 10_000_000; // bits per second
const all = (await Promise.all(boardNames().map(readBoard))) as unknown as Board[];
const { version } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "doctor-"));
const started: SimulatedBoard[] = [];
after(async () => {
  await Promise.all(started.map((board) => board.unplug()));
  rmSync(folder, { recursive: true });
});

async function start(board: SimulatedBoard): Promise<Port> {
  started.push(board);
  return Port.open(await board.start());
}

const blank = (options: Partial<SimulatedBoardOptions> = {}) =>
  start(
    new SimulatedBoard({
      board: mdbt42q,
      chip: "chip",
      lineRate: FAST,
      ...options,
      machine: { network: { up: false }, ...options.machine },
    }),
  );
/** Change what the chip has before anything runs. */
const withRuntime = (change: (runtime: Runtime) => void) => ({ machine: { onPowerOn: change } });

test("the doctor says which board and Espruino it is, and that it will do", async () => {
  for (const [board, name] of [
    [mdbt42q, "mdbt42q-w5500"],
    [esp32, "esp32"],
  ] as const) {
    const { state, interpreter, boards, findings } = await examine(await blank({ board }), all);
    assert.equal(state.mode, "prompt");
    assert.equal(interpreter?.version, "2v29");
    assert.equal(boards[0].name, name);
    assert.deepEqual(
      findings.filter(({ isGood }) => !isGood),
      [],
    );
  }
});

test("the doctor names what a board lacks", async () => {
  const bad = async (change: (runtime: Runtime) => void) => {
    const { findings } = await examine(await blank(withRuntime(change)), all);
    return findings.filter(({ isGood }) => !isGood).map(({ what, found }) => `${what}: ${found}`);
  };
  const environment = ({ globals }: Runtime) => (globals.process as { env: Record<string, unknown> }).env;
  assert.deepEqual(await bad((runtime) => void (environment(runtime).VERSION = "2v28.11")), [
    "Espruino: 2v28.11",
  ]);
  assert.deepEqual(await bad((runtime) => void (environment(runtime).BOARD = "PICO")), ["board: PICO"]);
  assert.deepEqual(await bad((runtime) => void (environment(runtime).STORAGE = 4096)), [
    "Storage: 4096 bytes",
  ]);
  const memory = { total: 300, blocksize: 12 };
  assert.deepEqual(
    await bad(({ globals }) => void ((globals.process as { memory: () => object }).memory = () => memory)),
    ["variables: 300 of 12 bytes"],
  );
});

test("the doctor knows our firmware", async () => {
  const masters = newMasters();
  const settings = { id: "v1.meter.SN0000007", host: "127.0.0.1", port: 1, ssid: "x", pass: "x" };
  const device = await simulatedDevice({ masters, settings, lineRate: FAST });
  const { state, findings } = await examine(await start(device), all);
  assert.deepEqual([state.mode, state.identity, findings], ["locked", settings.id, []]);
});

function doctor(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      nodeArguments("scripts/doctor.ts", ...argv),
      { cwd: PROJECT },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    ),
  );
}

const DRIVER_OPTIONS = { board: mdbt42q, host: "127.0.0.1", blocks: 100 };

test("the drivers' contract holds on a simulated chip, and its flash is as it was", async () => {
  const port = await blank();
  const { flash } = started[started.length - 1].machine;
  const before = Buffer.from(flash.bytes);
  const { findings, noise } = await examineDrivers(port, { ...DRIVER_OPTIONS, noiseBytes: 3000 });
  assert.deepEqual(
    findings.filter(({ isGood }) => !isGood),
    [],
  );
  assert.equal(findings.length, 11);
  assert.equal(noise.length, 3000);
  assert.ok(flash.bytes.equals(before));
});

test("the doctor finds each fault of a chip's units", async () => {
  const failing = async (change: (runtime: Runtime) => void, options = {}) => {
    const { findings } = await examineDrivers(await blank(withRuntime(change)), {
      ...DRIVER_OPTIONS,
      ...options,
    });
    return findings.filter(({ isGood }) => isGood === false).map(({ name }) => name);
  };
  // one false block of AES in some hundred
  assert.deepEqual(
    await failing((runtime) => {
      const ecb = runtime.nrfEcb as unknown as { finish(): void; end: number };
      const finish = ecb.finish.bind(ecb);
      let count = 0;
      ecb.finish = () => {
        if (count++ === 120) ecb.end = 1;
        else finish();
      };
    }),
    ["AES, 100 blocks in a chain"],
  );
  // noise that stands still
  assert.deepEqual(
    await failing(
      (runtime) =>
        void ((runtime.nrfRng as unknown as { noise: { word(): number } }).noise = { word: () => 0x55 }),
    ),
    ["noise, radio on"],
  );
});

test("the doctor's report is one file, whole", async () => {
  const board = new SimulatedBoard({
    ...{ board: mdbt42q, chip: "chip", lineRate: FAST, machine: { network: { up: false } } },
  });
  started.push(board);
  const file = join(folder, "report.json");
  const args = ["--port", await board.start(), "--drivers", "--host", "127.0.0.1", "--blocks", "100"];
  const { code, stdout, stderr } = await doctor(...args, "--report", file);
  assert.equal(code, 0, stdout + stderr);
  const report = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual([report.board, report.firmware], ["mdbt42q-w5500", version]);
  assert.equal(report.findings.length, 11);
});

test("R39 what a board says of itself is shown, not obeyed, whatever kind of value it is", async () => {
  // what comes raw over the line is no answer (prompt.ts), what comes as JSON is
  const evil = withRuntime(({ globals }) => {
    (globals.process as { env: Record<string, unknown> }).env.VERSION = "2v29\x1b[2J";
  });
  const board = new SimulatedBoard({ board: mdbt42q, chip: "chip", lineRate: FAST, ...evil });
  started.push(board);
  const name = await board.start();
  const told = await doctor("--port", name);
  assert.match(told.stdout, /Espruino 2v29\\u001b\[2J at its prompt/, told.stderr);
  const { stdout } = await doctor("--port", name, "--json");
  assert.equal(JSON.parse(stdout).interpreter.version, "2v29\\u001b[2J");
  for (const text of [told.stdout, stdout]) assert.ok(!text.includes("\x1b"));
  const strange = withRuntime(({ globals }) => {
    const { env } = globals.process as { env: Record<string, unknown> };
    Object.assign(env, { VERSION: [null], STORAGE: "much" });
  });
  const { findings } = await examine(await blank(strange), all);
  assert.deepEqual(
    findings.filter(({ isGood }) => !isGood).map(({ what, found }) => `${what}: ${found}`),
    ["Espruino: "],
  );
});

test("the doctor as a command: exit codes and sentences", async () => {
  const board = new SimulatedBoard({ board: mdbt42q, chip: "chip", lineRate: FAST });
  started.push(board);
  const name = await board.start();
  const good = await doctor("--port", name, "--json");
  assert.equal(good.code, 0, good.stderr);
  assert.equal(JSON.parse(good.stdout).boards[0], "mdbt42q-w5500");
  for (const [argv, code, sentence] of [
    [["--port", "tcp://127.0.0.1:1"], 1, /nothing listens there/],
    [["--port", name, "--noise", "x"], 2, /go with --drivers/],
  ] as const) {
    const { code: found, stderr } = await doctor(...argv);
    assert.equal(found, code, stderr);
    assert.match(stderr, sentence);
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
});
