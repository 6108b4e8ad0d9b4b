// The tree of epochs on simulated flash: whose keys it gives, what of it lies in flash, the power cut at every byte of what a take writes and
// erases, once and twice, what new keys do, and how often a page is erased in a million sessions.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { readBoard } from "../../scripts/lib/bundle/build";
import { childOf, EPOCHS, leafOf, TREE_LEVELS } from "../../scripts/lib/keys/epoch_tree";
import { bundleOf } from "../../scripts/lib/test/device";
import { newKeys, recordOf } from "../../scripts/lib/test/factory";
import { cutPower } from "../../scripts/lib/test/power_cuts";
import { NO_KEY } from "../tls/alert";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/tree_app.ts";
const IDENTITY = "v1.meter.SN1";
const PLACE = 32;
const AT_NODE = 8;
/** Bytes of a half (tree.ts). */
const HALF = 4096;
const MILLION = 1_000_000;
/** What NOR flash takes: erases of a page. */
const MOST_ERASES = 10_000;

const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

class Device {
  private constructor(
    readonly machine: Machine,
    readonly root: Buffer,
  ) {}

  static async on(): Promise<Device> {
    const { code } = await bundleOf(BOARD, APP);
    const keys = newKeys();
    const machine = new Machine({
      board: await readBoard(BOARD),
      bundle: code,
      files: { key: keys.record.toString("latin1") },
    });
    machines.push(machine);
    machine.boot();
    return new Device(machine, keys.psk);
  }

  /** Where the tree begins in `machine.flash`. */
  get start(): number {
    return this.machine.board.storageLength - 2 * HALF;
  }

  take(identity = IDENTITY): { epoch: number; key: Buffer } {
    const [said, key] = this.machine.run(`tree.take(${JSON.stringify(identity)})`) as [string, string];
    assert.ok(said.startsWith(`${identity}.e`), said);
    return { epoch: Number.parseInt(said.slice(identity.length + 2), 16), key: Buffer.from(key, "latin1") };
  }

  /** Take the next epoch, which is to be this one, with its key. */
  takes(epoch: number, root = this.root, identity = IDENTITY): void {
    const taken = this.take(identity);
    assert.equal(taken.epoch, epoch);
    assert.equal(taken.key.toString("hex"), leafOf(root, epoch).toString("hex"), `epoch ${epoch}`);
  }

  next(identity = IDENTITY): number {
    return this.machine.run(`tree.next(${JSON.stringify(identity)})`) as number;
  }

  /**
   * Lay down the tree as it is when the epoch before this one has been taken, in the first half, and behind it so many nodes of the two
   * trees after it.
   */
  layAt(epoch: number, beside = 0): void {
    const { flash } = this.machine;
    flash.bytes.fill(0xff, this.start);
    flash.bytes.fill(0, 32, 48);
    const end = this.start;
    const nodes = nodesFrom(this.root, epoch).map(([first, node]) => [(1 << 24) | first, node] as const);
    for (let i = 0; i < beside; i++) nodes.push([((2 + (i % 2)) << 24) | (1 << (i >> 1)), randomBytes(16)]);
    for (const [i, [x, node]] of nodes.entries()) {
      const place = Buffer.alloc(PLACE, 0xff);
      place.writeUInt32LE(x, 0);
      place.writeInt32LE(~x, 4);
      node.copy(place, AT_NODE);
      place.copy(flash.bytes, end + i * PLACE);
    }
  }

  /** Make these places, of both halves, ones whose node was forgotten. */
  useUp(from: number, to: number): void {
    for (let place = from; place < to; place++) {
      const at = this.start + place * PLACE;
      this.machine.flash.bytes.fill(0, at, at + AT_NODE + 16);
      this.machine.flash.bytes.writeUInt32LE(1 << 24, at);
    }
  }

  /** Words of 16 bytes anywhere in flash from which one comes to the key of an epoch `from` to `last`: what must not be there. */
  traces(last: number, from = 0): string[] {
    const written = this.machine.flash.written();
    const found: string[] = [];
    for (const [level, first, node] of nodesOver(this.root, from, last))
      if (written.includes(node)) found.push(`level ${level}, from epoch ${first} on`);
    return found;
  }
}

/** The nodes right of the path to the epoch before: their first epoch, and they. */
function nodesFrom(root: Buffer, epoch: number): [number, Buffer][] {
  const nodes: [number, Buffer][] = [];
  let node = root;
  let first = 0;
  for (let level = TREE_LEVELS - 1; level >= 0 && first !== epoch; level--) {
    const middle = first + 2 ** level;
    if (epoch <= middle) {
      nodes.unshift([middle, childOf(node, 1)]);
      node = childOf(node, 0);
      if (epoch === middle) return nodes;
    } else {
      node = childOf(node, 1);
      first = middle;
    }
  }
  return [[first, node], ...nodes];
}

