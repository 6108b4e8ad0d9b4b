// The farm's boards as serial ports: opened again and again, their flash kept in files.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { board } from "../../../boards/mdbt42q-w5500-sim";
import { Port } from "../bench/port";
import { ask, findPrompt } from "../bench/prompt";
import { UsageError } from "../cli/exit";
import { skipWithout } from "../test/peers/install";
import { startFarm } from "./farm";

const FAST = 10_000_000; // bits per second

async function evaluate(name: string, expression: string): Promise<string> {
  const port = await Port.open(name);
  try {
    await findPrompt(port);
    return await ask(port, expression);
  } finally {
    port.close();
    await port.closed;
  }
}

test("a farm's boards are serial ports that are opened again and again, and keep their flash", {
  skip: skipWithout("socat"),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "farm-"));
  const options = { board, count: 2, folder, lineRate: FAST };
  try {
    let farm = await startFarm(options);
    const [first, second] = farm.boards.map(({ port }) => port);
    assert.deepEqual(
      farm.boards.map(({ isBlank }) => isBlank),
      [true, true],
    );
    assert.equal(await evaluate(first, 'require("Storage").write("a","kept")'), "true");
    while (!existsSync(first)) await new Promise(setImmediate);
    assert.equal(await evaluate(first, 'require("Storage").read("a")'), "kept");
    assert.equal(await evaluate(second, 'require("Storage").read("a")'), "undefined");
    assert.notEqual(await evaluate(second, "process.env.SERIAL"), "");
    await assert.rejects(startFarm(options), UsageError, "another farm runs there");
    await farm.stop();
    assert.ok(!existsSync(first) && existsSync(farm.boards[0].flashFile));

    farm = await startFarm(options);
    assert.equal(farm.boards[0].isBlank, false);
    assert.equal(await evaluate(first, 'require("Storage").read("a")'), "kept");
    await farm.stop();

    truncateSync(farm.boards[1].flashFile, 5);
    await assert.rejects(startFarm(options), /board-2\.flash has 5 bytes/);
    assert.ok(!existsSync(first), "what had started is stopped");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
