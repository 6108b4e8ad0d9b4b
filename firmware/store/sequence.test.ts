// The sequence numbers of ESP on simulated flash: none is used twice, wherever power is cut, once and twice; the window against a model of
// RFC 4303, 3.4.3; what flash does not hold is not used; and how often a page is erased in the life of a key.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { PowerCut } from "../../hal/simulator/nor_flash";
import { readBoard } from "../../scripts/lib/bundle/build";
import { bundleOf } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";
import { generator } from "../../scripts/lib/test/generator";
import { cutPower } from "../../scripts/lib/test/power_cuts";
import { ESP_REPLAY, FLASH_FAILED, SEQUENCE_END } from "../tls/alert";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/sequence_app.ts";
/** Of sequence.ts. */
const BLOCK = 4096;
const LAST = 2 ** 31 - 1;
const WINDOW = 32;
/** What NOR flash takes: erases of a page. */
const MOST_ERASES = 10_000;
const LOG = 2;

const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

/** A board with the numbers and the journal alone. */
class Device {
  private constructor(readonly machine: Machine) {}
  static async on(files: Record<string, string> = {}): Promise<Device> {
    const { code } = await bundleOf(BOARD, APP, {}, {}, "esp");
    const board = await readBoard(BOARD);
    const machine = new Machine({
      board,
      bundle: code,
      files: { key: newKeys().record.toString("latin1"), ...files },
    });
    machines.push(machine);
    machine.boot();
    return new Device(machine);
  }
  next(): number {
    return this.machine.run("sequence.next()") as number;
  }
  take(n: number): void {
    this.machine.run(`sequence.take(${n})`);
  }
  /** Whether a number that comes is taken. */
  takes(n: number): boolean {
    try {
      this.take(n);
      return true;
    } catch (error) {
      assert.equal(error, ESP_REPLAY);
      return false;
    }
  }
  /** Fill the half of the journal that is in use, so that the next record turns it over. */
  fill(): void {
    const { flash } = this.machine;
    for (let i = 0; ; i++) {
      const before = Buffer.from(flash.bytes);
      const { erases } = flash;
      this.machine.run(`sequence.append(${JSON.stringify(String.fromCharCode(LOG) + `${i}`.padEnd(11))})`);
      if (flash.erases === erases) continue;
      flash.load(before);
      return;
    }
  }
}

const isCut = (error: unknown) => error instanceof PowerCut || /the power is cut/.test(String(error));

test("R15 numbers count up from 1, and behind all that were reserved after each start", async () => {
  const device = await Device.on();
  for (let start = 0; start < 5; start++) {
    for (let n = 1; n <= 20; n++) assert.equal(device.next(), start * (BLOCK + 1) + n);
    device.machine.boot();
  }
  // over the end of a block
  const first = device.next();
  for (let n = 1; n < 2 * BLOCK + 5; n++) assert.equal(device.next(), first + n);
});

test("R15 what comes moves them too: after a start nothing is taken that could have been", async () => {
  const device = await Device.on();
  assert.equal(device.next(), 1);
  for (const n of [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 5 * BLOCK, 5 * BLOCK + 7])
    assert.ok(device.takes(n), `${n}`);
  device.machine.boot();
  for (const n of [1, 2, 3, BLOCK + 3, 5 * BLOCK, 5 * BLOCK + 7, 5 * BLOCK + 8])
    assert.ok(!device.takes(n), `${n}`);
  const next = device.next();
  assert.ok(next > 5 * BLOCK + 7);
  assert.ok(device.takes(next));
});

test("R15 the window is that of RFC 4303, 3.4.3: a model of it and numbers at random agree", async () => {
  const device = await Device.on();
  const draw = generator(4303);
  const came = new Set<number>();
  let highest = 0;
  for (let i = 0; i < 4000; i++) {
    const n = Math.max(0, highest - 45 + draw(draw(50) ? 60 : 300));
    const isNew = n > highest || (n > highest - WINDOW && !came.has(n) && n > 0);
    assert.equal(device.takes(n), isNew, `${n}, the highest is ${highest}`);
    if (isNew) came.add(n);
    highest = Math.max(highest, isNew ? n : 0);
  }
  assert.ok(highest > 1000);
});

test("R15 the last number is 2^31 - 1, both ways, and then there is none", async () => {
  const device = await Device.on();
  assert.ok(!device.takes(2 ** 31) && !device.takes(2 ** 32 - 1));
  assert.ok(device.takes(LAST - BLOCK - 2));
  device.machine.boot();
  // one block ahead of it: two numbers are left
  assert.deepEqual([device.next(), device.next()], [LAST - 1, LAST]);
  assert.throws(
    () => device.next(),
    (error) => error === SEQUENCE_END,
  );
  assert.ok(!device.takes(LAST - 5) && device.takes(LAST) && !device.takes(LAST));
  device.machine.boot();
  assert.throws(
    () => device.next(),
    (error) => error === SEQUENCE_END,
  );
  assert.ok(!device.takes(LAST));
});

