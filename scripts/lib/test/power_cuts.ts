// Power cuts on a simulated board: in an operation, before, inside after each byte (the next one whole or torn) and after
// each thing that it does to the flash; and again in all that the next start does, wherever the first cut was. Every state
// is laid out (nor_flash.ts), started and judged once: the same flash leads to the same start, and what was walked through
// from the same state before brings the same states. Now and then a state is reached by a real cut, and must be the same.
// POWERCUTS=all in the environment starts all that two cuts leave, else a course's sample of it.
// Leaves out what a cut does to RAM and clocks, and third cuts.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";
import type { Machine } from "../../../hal/simulator/machine";
import { type Cut, cutStates, type FlashOperation } from "../../../hal/simulator/nor_flash";
import { startWith } from "./factory";

/** An operation of a device, and what must hold wherever power fails in it. */
export interface Course {
  machine: Machine;
  /** Bring the device to where the operation begins, its power on or off: to the same flash each time. */
  prepare(): void | Promise<void>;
  /** Do the operation, until nothing more comes of it; where power is cut in it, until it is off. */
  operate(): void | Promise<void>;
  /**
   * Start the device with this in its flash, the power cut where it says, and wait until nothing more comes of it. Gives
   * what was done to the flash. Default: startWith, which boots.
   */
  start?(state: Buffer, cut?: Cut): Promise<FlashOperation[]>;
  /** Judge the device that has started: throws. It may be used as one likes. */
  judge(place: string): void | Promise<void>;
  /** Every how manieth of the states that a second cut leaves is started without POWERCUTS=all. */
  sample: number;
}

/** What came of a course, counts. */
export interface CutReport {
  /** Flash operations of the operation itself. */
  operations: number;
  /** Cuts in it. */
  once: number;
  /** Cuts in it with one more in what the next start does. */
  twice: number;
  /** States of flash that were started and judged: after one cut, after two. */
  started: [number, number];
  /** States that a real cut reached as well. */
  cutReally: number;
}

/** Every how manieth state that is started is reached by a real cut before. */
const REAL_CUTS = 50;
const CUTS = 2;
// asked for each state, and reading the environment is slow
const IS_WHOLE = process.env.POWERCUTS === "all";

