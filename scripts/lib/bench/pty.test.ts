// The bench through a serial port: a pseudo-terminal (socat) before a simulated board, at the real line rate. Plugging
// in is the port's appearing, unplugging its going away.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Board } from "../../../boards/board";
import { readBoard } from "../bundle/build";
import { SimulatedBoard } from "../simulate/simulated_board";
import { BOARD, TestBench } from "../test/bench";
import { skipWithout } from "../test/peers/install";
import { LINE_RATE } from "./port";
import { Pty } from "./pty";

test("a pseudo-terminal is noticed, its unit goes on after an unplugging in the flash, and is finished", {
  skip: skipWithout("socat"),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "pty-"));
  const path = join(folder, "ttyUSB0");
  const board = (await readBoard(BOARD)) as unknown as Board;
  const simulated = new SimulatedBoard({ board, chip: "chip-1", lineRate: LINE_RATE });
  const tcp = (await simulated.start()).replace("tcp://", "tcp:");
  const bench = await TestBench.start([], { ports: [path] });
  let pty: Pty | undefined;
  try {
    const state = () => bench.bench.view().fixtures[0].state;
    assert.equal(state(), "empty");
    pty = await Pty.open(path, tcp);
    assert.ok(await bench.until(() => state() === "ready", 10_000), bench.states());
    bench.bench.command({ command: "scan", serial: "SN0000001" });
    bench.bench.command({ command: "start" });
    const isFlashing = () => {
      const { step, progress } = bench.bench.view().fixtures[0];
      return step === "flash" && progress > 0.15;
    };
    assert.ok(await bench.until(isFlashing, 30_000), bench.states());
    await pty.close();
    assert.equal((await bench.done(1))[0].failure?.code, "unplugged");
    assert.ok(await bench.until(() => state() === "empty", 20_000), bench.states());
    // the power goes with the plug
    await simulated.unplug();
    await simulated.start();
    pty = await Pty.open(path, tcp);
    const [, result] = await bench.done(2);
    assert.equal(result.result, "pass", bench.states());
    assert.equal(result.serial, "SN0000001");
  } finally {
    await bench.stop();
    await pty?.close();
    await simulated.unplug();
    rmSync(folder, { recursive: true, force: true });
  }
});
