// Power cuts in a whole update, from the first erase to the confirm, on simulated flash of all pages and write units: in each
// flash operation before, after bytes of it, and after; and once more in what the next start does. Wherever it was: what
// starts is one of the two images, whole; the floor never falls; the keys are whole; and with its broker the device ends
// on the new image within a few starts. By default a sample; POWERCUTS=all in the environment: every byte of what is short,
// manifest and journal, and of erases and pieces every STRIDE-th, from another one on each time.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, type TestContext, test } from "node:test";
import { type Cut, cutStates, type FlashOperation } from "../../hal/simulator/nor_flash";
import { piecesPrefix } from "../../scripts/lib/ota/manifest";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { TestBroker } from "../../scripts/lib/test/broker";
import { bundleOf } from "../../scripts/lib/test/device";
import { type Keys, newKeys } from "../../scripts/lib/test/factory";
import {
  makeMachine,
  readState,
  rekeyed,
  setState,
  signedManifest,
  slotStart,
} from "../../scripts/lib/test/slots";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/update_app.ts";
const IS_WHOLE = process.env.POWERCUTS === "all";
const STRIDE = 61;
/** The same for the pages and write units of the ESP32. */
const STRIDE_ESP32 = 7;
/** Bytes up to which an operation is short. */
const SHORT = 128;
/** Starts that it may take from a cut to the confirm: those of the loader's three tries, the one after them, the update's. */
const STARTS = 6;
/** Cuts of each configuration by default, and every how manieth of them is followed by a second one. */
const SAMPLE = 120;
const SECOND = 5;

const keys = newKeys();
const record = keys.record.toString("latin1");
const brokers: TestBroker[] = [];
after(() => {
  for (const { machine } of brokers) machine.powerOff();
});

/** A device on the old image with a still older one in the other slot, and a broker that offers the new one, or new keys with it. */
async function fixture(pageLength: number, writeLength: number, next?: Keys) {
  const fields = { pageLength, writeLength };
  const { code } = await bundleOf(BOARD, APP, {}, fields);
  const [older, old, young] = ["0", "A", "B"].map((version) => `${code}${version}`);
  const images = [
    { code: old, sequence: 5 },
    { code: older, sequence: 4 },
  ] as const;
  const machine = await makeMachine(BOARD, { images, keys, board: fields });
  setState(machine, keys, { floor: 5 });
  const broker = new TestBroker(machine);
  brokers.push(broker);
  const hardware = 2 ** machine.board.hardware;
  const update = makeUpdate(Buffer.from(young, "latin1"), {
    ...{ product: "sensor", board: BOARD, hardware, version: "B", sequence: 6, encoding: "none" },
  });
  for (const [n, piece] of update.pieces.entries()) broker.retained.set(`${piecesPrefix(update)}${n}`, piece);
  const manifest = signedManifest(keys, update);
  broker.retained.set("sensor/0001/ota", next ? rekeyed(keys, manifest, next, 2) : manifest);
  const before = Buffer.from(machine.flash.bytes);

  /** Start with this in its flash and serve it, until it has nothing more to do or its power is cut. Gives what it did. */
  const run = async (state: Buffer, cut?: Cut): Promise<FlashOperation[]> => {
    machine.powerOff();
    machine.flash.load(state);
    machine.cutPower(cut);
    broker.published = [];
    machine.boot();
    await broker.serve();
    return [...machine.flash.operations];
  };
  /** Hold what runs to what may run. */
  const judge = (place: string): void => {
    const slot = machine.run("slot") as number;
    const at = slotStart(machine, slot / machine.board.slotBytes);
    const running = machine.flash.bytes.toString("latin1", at, at + young.length);
    assert.ok(running === old || running === young, `${place}: what runs is no whole image`);
    assert.equal(machine.read("key"), record, `${place}: the keys`);
    const counted = Buffer.from(machine.run("device.key()") as string, "latin1");
    const expected = next && running === young ? next.record : keys.record;
    assert.ok(counted.equals(expected), `${place}: the keys that count`);
    const state = readState(machine, keys);
    assert.ok(state && state.floor >= 5, `${place}: the floor is ${state?.floor}`);
  };
  /** Start with a state that a cut has left, and see it through to the new image. */
  const judgeState = async (state: Buffer, place: string): Promise<FlashOperation[]> => {
    let starts = 0;
    const connect = broker.connect.bind(broker);
    broker.connect = () => {
      starts++;
      judge(place);
      connect();
    };
    const operations = await run(state);
    broker.connect = connect;
    judge(place);
    assert.equal(machine.run("slot"), machine.board.slotBytes, `${place}: ${broker.published.join("\n")}`);
    const { attempts, floor } = readState(machine, keys) ?? {};
    assert.deepEqual({ attempts, floor }, { attempts: 0, floor: 6 }, place);
    assert.ok(starts <= STARTS, `${place}: ${starts} starts`);
    return operations;
  };
  return { machine, before, run, judgeState };
}