/** Cut the power everywhere in a course, once and twice, and tell the numbers as a diagnostic of the test. */
export async function cutPower(course: Course, test: TestContext): Promise<CutReport> {
  const startedAt = performance.now();
  const { report } = await new PowerCuts(course).run();
  const { operations, once, twice, started, cutReally } = report;
  test.diagnostic(
    `${operations} flash operations: ${once} cuts (${started[0]} states started), ${twice} second cuts (${started[1]} ` +
      `states started${isWhole() ? "" : ", a sample"}), ${cutReally} cut really, ` +
      `${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
  );
  return report;
}

/** Whether all second cuts are asked for. */
export function isWhole(): boolean {
  return IS_WHOLE;
}

/** Which state of flash it is: two sums over (address, value) of the bytes that differ from the first, which is 0 and 0. */
class StateKey {
  constructor(
    private a = 0,
    private b = 0,
  ) {}

  changed(at: number, from: number, to: number): StateKey {
    const place = at << 8;
    return new StateKey(
      this.a ^ mix(place | from) ^ mix(place | to),
      this.b ^ mix(~(place | from)) ^ mix(~(place | to)),
    );
  }

  toString(): string {
    return `${this.a} ${this.b}`;
  }
}

function isSame(one: FlashOperation, other: FlashOperation): boolean {
  return one.offset === other.offset && one.result.equals(other.result);
}

/** Spread a number over 32 bits (the finaliser of MurmurHash3). */
function mix(number: number): number {
  let hash = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

class PowerCuts {
  readonly report: CutReport = { operations: 0, once: 0, twice: 0, started: [0, 0], cutReally: 0 };
  /** States that are done with, and the cuts that were still to come in what follows them. */
  private done = new Map<string, number>();
  /** Operations from a state to another that are done with: the same, and how many cuts they have. */
  private walked = new Map<string, { cutsLeft: number; cuts: number }>();
  private secondStates = 0;
  /** Bits that are torn in a byte: the same each time that it is written. */
  private seed = randomInt(2 ** 31);
  private torn = (at: number) => mix(at ^ this.seed) & 255;
  /** A flash's copies, by what they are for: of one that is made anew each time, the memory takes longer than the test. */
  private copies = new Map<string, Buffer>();

  constructor(private readonly course: Course) {}

  async run(): Promise<this> {
    const before = Buffer.from(await this.operate());
    const operations = [...this.course.machine.flash.operations];
    this.report.operations = operations.length;
    const reach = async (cut: Cut) => {
      assert.ok(
        (await this.operate(cut)).equals(before),
        "the operation begins with the same flash each time",
      );
    };
    await this.cutIn(before, new StateKey(), operations, "", CUTS, reach);
    this.course.machine.powerOff();
    return this;
  }

  private copy(what: string, flash: Buffer): Buffer {
    let copy = this.copies.get(what);
    if (!copy) {
      copy = Buffer.alloc(flash.length);
      this.copies.set(what, copy);
    }
    flash.copy(copy);
    return copy;
  }

  /** Do the operation. Gives what the flash held before it. */
  private async operate(cut?: Cut): Promise<Buffer> {
    const { machine } = this.course;
    await this.course.prepare();
    const before = this.copy("before", machine.flash.bytes);
    machine.cutPower(cut);
    await this.course.operate();
    machine.powerOff();
    return before;
  }

  private async start(state: Buffer, cut?: Cut): Promise<FlashOperation[]> {
    const { machine, start } = this.course;
    return [...(start ? await start(state, cut) : await startWith(machine, state, cut))];
  }

  /** Cut in operations that were done to the flash `before`; `reach` does them again with a real cut. */
  private async cutIn(
    before: Buffer,
    key: StateKey,
    operations: readonly FlashOperation[],
    places: string,
    cutsLeft: number,
    reach: (cut: Cut) => Promise<unknown>,
  ): Promise<void> {
    const { report } = this;
    const state = this.copy(`walked, ${cutsLeft}`, before);
    for (const [nth, operation] of operations.entries()) {
      const { offset, length, result } = operation;
      let after = key;
      for (let i = 0; i < length; i++) after = after.changed(offset + i, state[offset + i], result[i]);
      const walk = `${key} ${offset} ${length} ${after}`;
      let { cuts, cutsLeft: known } = this.walked.get(walk) ?? { cuts: 0, cutsLeft: 0 };
      if (known < cutsLeft) {
        cuts = 0;
        for (const { state: cutState, key: cutKey, cut } of this.statesIn(state, key, operation)) {
          cuts++;
          if (!this.isNew(cutKey, cutsLeft)) continue;
          const place = { ...cut, operation: nth };
          await this.judge(
            this.copy(`cut, ${cutsLeft}`, cutState),
            cutKey,
            place,
            places,
            cutsLeft,
            async (cut) => {
              await reach(cut);
              // a device may note something earlier or later than the last time, a lost server for example
              const { operations: done, interrupted } = this.course.machine.flash;
              if (!interrupted) return false;
              return [...done, interrupted].every((each, i) => isSame(each, operations[i]));
            },
          );
        }
        this.walked.set(walk, { cuts, cutsLeft });
      }
      if (cutsLeft === CUTS) report.once += cuts;
      else report.twice += cuts;
      result.copy(state, offset);
      key = after;
    }
  }

  /** Lay out, in place, the states that cuts in one operation leave, with their keys. */
  private *statesIn(flash: Buffer, key: StateKey, operation: FlashOperation) {
    const { offset, length, result } = operation;
    const old = Buffer.from(flash.subarray(offset, offset + length));
    let whole = 0;
    for (const { state, cut } of cutStates(flash, [operation], this.torn, flash)) {
      for (; whole < cut.byte; whole++) key = key.changed(offset + whole, old[whole], result[whole]);
      const at = offset + whole;
      yield { state, cut, key: cut.torn === undefined ? key : key.changed(at, old[whole], state[at]) };
    }
  }

  /** Whether a state is to be started; from then on it is not. */
  private isNew(key: StateKey, cutsLeft: number): boolean {
    const text = key.toString();
    if ((this.done.get(text) ?? 0) >= cutsLeft) return false;
    this.done.set(text, cutsLeft);
    return cutsLeft === CUTS || isWhole() || this.secondStates++ % this.course.sample === 0;
  }

  private async judge(
    state: Buffer,
    key: StateKey,
    cut: Cut,
    places: string,
    cutsLeft: number,
    reach: (cut: Cut) => Promise<boolean>,
  ): Promise<void> {
    const { report, course } = this;
    const place = `${places}${JSON.stringify(cut)}`;
    const { flash } = course.machine;
    if (report.started[CUTS - cutsLeft]++ % REAL_CUTS === 0) {
      if (await reach(cut)) {
        assert.ok(flash.bytes.equals(state), `${place}: a real cut leaves another state`);
        report.cutReally++;
      }
    }
    const operations = await this.start(state);
    await course.judge(place);
    course.machine.powerOff();
    if (cutsLeft > 1)
      await this.cutIn(state, key, operations, `${place}, then `, cutsLeft - 1, (second) =>
        this.start(state, second),
      );
  }
}
