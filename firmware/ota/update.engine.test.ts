// An update on the real interpreter: board linux, loader and slots in its flash, Mosquitto with TLS-PSK between it and the
// operator's own tools (scripts/lib/ota). Once undisturbed, beside a ballast that leaves a provisioned device MOST variables of
// 12 bytes for all it does; then killed at random moments, ENGINE_KILLS times (default 10): it always comes back with a whole
// image, and ends on the new one. Needs ESPRUINO_BIN.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { before, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { buildBundle, LOADER, readBoard } from "../../scripts/lib/bundle/build";
import { imageDigest } from "../../scripts/lib/ota/digest";
import { storageFiles } from "../../scripts/lib/ota/layout";
import { type Encoding, parseManifest } from "../../scripts/lib/ota/manifest";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { IDENTITY } from "../../scripts/lib/test/device";
import { ENGINE, Engine, storageImage } from "../../scripts/lib/test/engine";
import { ballast, interpreter } from "../../scripts/lib/test/engine_run";
import { newKeys } from "../../scripts/lib/test/factory";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import { rekeyed, signedManifest } from "../../scripts/lib/test/slots";
import { NEXT_IDENTITY, NEXT_VERSION, Station } from "../../scripts/lib/test/station";
import { AT_KEYS } from "./slot";

const KILLS = Number(process.env.ENGINE_KILLS ?? 10);
const skip = ENGINE ? skipWithout("mosquitto") : "ESPRUINO_BIN names no interpreter";
/** Address of the first byte of the flash's file, and what lies in it. */
const SLOTS = 4096;
const SLOT = 32768;
/** Most variables of a device with loader, keys and console, in sessions and updates, where one is 12 bytes. */
const MOST = 500;
const VARIABLE_BYTES = 12;
/** Most variables that an update adds to the session at rest, looked at between turns. */
const BETWEEN_TURNS = 80;

/** Variables of the interpreter, and the bytes of one. */
let total = 0;
let variableBytes = 0;

before(async () => {
  if (ENGINE) ({ total, variableBytes } = await interpreter());
});

/** A fresh device's flash, and an update for it; `boot`, a boot file, in the ballast's place. */
async function fixture(t: TestContext, encoding: Encoding, boot?: Record<string, string>) {
  const [keys, next] = [newKeys(), newKeys()];
  const station = await Station.start(keys.psk, next.psk);
  t.after(() => station.stop());
  const board = (await readBoard("linux")) as unknown as Parameters<typeof storageFiles>[0];
  const bundle = (await buildBundle({ board: "linux" })).code;
  const loader = (await buildBundle({ board: "linux", entry: LOADER })).code;
  const flash = storageImage({
    ...storageFiles(board, bundle, loader, { sequence: 5 }),
    key: keys.record.toString("latin1"),
    conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: station.port }),
    ...(boot ?? (variableBytes === VARIABLE_BYTES ? ballast(total - MOST) : {})),
  });
  // what stands behind the last section is read by nobody
  const update = makeUpdate(Buffer.from(`${bundle}another`, "latin1"), {
    ...{
      product: "sensor",
      board: "linux",
      hardware: 2 ** board.hardware,
      version: "6",
      sequence: 6,
      encoding,
    },
  });
  return { station, flash, update, manifest: signedManifest(keys, update), keys, next };
}

/** Which slots hold a whole image. */
function wholeSlots(flash: Buffer): boolean[] {
  return [0, 1].map((nth) => {
    const slot = flash.subarray(SLOTS + nth * SLOT, SLOTS + (nth + 1) * SLOT);
    const manifest = parseManifest(slot.subarray(SLOT - 128));
    return !!manifest && imageDigest(slot.subarray(0, manifest.length)).equals(manifest.digest);
  });
}

