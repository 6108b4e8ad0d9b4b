// A broker that lies for a simulated month: genuine manifests in turn, false pieces, sessions that it ends at once. Erases of each
// page are counted; afterwards a genuine update gets through. And what a packed piece may not unpack to.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Machine } from "../../hal/simulator/machine";
import { piecesPrefix } from "../../scripts/lib/ota/manifest";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { TestBroker } from "../../scripts/lib/test/broker";
import { bundleOf } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";
import { makeMachine, readState, signedManifest, slotStart } from "../../scripts/lib/test/slots";
import { IMAGE_DIGEST, MANIFEST_SEQUENCE, PIECE_LENGTH } from "../tls/alert";
import { MANIFEST_BYTES } from "./manifest";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/update_app.ts";
const TOPIC = "sensor/0001/ota";
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
/** Most erases of a page in a month. */
const MOST = 200;

const keys = newKeys();
const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

async function station() {
  const { code } = await bundleOf(BOARD, APP);
  const machine = await makeMachine(BOARD, { images: [{ code, sequence: 5 }, undefined], keys });
  machines.push(machine);
  const update = (sequence: number, encoding: "none" | "heatshrink" = "none") => {
    const hardware = 2 ** machine.board.hardware;
    const fields = { product: "sensor", board: BOARD, hardware, version: `${sequence}`, sequence, encoding };
    return makeUpdate(Buffer.from(`${code}${sequence}`, "latin1"), fields);
  };
  const broker = new TestBroker(machine);
  return { machine, broker, update, told: () => broker.published.splice(0).join("\n") };
}

/** Start the board, its clock and the console's at `seconds`. */
function startAt(machine: Machine, seconds: number): void {
  machine.boot();
  setClock(machine, seconds);
  machine.run("device.start()");
}

function setClock(machine: Machine, seconds: number): void {
  machine.run(`getTime=()=>${seconds}`);
}

test("R33 a broker that lies for a month: no page is erased more than 200 times, and a genuine update gets through", async (t) => {
  const { machine, broker, update, told } = await station();
  const [six, seven] = [update(6), update(7)];
  const [m6, m7] = [six, seven].map((each) => signedManifest(keys, each));
  const erases = new Map<number, number>();
  const count = () => {
    for (const { kind, offset } of machine.flash.operations)
      if (kind === "erase") erases.set(offset, (erases.get(offset) ?? 0) + 1);
    machine.cutPower(undefined);
  };
  const isFalse = (topic: string, payload: Buffer) =>
    topic === TOPIC ? payload : Buffer.alloc(payload.length, 0x20);
  for (const each of [six, seven])
    for (const [n, piece] of each.pieces.entries()) broker.retained.set(`${piecesPrefix(each)}${n}`, piece);
  broker.meddle = isFalse;
  machine.cutPower(undefined);
  for (let hour = 0; hour < 30 * 24; hour++) {
    // a restart each day but a few does not help it
    if (hour % 29 === 0) startAt(machine, 0);
    setClock(machine, (hour % 29) * HOUR_S);
    broker.retained.set(TOPIC, hour & 1 ? m6 : m7);
    for (let session = 0; session < 3; session++) {
      broker.connect();
      await broker.serve();
    }
    for (const manifest of [m7, m6]) broker.send(TOPIC, manifest);
    count();
  }
  const most = Math.max(...erases.values());
  t.diagnostic(`at most ${most} erases of a page: ${JSON.stringify([...erases])}`);
  assert.ok(erases.size > 4 && most <= MOST, `${most} erases`);
  assert.match(told(), new RegExp(`"err":${IMAGE_DIGEST}}`));
  // the truth, after a day at the latest
  broker.meddle = (_topic, payload) => payload;
  broker.retained.set(TOPIC, m7);
  setClock(machine, 3 * DAY_S);
  broker.connect();
  await broker.serve();
  assert.equal(readState(machine, keys)?.active, 1);
});

test("R33 the delay after an erase is not over with a restart", async () => {
  const { machine, broker, update } = await station();
  const isErased = (sequence: number, atSeconds: number) => {
    machine.cutPower(undefined);
    setClock(machine, atSeconds);
    broker.send(TOPIC, signedManifest(keys, update(sequence)));
    return machine.flash.operations.some(
      ({ kind, offset }) => kind === "erase" && offset === slotStart(machine, 1),
    );
  };
  startAt(machine, 0);
  await broker.serve();
  // three are free
  for (const sequence of [6, 7, 8]) assert.equal(isErased(sequence, sequence), true, `${sequence}`);
  assert.equal(isErased(9, 9), false);
  startAt(machine, 0);
  await broker.serve();
  assert.equal(isErased(9, 83), false);
  assert.equal(isErased(9, 85), true);
  assert.equal(isErased(10, 85 + 167), false);
  assert.equal(isErased(10, 85 + 169), true);
});

for (const [which, isChosen] of [
  ["any", () => true],
  ["one whose tag ends as erased flash does", (manifest: Buffer) => manifest[MANIFEST_BYTES - 1] === 0xff],
] as const)
  test(`R33 R21 what is below the sequence that lies in the other slot is refused: ${which}`, async () => {
    const { machine, broker, update, told } = await station();
    const fields = { product: "sensor", board: BOARD, hardware: 2 ** machine.board.hardware, sequence: 7 };
    let version = 0;
    let manifest: Buffer;
    do {
      const seven = makeUpdate(Buffer.from("image"), {
        ...fields,
        version: `${version++}`,
        encoding: "none",
      });
      manifest = signedManifest(keys, seven);
    } while (!isChosen(manifest));
    startAt(machine, 0);
    await broker.serve();
    broker.send(TOPIC, manifest);
    machine.cutPower(undefined);
    broker.send(TOPIC, signedManifest(keys, update(6)));
    assert.deepEqual(
      machine.flash.operations.filter(({ kind }) => kind === "erase"),
      [],
    );
    await broker.serve();
    assert.match(told(), new RegExp(`"err":${MANIFEST_SEQUENCE}}`));
  });

test("R18 R33 a packed piece of 587 bytes that makes 20,000 is refused, and the update given up", async () => {
  const { machine, broker, update, told } = await station();
  const packed = update(6, "heatshrink");
  broker.retained.set(TOPIC, signedManifest(keys, packed));
  // one byte, then back references of 64 bytes each: 0, 8 bits of 0, 6 bits of 1
  let bits = `1${"0".repeat(8)}`;
  while (bits.length < 8 * 587 - 15) bits += `0${"0".repeat(8)}111111`;
  const bomb = Buffer.from(
    (bits.padEnd(8 * 587, "0").match(/.{8}/g) as string[]).map((each) => parseInt(each, 2)),
  );
  broker.retained.set(`${piecesPrefix(packed)}0`, bomb);
  startAt(machine, 0);
  let longest = 0;
  const heatshrink = machine.run('require("heatshrink")') as { decompress(data: unknown): ArrayBuffer };
  const decompress = heatshrink.decompress;
  heatshrink.decompress = (data) => {
    const result = decompress(data);
    longest = Math.max(longest, result.byteLength);
    return result;
  };
  await broker.serve();
  assert.match(told(), new RegExp(`"err":${PIECE_LENGTH}}`));
  assert.ok(longest > 0 && longest <= 512 + 34 * 16, `${longest} bytes`);
  assert.equal(machine.run("device.waits()"), false);
});