/** Every node over one of the epochs `from` to `last`, the root too. */
function* nodesOver(
  root: Buffer,
  from: number,
  last: number,
): Generator<[level: number, first: number, node: Buffer]> {
  let row: [number, Buffer][] = [[0, root]];
  for (let level = TREE_LEVELS; level >= 0; level--) {
    for (const [first, node] of row) yield [level, first, node];
    row = row
      .flatMap(([first, node]): [number, Buffer][] => [
        [first, childOf(node, 0)],
        [first + 2 ** (level - 1), childOf(node, 1)],
      ])
      .filter(([first]) => first <= last && first + 2 ** (level - 1) > from);
  }
}

test("R38 each take gives the next leaf of the root in the record, and nothing that leads to it or one before it is in flash", async () => {
  const device = await Device.on();
  assert.equal(device.next(), 0);
  assert.deepEqual(device.traces(0).length, 1, "the root is found where it lies");
  for (let epoch = 0; epoch < 260; epoch++) {
    if (epoch % 37 === 5) device.machine.boot();
    device.takes(epoch);
    assert.equal(device.next(), epoch + 1);
    if (epoch % 20 < 2 || epoch > 255) assert.deepEqual(device.traces(epoch), []);
  }
  assert.ok(
    device.machine.flash.bytes.subarray(32, 48).every((byte) => !byte),
    "the root",
  );
  assert.equal(device.machine.flash.refusedBits, 0);
});

test("R38 the keys of every part of the tree, up to its last, and then none", async () => {
  const device = await Device.on();
  for (const epoch of [0x2f0, 0xffff, 0x7ffffe, 0x7fffff, 0x800000, 0xabcdef, EPOCHS - 3]) {
    device.layAt(epoch);
    assert.equal(device.next(), epoch);
    device.takes(epoch);
    device.takes(epoch + 1);
    device.takes(epoch + 2);
  }
  assert.throws(
    () => device.take(),
    (error) => error === NO_KEY,
  );
});

test("R38 new keys begin a new tree, of the old one what lies ahead stays until one more has begun; keys that come twice go on", async () => {
  const device = await Device.on();
  const { flash } = device.machine;
  const newRoot = (root: Buffer) => {
    recordOf([root, ...newKeys().all.slice(1)]).record.copy(flash.bytes, 32);
    device.machine.boot();
  };
  const [second, third] = [randomBytes(16), randomBytes(16)];
  for (const epoch of [0, 1, 2]) device.takes(epoch);
  newRoot(second);
  device.takes(0, second, "v2.meter.SN1");
  device.takes(1, second, "v2.meter.SN1");
  // an image that came back: its keys are the old ones, and go on
  device.takes(3);
  device.takes(4);
  // and the new keys come a second time
  newRoot(second);
  device.takes(2, second, "v2.meter.SN1");
  assert.ok(flash.bytes.subarray(32, 48).every((byte) => !byte));
  newRoot(third);
  device.takes(0, third, "v3.meter.SN1");
  assert.throws(
    () => device.take(),
    (error) => error === NO_KEY,
    "the one before the one before",
  );
  device.takes(3, second, "v2.meter.SN1");
  device.takes(1, third, "v3.meter.SN1");
});

