// The journal on simulated flash, with the power cut at every byte of everything that it writes and erases, once and twice:
// what is found is the old or the new, never nothing, and no number falls. Over pages and write units of all kinds.
import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { after, describe, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { cutStates, type FlashOperation, PowerCut } from "../../hal/simulator/nor_flash";
import { readBoard } from "../../scripts/lib/bundle/build";
import { bundleOf } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/journal_app.ts";
const STATE = 1;
const LOG = 2;
/** A number of a product's, which the image here has not: it is carried along for the one that has. */
const STORE = 5;
const PLACE = 32;
/** Places that are left free behind a record. */
const SPARE = 16;
/** More second cuts: `make powercuts`. */
const IS_WHOLE = process.env.POWERCUTS === "all";

const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

/** The journal on a board with these pages, write units and halves. */
class Journal {
  readonly keys = newKeys();
  private constructor(
    readonly machine: Machine,
    /** Where it begins in `machine.flash`. */
    readonly start: number,
    readonly half: number,
  ) {}

  static async on(pageLength: number, writeLength: number, key?: string): Promise<Journal> {
    // halves as short as the pages allow: more turns
    const journalLength = Math.max(1024, pageLength);
    const board = { ...(await readBoard(BOARD)), pageLength, writeLength, journalLength };
    const { code } = await bundleOf(BOARD, APP, {}, { pageLength, writeLength, journalLength });
    const machine = new Machine({ board, bundle: code });
    machines.push(machine);
    const storage = machine.board.flashMap.find(({ name }) => name === "storage");
    const journal = new Journal(machine, storage?.length as number, journalLength);
    machine.boot();
    machine.write({ key: key ?? journal.keys.record.toString("latin1") });
    machine.boot();
    return journal;
  }

  append(kind: number, content: string): void {
    this.machine.run(
      `journal.append(${JSON.stringify(String.fromCharCode(kind) + content.padEnd(11, "."))})`,
    );
  }

  /** Append until `places` are taken in the half in use, with logs but for one state now and then. */
  fill(places: number): void {
    for (let i = 0; this.taken().length < places; i++) this.append(i % 7 ? LOG : STATE, `fill ${i}`);
  }

  newest(kind: number): { content: string; number: number } | undefined {
    const found = Buffer.from(this.machine.run(`journal.newest(${kind})`) as string, "latin1");
    if (!found.length) return undefined;
    assert.equal(found.length, PLACE);
    assert.equal(found[0], kind);
    return { content: found.toString("latin1", 1, 12), number: found.readUInt32BE(12) };
  }

  /** Places that are taken in the half in use. */
  taken(): Buffer[] {
    this.newest(STATE);
    const inUse = (this.machine.run("journal.place()") as number) - this.machine.board.journalStart;
    const from = this.start + (inUse > this.half ? this.half : 0);
    const places: Buffer[] = [];
    for (let at = from; at < from + this.half; at += PLACE) {
      const place = this.machine.flash.bytes.subarray(at, at + PLACE);
      if (!place.every((byte) => byte === 0xff)) places.push(place);
    }
    return places;
  }

  /** What is done to the flash while `work` is done, and what it held before. */
  operations(work: () => void): { before: Buffer; operations: FlashOperation[] } {
    const before = Buffer.from(this.machine.flash.bytes);
    this.machine.flash.cut(undefined);
    work();
    return { before, operations: [...this.machine.flash.operations] };
  }

  /** The newest of each kind. */
  all() {
    return { state: this.newest(STATE), log: this.newest(LOG), store: this.newest(STORE) };
  }
}

/** Hold what is found in a state that a cut left to what stood before and what was to come. */
function assertOldOrNew(
  journal: Journal,
  before: ReturnType<Journal["all"]>,
  after: typeof before,
  place: string,
) {
  const found = journal.all();
  for (const kind of ["state", "log", "store"] as const) {
    const isOld = found[kind]?.content === before[kind]?.content;
    const isNew = found[kind]?.content === after[kind]?.content;
    assert.ok(isOld || isNew, `${place}: ${kind} is ${JSON.stringify(found[kind])}`);
    const least = before[kind]?.number ?? 0;
    assert.ok((found[kind]?.number ?? 0) >= least, `${place}: the number of ${kind} fell`);
  }
  return found;
}

for (const pageLength of [256, 1024, 4096])
  for (const writeLength of [1, 4, 8])
    describe(`journal, pages of ${pageLength}, writes of ${writeLength}`, () => {
      test("records are found again, turned over in time, and their numbers run on", async () => {
        const journal = await Journal.on(pageLength, writeLength);
        assert.deepEqual(journal.all(), { state: undefined, log: undefined, store: undefined });
        const last = { [STATE]: "\0".repeat(11), [LOG]: "" };
        const count = { [STATE]: 0, [LOG]: 0 };
        const places = journal.half / PLACE;
        for (let i = 1; i <= 3 * places; i++) {
          // one state, then logs alone for more than a half: it must be carried along
          const kind = i % (2 * places) === 3 ? STATE : LOG;
          last[kind] = `n ${i}`.padEnd(11, ".");
          journal.append(kind, `n ${i}`);
          count[kind]++;
          const { state, log } = journal.all();
          // until there is one, the state is that of a device that came from the bench; it counts the turns as well
          assert.equal(state?.content, last[STATE]);
          assert.ok((state?.number as number) >= count[STATE]);
          assert.deepEqual(log, { content: last[LOG], number: count[LOG] });
          assert.ok(journal.taken().length <= places - SPARE, "places for the loader");
        }
        assert.equal(journal.machine.flash.refusedBits, 0);
        const written = journal.taken()[0];
        const seal = createHash("sha256")
          .update(journal.keys.all[1])
          .update(written.subarray(0, 16))
          .digest();
        assert.deepEqual(Buffer.from(written.subarray(16)), seal.subarray(0, 16));
      });

      test("R23 power cut at every byte of an append, and again in the next one", async () => {
        const journal = await Journal.on(pageLength, writeLength);
        const { flash } = journal.machine;
        let cuts = 0;
        let nth = 0;
        for (const kind of [STATE, LOG]) {
          journal.append(STATE, "old state");
          journal.append(LOG, "old log");
          const old = journal.all();
          const once = journal.operations(() => journal.append(kind, "new"));
          const next = journal.all();
          assert.equal(once.operations.length, 1, "one write");
          for (const { state, cut } of cutStates(once.before, once.operations)) {
            flash.load(state);
            const place = JSON.stringify(cut);
            const found = assertOldOrNew(journal, old, next, place);
            const twice = journal.operations(() => journal.append(kind, "again"));
            const end = journal.all();
            const name = kind === STATE ? "state" : "log";
            assert.equal(end[name]?.number, (found[name]?.number ?? 0) + 1, place);
            for (const second of cutStates(twice.before, twice.operations)) {
              if (nth++ % (IS_WHOLE ? 1 : 13)) continue;
              flash.load(second.state);
              assertOldOrNew(journal, found, end, `${place}, then ${JSON.stringify(second.cut)}`);
              cuts++;
            }
          }
          flash.load(once.before);
        }
        assert.ok(cuts > 200, `${cuts} cuts`);
      });

      test("R23 power cut at every byte of a turn-over, and again in the one that follows", async (context) => {
        const journal = await Journal.on(pageLength, writeLength);
        const { flash } = journal.machine;
        journal.append(STORE, "12345");
        // both halves have been used
        journal.fill(journal.half / PLACE - SPARE);
        journal.append(LOG, "turned");
        journal.fill(journal.half / PLACE - SPARE);
        const old = journal.all();
        const turn = journal.operations(() => journal.append(LOG, "new"));
        const next = journal.all();
        assert.equal(
          turn.operations.filter(({ kind }) => kind === "erase").length,
          journal.half / pageLength,
        );
        assert.equal(turn.operations.filter(({ kind }) => kind === "write").length, 4);
        assert.equal(next.state?.content, old.state?.content);
        assert.equal(next.store?.content, "12345......");
        let once = 0;
        let twice = 0;
        // of an erase not every byte is looked at, other ones each time: what is behind the cut was there before
        const every = IS_WHOLE ? 1 : pageLength / 64;
        const from = randomInt(every);
        for (const { state, cut } of cutStates(turn.before, turn.operations)) {
          const { kind, length } = turn.operations[cut.operation];
          if (kind === "erase" && cut.byte % length && (cut.byte + from) % every) continue;
          const first = Buffer.from(state);
          flash.load(first);
          const place = JSON.stringify(cut);
          const found = assertOldOrNew(journal, old, next, place);
          // a sample of the second cuts: all would be the square of the first
          if (once++ % 89 === 0) {
            const again = journal.operations(() => journal.append(STATE, "again"));
            const end = journal.all();
            assert.equal(end.state?.content, "again......");
            let nth = 0;
            for (const second of cutStates(again.before, again.operations)) {
              if (nth++ % (IS_WHOLE ? 1 : 397)) continue;
              flash.load(second.state);
              assertOldOrNew(journal, found, end, `${place}, then ${JSON.stringify(second.cut)}`);
              twice++;
            }
          }
        }
        context.diagnostic(`${once} cuts, ${twice} second ones`);
      });
    });

test("R23 a cut that is real leaves what the cut states say", async () => {
  const journal = await Journal.on(1024, 4);
  journal.append(STATE, "old");
  const { flash } = journal.machine;
  const before = Buffer.from(flash.bytes);
  for (let byte = 0; byte <= PLACE; byte++) {
    flash.load(before);
    flash.cut({ operation: 0, byte });
    assert.throws(() => journal.append(STATE, `new ${byte}`), PowerCut);
    flash.isOn = true;
    assert.equal(journal.newest(STATE)?.content, (byte < PLACE ? "old" : "new 32").padEnd(11, "."));
  }
});

test("R23 a record with one byte changed counts as none; another key's counts as none", async () => {
  const journal = await Journal.on(1024, 4);
  const { flash } = journal.machine;
  journal.append(STATE, "old");
  // the first record of all goes to the second half
  const at = journal.start + journal.half + PLACE;
  journal.append(STATE, "new");
  for (let i = 0; i < PLACE; i++) {
    const byte = flash.bytes[at + i];
    for (const bit of [1, 128]) {
      flash.bytes[at + i] = byte ^ bit;
      assert.equal(journal.newest(STATE)?.content, "old........", `byte ${i}`);
    }
    flash.bytes[at + i] = byte;
  }
  const image = Buffer.from(flash.bytes.subarray(journal.start));
  const other = await Journal.on(1024, 4);
  image.copy(other.machine.flash.bytes, other.start);
  assert.deepEqual(other.all(), { state: undefined, log: undefined, store: undefined });
  // what stands there is no record: it is erased
  other.append(LOG, "first");
  assert.equal(other.newest(LOG)?.content, "first......");
});

test("without a whole key record nothing is written and nothing found", async () => {
  const journal = await Journal.on(1024, 4, "k".repeat(16));
  const { before, operations } = journal.operations(() => journal.append(STATE, "x"));
  assert.deepEqual(operations, []);
  assert.ok(before.equals(journal.machine.flash.bytes));
  assert.equal(journal.newest(STATE), undefined);
});
