// Updates on simulated boards: the application and all of its sections as an image in a slot, started by the loader, with a
// broker that answers at once (scripts/lib/test/broker.ts); update.engine.test.ts has the session, Mosquitto and the real
// interpreter. What is refused, and that nothing is written then; what goes on after interruptions; what a broker that
// lies can do.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Encoding } from "../../scripts/lib/ota/manifest";
import { piecesPrefix } from "../../scripts/lib/ota/manifest";
import { makeUpdate, type Update } from "../../scripts/lib/ota/update_file";
import { TestBroker } from "../../scripts/lib/test/broker";
import { bundleOf, SIMULATED_BOARDS, type SimulatedBoard } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";
import {
  journalAt,
  makeMachine,
  readState,
  rekeyed,
  type SlotsOptions,
  setState,
  signed,
  signedManifest,
  slotStart,
} from "../../scripts/lib/test/slots";
import {
  FLASH_FAILED,
  IMAGE_DIGEST,
  MANIFEST_ENCODING,
  MANIFEST_FORMAT,
  MANIFEST_HARDWARE,
  MANIFEST_KEYS,
  MANIFEST_LENGTH,
  MANIFEST_SEQUENCE,
  MANIFEST_TAG,
  MANIFEST_TARGET,
  MANIFEST_TYPE,
  NOT_CONFIRMED,
  PIECE_LENGTH,
} from "../tls/alert";
import * as Field from "./manifest";
import { AT_KEYS } from "./slot";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/update_app.ts";
const TOPIC = "sensor/0001";
const keys = newKeys();

const devices: TestBroker[] = [];
after(() => {
  for (const { machine } of devices) machine.powerOff();
});

/** An image that runs: the application; `version` tells one from the other, behind the zero byte that ends the last section. */
async function image(version: string, name: SimulatedBoard = BOARD, defines = {}): Promise<string> {
  return `${(await bundleOf(name, APP, defines)).code}${version}`;
}

/** A device that runs image A, sequence 5, confirmed, behind a broker. */
async function device(
  options: Partial<SlotsOptions> = {},
  name: SimulatedBoard = BOARD,
): Promise<TestBroker> {
  const images = [{ code: await image("A", name), sequence: 5 }, undefined] as const;
  const broker = new TestBroker(await makeMachine(name, { images, keys, ...options }));
  devices.push(broker);
  broker.machine.boot();
  await broker.serve();
  return broker;
}

/** An update to image B. */
async function updateTo(
  version = "B",
  { name = BOARD as SimulatedBoard, encoding = "none" as Encoding, sequence = 6, code = "" } = {},
): Promise<Update> {
  const bytes = Buffer.from(code || (await image(version, name)), "latin1");
  const hardware = 2 ** (devices.at(-1)?.machine.board.hardware as number);
  return makeUpdate(bytes, { product: "sensor", board: name, hardware, version, sequence, encoding });
}

/** Retain an update at the broker, its manifest signed for the device. */
function offer(broker: TestBroker, update: Update, manifest = signedManifest(keys, update)): Buffer {
  for (const [n, piece] of update.pieces.entries()) broker.retained.set(`${piecesPrefix(update)}${n}`, piece);
  broker.retained.set(`${TOPIC}/ota`, manifest);
  return manifest;
}

const runningSlot = ({ machine }: TestBroker) => (machine.run("slot") as number) / machine.board.slotBytes;
const stateOf = ({ machine }: TestBroker) => readState(machine, keys);
/** What was done to all flash but the journal, which notes each session and each refusal. */
const writtenBy = ({ machine }: TestBroker) =>
  machine.flash.operations.filter(({ offset }) => offset < journalAt(machine));
const errorsOf = ({ published }: TestBroker) =>
  published.flatMap((line) => /up\/update \{"err":(\d+)\}/.exec(line)?.[1] ?? []).map(Number);

