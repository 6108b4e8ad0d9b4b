// The harness of power cuts finds what it is for: a program that one cut does not harm and two do, with the place of both; and
// it counts, and starts no state of flash twice.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Board } from "../../../boards/board";
import { Machine } from "../../../hal/simulator/machine";
import { readBoard } from "../bundle/build";
import { type Course, type CutReport, cutPower } from "./power_cuts";

/** Three bytes in a page behind all files: A asks for work, which sets B, then C. */
const AT = 0x75000;
const [A, B, C] = [0, 4, 8];
const PAGES = `const pages=require("Flash"),word=n=>pages.read(4,${AT}+n)[0],clear=n=>pages.write("\\0\\xff\\xff\\xff",${AT}+n);`;

/** A device that does its work at the start where `condition` says that there is some. */
async function course(condition: string): Promise<Course & { starts: number }> {
  const board = (await readBoard("mdbt42q-w5500-sim")) as unknown as Board;
  const machine = new Machine({
    board,
    bundle: `{${PAGES}if(${condition}){clear(${B});clear(${C})}}`,
  });
  const image = Buffer.from(machine.flash.bytes);
  const at = (n: number) => machine.flash.bytes[AT - board.storageStart + n];
  const made = {
    machine,
    starts: 0,
    sample: 1,
    prepare() {
      machine.powerOff();
      machine.flash.load(image);
      machine.boot();
    },
    operate: () => void attempt(() => machine.run(`{${PAGES}clear(${A})}`)),
    judge(place: string) {
      made.starts++;
      assert.equal(at(B) === 0, at(C) === 0, place);
      if (at(A) === 0) assert.equal(at(C), 0, place);
    },
  };
  return made;
}

/** Do what the power may fail in. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    assert.match(String(error), /the power is cut/);
  }
}

const quiet = { diagnostic() {} } as unknown as TestContext;

test("R23 what one cut does not harm and two do is found, with the places of both", async () => {
  const harmed = await course(`word(${A})==0&&word(${B})!=0`);
  await assert.rejects(cutPower(harmed, quiet), (error: Error) => {
    assert.match(error.message, /^\{"operation":0,.*\}, then \{"operation":0,"byte":1\}/);
    return true;
  });
  const sound = await course(`word(${A})==0&&word(${C})!=0`);
  const report: CutReport = await cutPower(sound, quiet);
  assert.equal(report.operations, 1);
  // four bytes, before, inside and after; of three no bit changes, and so none is torn
  assert.ok(report.once === 5 || report.once === 6, `${report.once} cuts`);
  assert.ok(report.twice >= 10, `${report.twice} second cuts`);
  assert.equal(sound.starts, report.started[0] + report.started[1]);
  assert.ok(sound.starts < report.once + report.twice, "equal states are started once");
  assert.ok(report.cutReally >= 2);
});

test("R23 an operation that begins with another flash each time is refused", async () => {
  const drifting = await course(`word(${A})==0&&word(${C})!=0`);
  const { prepare } = drifting;
  let count = 0;
  drifting.prepare = () => {
    prepare();
    drifting.machine.flash.bytes[0x5000] = count++;
  };
  await assert.rejects(cutPower(drifting, quiet), /begins with the same flash/);
});