/** The bytes of each operation behind which power is cut; each `state` is good until the next is taken. */
function* cutsIn(operations: readonly FlashOperation[], before: Buffer, stride: number) {
  const state = Buffer.from(before);
  for (const [operation, each] of operations.entries()) {
    let nth = randomInt(stride);
    for (const { state: cutState, cut } of cutStates(state, [each])) {
      const isEdge = cut.byte === 0 || cut.byte === each.length;
      // an erase of what is erased changes nothing
      const isSame = cut.byte > 0 && state[each.offset + cut.byte - 1] === each.result[cut.byte - 1];
      if (isEdge || (!isSame && (each.length <= SHORT || nth++ % stride === 0)))
        yield { state: cutState, cut: { ...cut, operation } };
    }
    each.result.copy(state, each.offset);
  }
}

async function cutEverywhere(
  pageLength: number,
  writeLength: number,
  stride: number,
  t: TestContext,
  next?: Keys,
) {
  const { machine, before, run, judgeState } = await fixture(pageLength, writeLength, next);
  const operations = await run(before);
  assert.equal(machine.run("slot"), machine.board.slotBytes);
  const refused = machine.flash.refusedBits;
  let once = 0;
  let twice = 0;
  let count = 0;
  for (const _ of cutsIn(operations, before, stride)) count++;
  const every = IS_WHOLE ? 1 : Math.max(1, Math.floor(count / SAMPLE));
  let nth = randomInt(every);
  for (const { state: laidOut, cut } of cutsIn(operations, before, stride)) {
    if (nth++ % every) continue;
    const state = Buffer.from(laidOut);
    const place = JSON.stringify(cut);
    const next = await judgeState(state, place);
    once++;
    if (once % SECOND) continue;
    const operation = randomInt(next.length);
    const second = { operation, byte: randomInt(next[operation].length + 1), torn: randomInt(256) };
    await run(state, second);
    assert.equal(machine.isOn, false, "the second cut came");
    await judgeState(Buffer.from(machine.flash.bytes), `${place}, then ${JSON.stringify(second)}`);
    twice++;
  }
  t.diagnostic(
    `${operations.length} flash operations, ${once} cuts, ${twice} of them followed by a second one`,
  );
  assert.ok(once >= SAMPLE / 2);
  assert.equal(refused, 0, "no bit was to be set that a write cannot set");
}

const CONFIGURATIONS = [256, 1024, 4096].flatMap((page) => [1, 4, 8].map((unit) => [page, unit] as const));
for (const [page, unit] of CONFIGURATIONS)
  test(
    `R21 R23 power fails anywhere in an update: pages of ${page}, writes of ${unit}`,
    {
      // one of each by default
      skip: !IS_WHOLE && !["256 8", "1024 1", "4096 4"].includes(`${page} ${unit}`),
    },
    (t) => cutEverywhere(page, unit, page === 4096 && unit === 4 ? STRIDE_ESP32 : STRIDE, t),
  );

test("R21 R23 power fails anywhere in an update that brings other keys: they count with their image, and never half", (t) =>
  cutEverywhere(4096, 4, STRIDE, t, newKeys()));