// the firmware of one board has no room for packed pieces
for (const name of SIMULATED_BOARDS)
  for (const encoding of name === "esp32-idf4-sim" ? (["none"] as const) : (["none", "heatshrink"] as const))
    test(`R21 R23 an update is taken, tried, confirmed and told, ${encoding}, on ${name}`, async () => {
      const broker = await device({}, name);
      const { machine } = broker;
      assert.deepEqual(stateOf(broker), { active: 0, attempts: 0, reason: 0, floor: 5, number: 2 });
      assert.match(broker.published.join("\n"), /up\/status \{.*"seq":5,"rev":0\}/);
      const update = await updateTo("B", { name, encoding });
      offer(broker, update);
      broker.connect();
      await broker.serve();
      assert.equal(runningSlot(broker), 1, broker.published.join("\n"));
      const { number: _, ...state } = stateOf(broker) ?? { number: 0 };
      assert.deepEqual(state, { active: 1, attempts: 0, reason: 0, floor: 6 });
      assert.equal(machine.flash.refusedBits, 0);
      assert.match(broker.published.at(-1) ?? "", /up\/status \{.*"seq":6,"rev":0\}/);
      const told = broker.published.flatMap((line) => /up\/update (\{"got".*)/.exec(line)?.[1] ?? []);
      assert.deepEqual(
        told.map((line) => JSON.parse(line).got),
        Array.from({ length: Math.ceil(update.pieces.length / 8) }, (_, i) => 8 * i),
      );
      assert.deepEqual(errorsOf(broker), []);
      // the same manifest again is nothing new; and back into slot 0 with the next
      machine.cutPower(undefined);
      broker.connect();
      await broker.serve();
      assert.deepEqual(writtenBy(broker), []);
      offer(broker, await updateTo("C", { name, encoding, sequence: 7 }));
      broker.connect();
      await broker.serve();
      assert.equal(runningSlot(broker), 0);
      assert.equal(stateOf(broker)?.floor, 7);
    });

/** What the device says to a manifest, and that it has written nothing. */
async function answerTo(broker: TestBroker, manifest: Buffer): Promise<number> {
  const { machine } = broker;
  const before = Buffer.from(machine.flash.bytes.subarray(0, journalAt(machine)));
  const state = stateOf(broker);
  broker.published = [];
  broker.retained.set(`${TOPIC}/ota`, manifest);
  machine.cutPower(undefined);
  broker.connect();
  await broker.serve();
  assert.deepEqual(writtenBy(broker), [], "nothing is written");
  assert.ok(before.equals(machine.flash.bytes.subarray(0, before.length)));
  const { number: _, ...now } = stateOf(broker) ?? { number: 0 };
  assert.deepEqual({ ...now, number: state?.number }, state);
  assert.ok(!broker.subscribed.some((topic) => topic.startsWith("fw/")), "no piece is asked for");
  assert.equal(runningSlot(broker), 0);
  const errors = errorsOf(broker);
  assert.equal(errors.length, 1, broker.published.join("\n"));
  return errors[0];
}

test("R20 R22 every bit of a manifest changed: refused before anything is erased", async () => {
  const broker = await device();
  const update = await updateTo();
  const whole = offer(broker, update);
  for (let bit = 0; bit < 8 * Field.MANIFEST_BYTES; bit++) {
    const manifest = Buffer.from(whole);
    manifest[bit >> 3] ^= 1 << (bit & 7);
    const code = await answerTo(broker, manifest);
    assert.ok(code >= MANIFEST_FORMAT && code <= MANIFEST_TAG, `bit ${bit}: ${code}`);
  }
  for (const length of [0, 1, 64, 112, 127, 129, 512]) {
    const manifest = Buffer.concat([whole, Buffer.alloc(512)]).subarray(0, length);
    // an empty one is how a broker is told to keep none: it does not come
    if (length) assert.equal(await answerTo(broker, manifest), MANIFEST_FORMAT, `${length} bytes`);
  }
  // and the whole one is taken
  broker.retained.set(`${TOPIC}/ota`, whole);
  broker.connect();
  await broker.serve();
  assert.equal(runningSlot(broker), 1);
});

/** A field that is not for this device, with a tag that is right. */
const FOREIGN: [string, number, (manifest: Buffer) => void][] = [
  ["format", MANIFEST_FORMAT, (manifest) => void (manifest[Field.AT_FORMAT] = 2)],
  ["slot rule", MANIFEST_FORMAT, (manifest) => void (manifest[Field.AT_SLOT_RULE] = 1)],
  [
    "type: keys that are not there",
    MANIFEST_FORMAT,
    (manifest) => void (manifest[Field.AT_TYPE] = Field.TYPE_REKEY),
  ],
  ["type: one more", MANIFEST_TYPE, (manifest) => void (manifest[Field.AT_TYPE] = 3)],
  ["type: none", MANIFEST_TYPE, (manifest) => void (manifest[Field.AT_TYPE] = 0)],
  ["encoding", MANIFEST_ENCODING, (manifest) => void (manifest[Field.AT_ENCODING] = 2)],
  [
    "other hardware",
    MANIFEST_HARDWARE,
    (manifest) => void manifest.writeUInt32BE(0xfffffffe, Field.AT_HARDWARE),
  ],
  ["no hardware", MANIFEST_HARDWARE, (manifest) => void manifest.writeUInt32BE(0, Field.AT_HARDWARE)],
  [
    "the floor's sequence",
    MANIFEST_SEQUENCE,
    (manifest) => void manifest.writeUInt32BE(5, Field.AT_SEQUENCE),
  ],
  ["an older sequence", MANIFEST_SEQUENCE, (manifest) => void manifest.writeUInt32BE(4, Field.AT_SEQUENCE)],
  ["sequence 0", MANIFEST_SEQUENCE, (manifest) => void manifest.writeUInt32BE(0, Field.AT_SEQUENCE)],
  ["no length", MANIFEST_LENGTH, (manifest) => void manifest.writeUInt32BE(0, Field.AT_IMAGE_LENGTH)],
  [
    "a slot's length",
    MANIFEST_LENGTH,
    (manifest) => void manifest.writeUInt32BE(AT_KEYS + 1, Field.AT_IMAGE_LENGTH),
  ],
  ["65,536 more", MANIFEST_LENGTH, (manifest) => void (manifest[Field.AT_IMAGE_LENGTH + 1] = 1)],
  ["2^24 more", MANIFEST_LENGTH, (manifest) => void (manifest[Field.AT_IMAGE_LENGTH] = 1)],
  ["product", MANIFEST_TARGET, (manifest) => void manifest.write("censor", Field.AT_TARGET)],
  ["a longer product", MANIFEST_TARGET, (manifest) => void manifest.write("sensor2/0001", Field.AT_TARGET)],
  ["a shorter product", MANIFEST_TARGET, (manifest) => void manifest.write("senso/0001\0", Field.AT_TARGET)],
  ["serial", MANIFEST_TARGET, (manifest) => void manifest.write("sensor/0002", Field.AT_TARGET)],
  ["a longer serial", MANIFEST_TARGET, (manifest) => void manifest.write("sensor/00011", Field.AT_TARGET)],
];

for (const name of SIMULATED_BOARDS)
  test(`R21 R22 each field that is not for this device is refused by its code, on ${name}`, async () => {
    const broker = await device({}, name);
    const update = await updateTo("B", { name });
    for (const [what, code, change] of FOREIGN) {
      const manifest = offer(broker, update);
      change(manifest);
      // the mask's other bits are other boards
      if (what === "other hardware")
        manifest.writeUInt32BE(~(2 ** broker.machine.board.hardware) >>> 0, Field.AT_HARDWARE);
      assert.equal(await answerTo(broker, signed(keys, manifest)), code, what);
    }
  });

test("R20 another device's key signs nothing here; neither does another of this one's keys", async () => {
  const broker = await device();
  const update = await updateTo();
  for (const all of [
    newKeys().all,
    [keys.all[1], keys.all[0]],
    [keys.all[1], keys.all[2]],
    [keys.all[1], keys.all[3]],
  ])
    assert.equal(
      await answerTo(broker, offer(broker, update, signedManifest({ ...keys, all }, update))),
      MANIFEST_TAG,
    );
  assert.equal(
    await answerTo(broker, offer(broker, update, Buffer.from(signedManifest(keys, update).fill(0, 112)))),
    MANIFEST_TAG,
  );
});

test("R21 no rollback before and after the confirm, over the whole range of sequences", async () => {
  const broker = await device();
  setState(broker.machine, keys, { floor: 0x7fffffff, number: 9 });
  const small = await updateTo("B", { sequence: 0x7fffffff });
  assert.equal(await answerTo(broker, offer(broker, small)), MANIFEST_SEQUENCE);
  offer(broker, await updateTo("C", { sequence: 0x80000000 }));
  broker.connect();
  await broker.serve();
  assert.equal(runningSlot(broker), 1);
  assert.equal(stateOf(broker)?.floor, 0x80000000);
  for (const sequence of [0x80000000, 0x7fffffff, 6]) {
    broker.published = [];
    offer(broker, await updateTo("D", { sequence }));
    broker.connect();
    await broker.serve();
    assert.deepEqual(errorsOf(broker), [MANIFEST_SEQUENCE]);
  }
  assert.equal(runningSlot(broker), 1);
});

test("R23 an image that has no session is tried three times; the old one is back, tells why, and does not try it again", async () => {
  const broker = await device();
  const update = await updateTo("B");
  offer(broker, update);
  const { machine } = broker;
  // it starts, and never comes as far as a broker
  const real = broker.connect.bind(broker);
  broker.connect();
  broker.connect = () => {
    if (machine.run("slot")) machine.boot();
    else real();
  };
  await broker.serve();
  assert.equal(runningSlot(broker), 0);
  const { number: _, ...state } = stateOf(broker) ?? { number: 0 };
  assert.deepEqual(state, { active: 0, attempts: 0, reason: NOT_CONFIRMED, floor: 5 });
  assert.match(broker.published.join("\n"), new RegExp(`up/status .*"seq":5,"rev":${NOT_CONFIRMED}}`));
  assert.equal(await answerTo(broker, broker.retained.get(`${TOPIC}/ota`) as Buffer), NOT_CONFIRMED);
  // the next one is, and goes on after a restart in the middle of it
  broker.connect = real;
  offer(broker, await updateTo("C", { sequence: 7 }));
  broker.meddle = (topic, payload) => (topic.endsWith("/9") ? undefined : payload);
  broker.connect();
  await broker.serve();
  assert.equal(runningSlot(broker), 0);
  broker.meddle = (_topic, payload) => payload;
  machine.boot();
  await broker.serve();
  assert.equal(runningSlot(broker), 1);
  assert.deepEqual([stateOf(broker)?.reason, stateOf(broker)?.floor], [0, 7]);
});

test("R18 R20 a broker that lies about pieces: told, nothing of it starts, and the true ones are taken after", async () => {
  const lies: [string, number | undefined, (topic: string, piece: Buffer) => Buffer | undefined][] = [
    ["short", PIECE_LENGTH, (_, piece) => piece.subarray(1)],
    ["long", PIECE_LENGTH, (_, piece) => Buffer.concat([piece, Buffer.alloc(1)])],
    ["empty", PIECE_LENGTH, () => Buffer.alloc(0)],
    ["one bit", IMAGE_DIGEST, (topic, piece) => (topic.endsWith("/3") ? flipped(piece) : piece)],
    [
      "another's place",
      IMAGE_DIGEST,
      (topic, piece) => (topic.endsWith("/2") ? Buffer.alloc(512, 0x20) : piece),
    ],
    ["none", undefined, (topic, piece) => (topic.endsWith("/4") ? undefined : piece)],
    ["erased", IMAGE_DIGEST, (topic, piece) => (topic.endsWith("/5") ? Buffer.alloc(512, 0xff) : piece)],
  ];
  for (const [what, code, lie] of lies) {
    const broker = await device();
    offer(broker, await updateTo());
    broker.meddle = (topic, payload) => (topic.startsWith("fw/") ? lie(topic, payload) : payload);
    broker.connect();
    await broker.serve();
    assert.deepEqual(errorsOf(broker), code === undefined ? [] : [code], what);
    assert.equal(runningSlot(broker), 0, what);
    assert.equal(stateOf(broker)?.attempts, 0);
    broker.meddle = (_topic, payload) => payload;
    for (let i = 0; i < 2; i++) {
      broker.connect();
      await broker.serve();
    }
    assert.equal(runningSlot(broker), 1, what);
  }
});

function flipped(piece: Buffer): Buffer {
  const copy = Buffer.from(piece);
  copy[100] ^= 8;
  return copy;
}

test("R18 packed pieces that are garbage, or unpack to more, are refused by their length", async () => {
  for (const lie of [Buffer.alloc(500, 0xa5), Buffer.alloc(64), Buffer.from([0x80])]) {
    const broker = await device();
    offer(broker, await updateTo("B", { encoding: "heatshrink" }));
    broker.meddle = (topic, payload) => (topic.endsWith("/1") ? lie : payload);
    broker.connect();
    await broker.serve();
    assert.deepEqual(errorsOf(broker), [PIECE_LENGTH]);
    assert.equal(runningSlot(broker), 0);
  }
});

test("pieces that nobody waits for are passed over: repeated, reordered, of another image, before any manifest", async () => {
  const broker = await device();
  const { machine } = broker;
  const update = await updateTo();
  const prefix = piecesPrefix(update);
  machine.cutPower(undefined);
  for (const topic of [
    `${prefix}0`,
    `${prefix}1`,
    "fw/",
    "x",
    `${TOPIC}/otb`,
    `${TOPIC}/ota/0`,
    "sensor/0002/ota",
  ])
    broker.send(topic, update.pieces[0]);
  await broker.serve();
  assert.deepEqual(writtenBy(broker), []);
  offer(broker, update);
  broker.meddle = (topic, payload) => {
    if (topic.startsWith(prefix)) {
      broker.send(`${prefix}${update.pieces.length - 1}`, update.pieces.at(-1) as Buffer);
      broker.send(`${prefix}0`, update.pieces[0].subarray(3));
      if (!topic.endsWith("/0")) broker.send(topic.replace(/\d+$/, "0"), Buffer.alloc(512, 1));
      broker.send(topic.replace("fw/sensor/", "fw/sensor/0"), Buffer.alloc(512));
    }
    return payload;
  };
  broker.connect();
  await broker.serve();
  // a false piece on the topic that is waited for is the broker's to send: that one is in the pieces above
  if (runningSlot(broker) === 0) {
    broker.meddle = (_topic, payload) => payload;
    for (let i = 0; i < 2; i++) {
      broker.connect();
      await broker.serve();
    }
  }
  assert.equal(runningSlot(broker), 1);
});

test("R23 a connection that ends at every piece: the update goes on where it was", async () => {
  const broker = await device();
  broker.lasts = 0;
  const update = await updateTo();
  offer(broker, update);
  const { machine } = broker;
  let asked = 0;
  for (let last = 0; last < update.pieces.length; last++) {
    // this one does not come any more
    broker.meddle = (topic, payload) => {
      if (topic.startsWith("fw/")) asked++;
      return topic.endsWith(`/${last}`) ? undefined : payload;
    };
    machine.cutPower(undefined);
    broker.connect();
    await broker.serve();
    if (last > 0)
      assert.ok(
        !writtenBy(broker).some(({ kind }) => kind === "erase"),
        `piece ${last}: nothing is erased again`,
      );
    assert.equal(runningSlot(broker), 0);
  }
  // each was asked for in vain once, and the one before it once more, for it might have been torn
  assert.ok(asked <= 3 * update.pieces.length, `${asked} of ${update.pieces.length}`);
  broker.meddle = (_topic, payload) => payload;
  broker.connect();
  await broker.serve();
  assert.equal(runningSlot(broker), 1);
  assert.equal(machine.flash.refusedBits, 0);
});

test("R29 flash that does not take what is written: named, and the old image stays", async () => {
  const broker = await device();
  offer(broker, await updateTo());
  const { machine } = broker;
  const write = machine.flash.write.bind(machine.flash);
  const stuck = slotStart(machine, 1) + 1000;
  machine.flash.write = (offset, data) => {
    write(offset, data);
    if (stuck >= offset && stuck < offset + data.length) machine.flash.bytes[stuck] ^= 1;
  };
  broker.connect();
  await broker.serve();
  assert.deepEqual(errorsOf(broker), [IMAGE_DIGEST]);
  assert.equal(runningSlot(broker), 0);
  // a journal that takes nothing: the new image is not started, for its starts could not be counted
  machine.flash.write = (offset, data) => {
    if (offset < machine.runtime.storage.length) write(offset, data);
  };
  broker.published = [];
  broker.connect();
  await broker.serve();
  assert.deepEqual(errorsOf(broker), [FLASH_FAILED]);
  assert.equal(runningSlot(broker), 0);
});

/** The keys that count on the device, and who it says it is. */
const keysOf = ({ machine }: TestBroker) => Buffer.from(machine.run("device.key()") as string, "latin1");
const identityOf = ({ machine }: TestBroker) => machine.run("device.identity()") as string;

for (const name of SIMULATED_BOARDS)
  test(`R21 R23 other keys come with an image, count from its first session on, and go on with the next, on ${name}`, async () => {
    const broker = await device({}, name);
    const { machine } = broker;
    const next = newKeys();
    const update = await updateTo("B", { name });
    broker.retained.set(`${TOPIC}/ota`, rekeyed(keys, offer(broker, update), next, 2));
    broker.connect();
    await broker.serve();
    assert.equal(runningSlot(broker), 1, broker.published.join("\n"));
    assert.deepEqual(keysOf(broker), next.record);
    assert.equal(identityOf(broker), "v2.sensor.0001");
    assert.equal(machine.read("key"), keys.record.toString("latin1"));
    assert.equal(machine.flash.refusedBits, 0);
    // the journal's seals are those of the first keys, and nothing of it is lost
    const { number: _, ...state } = stateOf(broker) ?? { number: 0 };
    assert.deepEqual(state, { active: 1, attempts: 0, reason: 0, floor: 6 });
    // offered again it is what runs
    broker.published = [];
    broker.connect();
    await broker.serve();
    assert.deepEqual(errorsOf(broker), []);
    // what the old keys sign is refused; what the new ones sign is taken, and they go with it
    const after = await updateTo("C", { name, sequence: 7 });
    offer(broker, after);
    broker.connect();
    await broker.serve();
    assert.deepEqual(errorsOf(broker), [MANIFEST_TAG]);
    assert.equal(runningSlot(broker), 1);
    offer(broker, after, signedManifest(next, after));
    broker.connect();
    await broker.serve();
    assert.equal(runningSlot(broker), 0);
    assert.deepEqual(keysOf(broker), next.record);
    assert.equal(identityOf(broker), "v2.sensor.0001");
    // and once more, under the second keys
    const third = newKeys();
    const last = await updateTo("D", { name, sequence: 8 });
    broker.retained.set(
      `${TOPIC}/ota`,
      rekeyed(next, offer(broker, last, signedManifest(next, last)), third, 254),
    );
    broker.connect();
    await broker.serve();
    assert.deepEqual(keysOf(broker), third.record);
    assert.equal(identityOf(broker), "v254.sensor.0001");
    machine.boot();
    await broker.serve();
    assert.deepEqual(keysOf(broker), third.record);
  });

test("R23 keys that have no session are back with the old image, and not tried again", async () => {
  const broker = await device();
  const { machine } = broker;
  const manifest = rekeyed(keys, offer(broker, await updateTo()), newKeys(), 2);
  broker.retained.set(`${TOPIC}/ota`, manifest);
  const real = broker.connect.bind(broker);
  broker.connect();
  let starts = 0;
  broker.connect = () => {
    // the server refuses them
    if (identityOf(broker) === "v2.sensor.0001") {
      starts++;
      machine.boot();
    } else real();
  };
  await broker.serve();
  assert.equal(starts, 3);
  assert.deepEqual(keysOf(broker), keys.record);
  assert.equal(identityOf(broker), "v1.sensor.0001");
  assert.equal(stateOf(broker)?.reason, NOT_CONFIRMED);
  assert.equal(await answerTo(broker, manifest), NOT_CONFIRMED);
});

test("R20 R22 keys that are not this device's, or changed, or cut, are refused before anything is erased", async () => {
  const broker = await device();
  const update = await updateTo();
  const plain = offer(broker, update);
  // signed, but wrapped under another key
  const foreign = newKeys();
  foreign.all[1] = keys.all[1];
  assert.equal(await answerTo(broker, rekeyed(foreign, Buffer.from(plain), newKeys(), 2)), MANIFEST_KEYS);
  const whole = rekeyed(keys, Buffer.from(plain), newKeys(), 2);
  for (let at = Field.MANIFEST_BYTES; at < whole.length; at++) {
    const changed = Buffer.from(whole);
    changed[at] ^= 1 << (at & 7);
    assert.equal(await answerTo(broker, changed), MANIFEST_TAG, `byte ${at}`);
  }
  for (const length of [128, 129, 207, 209, 288])
    assert.equal(
      await answerTo(broker, Buffer.concat([whole, Buffer.alloc(80)]).subarray(0, length)),
      MANIFEST_FORMAT,
      `${length} bytes`,
    );
  // a record that does not hold together
  const torn = newKeys();
  torn.record[70] ^= 1;
  assert.equal(await answerTo(broker, rekeyed(keys, Buffer.from(plain), torn, 2)), MANIFEST_KEYS);
});

test("R21 a piece that was dropped on its way is asked for again with the next tick; one that is only late is written once", async () => {
  const broker = await device();
  broker.lasts = 0;
  const update = await updateTo();
  offer(broker, update);
  let drops = 1;
  broker.meddle = (topic, payload) => (topic.endsWith("/9") && drops-- > 0 ? undefined : payload);
  broker.connect();
  await broker.serve();
  assert.equal(runningSlot(broker), 0);
  broker.machine.run("device.tick()");
  await broker.serve();
  assert.equal(runningSlot(broker), 1, broker.published.join("\n"));

  const late = await device();
  late.lasts = 0;
  offer(late, update);
  let asked = 0;
  late.meddle = (topic, payload) => {
    if (topic.endsWith("/9") && ++asked === 1) late.machine.run("device.tick()");
    return payload;
  };
  late.connect();
  late.machine.cutPower(undefined);
  await late.serve();
  assert.equal(runningSlot(late), 1);
  assert.equal(asked, 2);
  const pieces = writtenBy(late).filter(({ length }) => length === 512);
  assert.equal(new Set(pieces.map(({ offset }) => offset)).size, pieces.length);
  assert.equal(pieces.length, update.pieces.length - 1);
});

test("R20 an offer that is taken back stops the update where it is; offered again it goes on from there", async () => {
  const broker = await device();
  const { machine } = broker;
  const update = await updateTo();
  const manifest = offer(broker, update);
  broker.meddle = (topic, payload) => {
    if (topic.endsWith("/9")) {
      broker.retained.delete(`${TOPIC}/ota`);
      broker.send(`${TOPIC}/ota`, Buffer.alloc(0));
    }
    return payload;
  };
  broker.connect();
  await broker.serve();
  machine.run("device.tick()");
  await broker.serve();
  assert.equal(broker.subscribed.at(-1), `${piecesPrefix(update)}9`);
  assert.deepEqual(errorsOf(broker), []);
  broker.retained.set(`${TOPIC}/ota`, manifest);
  const asked: string[] = [];
  broker.meddle = (topic, payload) => {
    asked.push(topic);
    return payload;
  };
  broker.send(`${TOPIC}/ota`, manifest);
  await broker.serve();
  assert.equal(asked[0], `${piecesPrefix(update)}8`, "the last piece that was begun");
  assert.equal(runningSlot(broker), 1);
});

test("outside its window an update waits, and begins when it opens", async () => {
  // the hours count from the start: here the window opens an hour after it, and lasts for one
  const conf = JSON.stringify({ id: "v1.sensor.0001", host: "127.0.0.1", port: 1, window: 102 });
  const broker = await device({ files: { conf } });
  const { machine } = broker;
  offer(broker, await updateTo());
  broker.connect();
  machine.cutPower(undefined);
  await broker.serve();
  assert.deepEqual(errorsOf(broker), []);
  assert.deepEqual(writtenBy(broker), []);
  assert.deepEqual(JSON.parse(machine.run("JSON.stringify(device.update())") as string), {
    got: 0,
    hold: 1,
    seq: 5,
  });
  const later = (hours: number) =>
    machine.run(`(function(real){getTime=function(){return real()+${hours * 3600}}})(getTime)`);
  machine.run("device.tick()");
  await broker.serve();
  assert.deepEqual(writtenBy(broker), []);
  later(2.01);
  machine.run("device.tick()");
  await broker.serve();
  assert.deepEqual(writtenBy(broker), []);
  later(23);
  machine.run("device.tick()");
  await broker.serve();
  assert.equal(runningSlot(broker), 1);
});

test("R29 the least battery holds an update back, on a board that measures it", async () => {
  const conf = JSON.stringify({ id: "v1.sensor.0001", host: "127.0.0.1", port: 1, battery: 2900 });
  for (const [volts, slot] of [
    [2.8, 0],
    [3, 1],
  ] as const) {
    const broker = await device({ files: { conf }, machine: { volts } }, "mdbt42q-w5500-sim");
    offer(broker, await updateTo("B", { name: "mdbt42q-w5500-sim" }));
    broker.connect();
    await broker.serve();
    assert.equal(runningSlot(broker), slot, `${volts} V`);
  }
});