for (const encoding of ["none", "heatshrink"] as const)
  test(`R20 R21 an update through Mosquitto on the interpreter, ${encoding}`, { skip }, async (t) => {
    const { station, flash, update, manifest } = await fixture(t, encoding);
    const engine = new Engine(flash);
    try {
      await station.sequence(5, engine);
      await station.offer(update, manifest);
      await station.sequence(6, engine);
      const got = station.told.flatMap(({ text }) => /"got":(\d+)/.exec(text)?.[1] ?? []);
      assert.deepEqual(
        [...new Set(got)], // a tick may ask again
        Array.from({ length: Math.ceil(update.pieces.length / 8) }, (_, eighth) => String(8 * eighth)),
      );
      assert.ok(!station.told.some(({ text }) => /"err":[1-9]/.test(text)), JSON.stringify(station.told));
    } finally {
      await engine.stop();
    }
    assert.deepEqual(wholeSlots(engine.flash), [true, true]);
  });

test("between its turns an update holds few variables more than the session does at rest", {
  skip,
}, async (t) => {
  if (total < 2 * MOST || variableBytes !== VARIABLE_BYTES)
    return t.skip(`${total} of ${variableBytes} bytes`);
  // a timer has its turn between the others; in a turn that opens a record of 512 bytes it is more, update or none
  const sample = 'setInterval(function(){USB.write("use "+process.memory().usage+"\\n")},5)';
  const { station, flash, update, manifest } = await fixture(t, "heatshrink", { ".boot0": sample });
  const engine = new Engine(flash);
  const samples = () =>
    engine.lines
      .splice(0)
      .flatMap((line) => /^use (\d+)$/.exec(line)?.[1] ?? [])
      .map(Number);
  try {
    await station.sequence(5, engine);
    await delay(500);
    samples();
    await delay(500);
    const rest = samples();
    await station.offer(update, manifest);
    await station.sequence(6, engine);
    const uses = samples();
    const [idle, most] = [Math.max(...rest), Math.max(...uses)];
    console.log(`an update: ${idle} variables at rest, at most ${most} between turns`);
    assert.ok(rest.length > 5 && uses.length > 50);
    assert.ok(most - idle <= BETWEEN_TURNS, `${most - idle} variables`);
  } finally {
    await engine.stop();
  }
});

test("R20 other keys through Mosquitto on the interpreter: the session that confirms them is under them", {
  skip,
}, async (t) => {
  const { station, flash, update, manifest, keys, next } = await fixture(t, "heatshrink");
  const engine = new Engine(flash);
  try {
    await station.sequence(5, engine);
    await station.offer(update, rekeyed(keys, manifest, next, NEXT_VERSION));
    await station.sequence(6, engine);
    engine.type("id");
    await engine.line(new RegExp(`^id:${NEXT_IDENTITY.replaceAll(".", "\\.")}$`), 10_000);
    assert.ok(!station.told.some(({ text }) => /"err":[1-9]/.test(text)), JSON.stringify(station.told));
  } finally {
    await engine.stop();
  }
  const slot = engine.flash.subarray(SLOTS + SLOT);
  assert.deepEqual(slot.subarray(AT_KEYS, AT_KEYS + next.record.length), next.record);
  assert.ok(!slot.subarray(0, SLOT).includes(keys.psk));
});

test(`R23 an update killed ${KILLS} times at random moments ends on the new image`, { skip }, async (t) => {
  const { station, flash, update, manifest } = await fixture(t, "none");
  await station.offer(update, manifest);
  let image = flash;
  let kills = 0;
  for (let engine = new Engine(image); ; engine = new Engine(image)) {
    try {
      if (kills < KILLS) await delay(randomInt(100, 1500));
      else await station.sequence(6, engine);
    } finally {
      await engine.stop();
    }
    image = engine.flash;
    assert.ok(wholeSlots(image).includes(true), `kill ${kills}`);
    if (kills++ < KILLS) continue;
    assert.deepEqual(wholeSlots(image), [true, true]);
    break;
  }
});