describe("R23 R38 power cuts", () => {
  /** Epochs before the one that is taken, places of the first half that are taken up, and every how manieth second cut is judged. */
  const COURSES = [
    { what: "the first take, with the root", epoch: -1, filled: 0, sample: 4999 },
    { what: "a leaf", epoch: 3, filled: 0, sample: 97 },
    { what: "a node of eight", epoch: 0x2f8, filled: 0, sample: 997 },
    { what: "a leaf that turns into erased flash", epoch: EPOCHS - 13, filled: 128, sample: 997 },
  ];
  for (const { what, epoch, filled, sample } of COURSES)
    test(`R23 R38 cut everywhere in ${what}, once and twice: the epoch comes or is lost, its key never comes twice, and nothing behind it stays`, async (t) => {
      const device = await Device.on();
      const { machine } = device;
      const fresh = Buffer.from(machine.flash.bytes);
      if (epoch >= 0) {
        device.layAt(epoch);
        device.useUp(nodesFrom(device.root, epoch).length, filled);
        machine.flash.bytes.copy(fresh);
      }
      const now = Math.max(0, epoch);
      let lost = 0;
      const start = async (state: Buffer, cut?: Parameters<Machine["cutPower"]>[0]) => {
        machine.powerOff();
        machine.flash.load(state);
        machine.boot();
        machine.cutPower(cut);
        // the operation itself, taken up again by the next session
        try {
          machine.run(`taken = tree.take(${JSON.stringify(IDENTITY)})`);
        } catch (error) {
          if (!/the power is cut/.test(String(error))) throw error;
        }
        return [...machine.flash.operations];
      };
      const report = await cutPower(
        {
          machine,
          sample,
          prepare() {
            machine.flash.load(fresh);
            machine.boot();
          },
          operate() {
            try {
              machine.run(`tree.take(${JSON.stringify(IDENTITY)})`);
            } catch (error) {
              if (!/the power is cut/.test(String(error))) throw error;
            }
          },
          start,
          judge(place) {
            const [said, key] = machine.run("taken") as [string, string];
            const got = Number.parseInt(said.slice(IDENTITY.length + 2), 16);
            // cuts lose an epoch each at most, and none of a half that could not be read
            assert.ok(got >= now && got <= now + 2, `${place}: ${said}`);
            if (got > now) lost++;
            assert.equal(
              Buffer.from(key, "latin1").toString("hex"),
              leafOf(device.root, got).toString("hex"),
              place,
            );
            assert.deepEqual(
              device.traces(got, Math.max(0, now - 8)).filter((trace) => !/^level 0/.test(trace)),
              [],
              place,
            );
            assert.ok(!machine.flash.written().includes(leafOf(device.root, got)), place);
            device.takes(got + 1);
          },
        },
        t,
      );
      t.diagnostic(`${lost} states in which an epoch was lost`);
      assert.ok(report.once > 30 && report.twice > 60, JSON.stringify(report));
    });
});

test("R23 R38 cut in the erasing of the half that nodes are to move into: the next start erases it again and loses no epoch", async () => {
  const device = await Device.on();
  const { machine } = device;
  const places = HALF / PLACE;
  device.layAt(5);
  device.useUp(nodesFrom(device.root, 5).length, 2 * places);
  const full = Buffer.from(machine.flash.bytes);
  const take = (cut?: Parameters<Machine["cutPower"]>[0]) => {
    machine.boot();
    machine.cutPower(cut);
    assert.throws(() => device.take(), /the power is cut/);
    machine.powerOff();
  };
  // the first two places and the last byte by byte, the others at a byte of each
  for (let byte = 0; byte < HALF; byte += byte < 2 * PLACE || byte >= HALF - PLACE ? 1 : PLACE - 1) {
    machine.powerOff();
    machine.flash.load(full);
    take({ operation: 0, byte, torn: byte & 1 ? 0x5a : undefined });
    if (byte % 3 === 0 && byte < HALF - PLACE) take({ operation: 0, byte: (7 * byte) % HALF });
    machine.boot();
    device.takes(5);
    assert.deepEqual(device.traces(5), [], `byte ${byte}`);
    device.takes(6);
  }
});

test("R33 R38 a million sessions erase no page more than 10,000 times, with the tree before it beside it too", async (t) => {
  /** Count erases of a page by the rule of tree.ts; `beside`: places of other trees. */
  const erasesOf = (first: number, sessions: number, beside: number) => {
    const zeros = (epoch: number) => TREE_LEVELS - epoch.toString(2).replaceAll("0", "").length + beside;
    let used = zeros(first - 1) * PLACE;
    let turns = 0;
    for (let epoch = first; epoch < first + sessions; epoch++) {
      const lower = Math.log2(epoch & -epoch);
      if (used + (lower + 1) * PLACE <= HALF) used += lower * PLACE;
      else {
        turns++;
        used = zeros(epoch) * PLACE;
      }
    }
    // the two halves in turn; what is turned into first is erased flash
    return { turns, erases: Math.ceil((turns - 1) / 2) };
  };
  // the rule is that of the code: as many erases, on the device
  const device = await Device.on();
  for (const [first, beside] of [
    [0x1234, 0],
    [0x7fff80, 0],
    [0x7fff80, 48],
  ]) {
    device.layAt(first, beside);
    const before = device.machine.flash.erases;
    for (let i = 0; i < 300; i++) device.take();
    const { turns } = erasesOf(first, 300, beside);
    assert.ok(turns >= 2, `${turns}`);
    assert.equal(device.machine.flash.erases - before, turns - 1, `from epoch ${first} on`);
  }
  for (const beside of [0, 24, 48]) {
    const most = Math.max(
      ...[1, 0x100000, 0x800000, EPOCHS - MILLION].map((first) => erasesOf(first, MILLION, beside).erases),
    );
    t.diagnostic(`${beside} nodes of other trees: ${most} erases of a page in a million sessions`);
    assert.ok(most <= MOST_ERASES, `${most} erases`);
  }
});