test("R29 what flash does not hold is not used", async () => {
  const without = await Device.on({ key: "\x01".repeat(16) });
  for (let i = 0; i < 3; i++)
    assert.throws(
      () => without.next(),
      (error) => error === FLASH_FAILED,
    );
  assert.throws(
    () => without.take(1),
    (error) => error === FLASH_FAILED,
  );
});

for (const { what, isFull, sample } of [
  { what: "a record", isFull: false, sample: 29 },
  { what: "a record that turns the journal over", isFull: true, sample: 1_499 },
])
  for (const way of isFull ? ["next()", "take(9000)", "an event"] : ["next()", "take(9000)"])
    test(`R15 R23 power cut everywhere in ${what} for ${way}, once and twice: no number is used twice, either way`, async (t) => {
      const device = await Device.on();
      const { machine } = device;
      // some were used before
      device.next();
      device.take(7);
      machine.boot();
      const before = device.next();
      device.take(before + 30);
      if (isFull) device.fill();
      machine.boot();
      const flash = Buffer.from(machine.flash.bytes);
      const used = before + 30;
      let sent: number[] = [];
      /** Use a number: what leaves the device, or is carried out, before power goes. */
      const use = () => {
        try {
          if (way === "next()") sent.push(device.next());
          else if (way === "an event") machine.run(`sequence.append("\\x02event       ")`);
          else {
            device.take(9000 + sent.length);
            sent.push(9000 + sent.length);
          }
        } catch (error) {
          if (!isCut(error) && error !== ESP_REPLAY) throw error;
        }
      };
      const report = await cutPower(
        {
          machine,
          sample,
          prepare() {
            machine.flash.load(flash);
            machine.boot();
            sent = [];
          },
          operate: use,
          async start(state, cut) {
            machine.powerOff();
            machine.flash.load(state);
            machine.boot();
            machine.cutPower(cut);
            // what the first cut stopped was not used: it threw
            sent = [];
            use();
            return [...machine.flash.operations];
          },
          judge(place) {
            // whatever was used before this start, in this course or before it
            machine.boot();
            const next = device.next();
            assert.ok(next > used, `${place}: ${next} was used`);
            assert.ok(!sent.includes(next), `${place}: ${next} was used in it`);
            assert.ok(!device.takes(used) && !device.takes(7), place);
            for (const n of sent) assert.ok(next > n && !device.takes(n), `${place}: ${n}`);
          },
        },
        t,
      );
      assert.equal(report.operations, isFull ? 5 : 1, "of a turn an erase, and the newest of each kind");
      assert.ok(report.once > 30 && report.twice > 30, JSON.stringify(report));
    });

test("R15 R23 300 starts with power cut at random: what was sent and taken never comes again", async () => {
  const device = await Device.on();
  const { machine } = device;
  const draw = generator(23);
  const sent = new Set<number>();
  const taken = new Set<number>();
  let highest = 0;
  for (let start = 0; start < 300; start++) {
    machine.boot();
    // most starts lose power at a byte of the first write or erase, or not at all
    machine.cutPower(draw(10) < 6 ? { operation: draw(3), byte: draw(33), torn: draw(256) } : undefined);
    try {
      for (let i = 0; i < 3; i++) {
        const n = device.next();
        assert.ok(!sent.has(n), `start ${start}: ${n} sent twice`);
        sent.add(n);
        highest = Math.max(highest, n);
        const old = [...taken].slice(-5);
        for (const each of old) assert.ok(!device.takes(each), `start ${start}: ${each} taken twice`);
        const other = highest + 1 + draw(40);
        if (!device.takes(other)) continue;
        assert.ok(!taken.has(other), `start ${start}: ${other} taken twice`);
        taken.add(other);
        highest = Math.max(highest, other);
      }
    } catch (error) {
      if (!isCut(error)) throw error;
    }
    machine.cutPower(undefined);
  }
  assert.ok(sent.size > 300 && taken.size > 300, `${sent.size} ${taken.size}`);
});

test("R33 no server and no number of starts erases a page more than 10,000 times in the life of a key", async (t) => {
  const device = await Device.on();
  const { machine } = device;
  // as many records as can be: each is a block above the one before
  const records = 600;
  const before = machine.flash.erases;
  for (let i = 1; i <= records; i++) device.take(i * (BLOCK + 1));
  const erases = machine.flash.erases - before;
  const perPage = ((erases / 2) * (LAST / (BLOCK + 1))) / records;
  t.diagnostic(
    `${erases} erases for ${records} records: ${Math.round(perPage)} of a page for all ${Math.ceil(LAST / BLOCK)}`,
  );
  assert.ok(erases >= 4 && perPage < MOST_ERASES, `${perPage}`);
});
