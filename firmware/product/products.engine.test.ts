// Products on the real interpreter: board linux, loader and slots in its flash, Mosquitto with TLS-PSK between it and the operator's
// tools. `valve` by its commands; an update from `echo` to `valve`, and one whose `well` says no and which comes back; the count of
// `meter` over kills at random moments, ENGINE_KILLS times (default 10). Pins are played by a boot file, for this machine has
// none. Needs ESPRUINO_BIN.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Board } from "../../boards/board";
import { buildBundle, LOADER, readBoard } from "../../scripts/lib/bundle/build";
import { storageFiles } from "../../scripts/lib/ota/layout";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { IDENTITY } from "../../scripts/lib/test/device";
import { ENGINE, Engine, storageImage } from "../../scripts/lib/test/engine";
import { newKeys } from "../../scripts/lib/test/factory";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import { signedManifest } from "../../scripts/lib/test/slots";
import { Station } from "../../scripts/lib/test/station";
import { NOT_CONFIRMED, PRODUCT_CALLBACK } from "../tls/alert";

const KILLS = Number(process.env.ENGINE_KILLS ?? 10);
const skip = ENGINE ? skipWithout("mosquitto") : "ESPRUINO_BIN names no interpreter";
/** A tick is half of it: a session has lasted after three of them. */
const QUICK = { KEEP_ALIVE_S: 2 };
/** What the board's pins do: their levels are printed, and a watched one falls each 3 ms. */
const PINS = `global.digitalWrite=function(p,v){USB.write("pin "+p+" "+(v|0)+"\\n")};global.setWatch=function(f){setInterval(f,3)};`;

const codeOf = async (product: string) =>
  Buffer.from((await buildBundle({ board: "linux", product, defines: QUICK })).code, "latin1");

/** A device's flash with a product, and updates for it. */
async function fixture(t: TestContext, product: string) {
  const keys = newKeys();
  const station = await Station.start(keys.psk);
  t.after(() => station.stop());
  const board = (await readBoard("linux")) as unknown as Board;
  const loader = (await buildBundle({ board: "linux", entry: LOADER })).code;
  const flash = storageImage({
    ...storageFiles(board, (await codeOf(product)).toString("latin1"), loader, { sequence: 5 }),
    key: keys.record.toString("latin1"),
    conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: station.port }),
    ".boot0": PINS,
  });
  const offer = async (other: string, sequence: number) => {
    const update = makeUpdate(await codeOf(other), {
      ...{ product: "sensor", board: "linux", hardware: 2 ** board.hardware },
      ...{ version: `${sequence}`, sequence, encoding: "none" as const },
    });
    await station.offer(update, signedManifest(keys, update));
  };
  const told = (name: string) =>
    station.told.filter(({ topic }) => topic.endsWith(`/up/${name}`)).map(({ text }) => text);
  return { station, flash, offer, told };
}

const ECHO = "firmware/product/echo.ts";
const VALVE = "firmware/product/valve.ts";

test("valve through Mosquitto on the interpreter: by its commands, by its time, and retained", {
  skip,
}, async (t) => {
  const { station, flash, told } = await fixture(t, VALVE);
  const engine = new Engine(flash);
  try {
    await engine.line(/^pin D5 0$/);
    await station.until(() => told("valve").length === 1, engine);
    await station.command("valve", "2");
    await engine.line(/^pin D5 1$/);
    await station.until(() => told("valve").length === 3, engine);
    assert.deepEqual(told("valve"), ["closed", "open", "closed"]);
    await station.command("valve", "601");
    await station.until(() => told("valve").length === 4, engine);
    assert.equal(told("valve")[3], '{"err":30}');
    const retained: string[] = [];
    await station.broker.listen(["sensor/0001/up/valve"], (_, payload) => retained.push(payload.toString()));
    await station.until(() => retained.length > 0, engine);
    assert.deepEqual(retained, ["closed"]);
    assert.ok(!station.told.some(({ text }) => /"err":(?!30|0)/.test(text)), JSON.stringify(station.told));
  } finally {
    await engine.stop();
  }
});

test("what the product's watch and timer throw is told, again and again, and the session goes on", {
  skip,
}, async (t) => {
  const { station, flash, told } = await fixture(t, "scripts/lib/test/products/callbacks.ts");
  const engine = new Engine(flash);
  try {
    const told56 = () =>
      told("status")
        .map((text) => JSON.parse(text))
        .filter(({ err }) => err === PRODUCT_CALLBACK);
    await station.until(() => told56().length >= 3, engine);
    assert.equal(new Set(told56().map(({ boots }) => boots)).size, 1, "one start");
    assert.ok(!engine.lines.some((line) => /Uncaught/.test(line)), engine.lines.join("\n"));
  } finally {
    await engine.stop();
  }
});

test("an update from echo to valve stays; one that is never well comes back after its three starts", {
  skip,
}, async (t) => {
  const { station, flash, offer, told } = await fixture(t, ECHO);
  let engine = new Engine(flash);
  const restart = async () => {
    await engine.stop();
    engine = new Engine(engine.flash);
  };
  const status = () => JSON.parse(told("status").at(-1) ?? "{}");
  try {
    await station.sequence(5, engine);
    await station.command("any", "thing");
    await station.until(() => told("any").includes("thing"), engine);
    await offer(VALVE, 6);
    await station.until(() => told("valve").length > 0, engine);
    // confirmed: it is there after as many starts as it would have had
    await station.until(() => told("status").filter((text) => text.includes('"seq":6,')).length > 4, engine);
    for (let start = 0; start < 4; start++) {
      const before = told("status").length;
      await restart();
      await station.until(() => told("status").length > before, engine);
      assert.equal(status().seq, 6);
    }
    await offer("scripts/lib/test/products/never_well.ts", 7);
    await station.sequence(7, engine);
    await station.until(() => told("status").filter((text) => text.includes('"seq":7,')).length > 5, engine);
    for (let start = 0; start < 3; start++) {
      const before = told("status").length;
      await restart();
      await station.until(() => told("status").length > before, engine);
    }
    assert.deepEqual([status().seq, status().rev], [6, NOT_CONFIRMED]);
    await station.command("valve", "1");
    await station.until(() => told("valve").includes("open"), engine);
  } finally {
    await engine.stop();
  }
});

test(`R23 the count of meter over ${KILLS} kills: never torn, never back behind what was told a minute before`, {
  skip,
}, async (t) => {
  const { station, flash, told } = await fixture(t, "firmware/product/meter.ts");
  let image = flash;
  let least = 0;
  for (let kill = 0; kill <= KILLS; kill++) {
    const engine = new Engine(image);
    try {
      const before = told("status").length;
      await station.until(() => told("status").length > before, engine);
      const counts = () =>
        told("status")
          .slice(before)
          .map((text) => JSON.parse(text).litres as number);
      assert.ok(counts()[0] >= least, `kill ${kill}: ${counts()[0]} after ${least}`);
      // it is put into the store each ten seconds, and written at the tick behind that
      if (kill % 5 === 0) await station.until(() => counts().length > 13, engine);
      else await delay(randomInt(100, 1500));
      if (kill % 5 === 0) least = counts()[1];
    } finally {
      await engine.stop();
    }
    image = engine.flash;
  }
  assert.ok(least > 0);
});
