// The loader on simulated boards: which slot starts from which state, what is counted, what is never started, and what it
// does where power fails. Images here are programs of one line; update.test.ts has the firmware's own.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, test } from "node:test";
import type { Machine } from "../../hal/simulator/machine";
import { bundleOf, SIMULATED_BOARDS, type SimulatedBoard } from "../../scripts/lib/test/device";
import { newKeys, settled } from "../../scripts/lib/test/factory";
import { cutPower, isWhole } from "../../scripts/lib/test/power_cuts";
import {
  journalAt,
  makeMachine,
  readState,
  type SlotsOptions,
  setState,
  slotStart,
  stateRecord,
  type TestState,
} from "../../scripts/lib/test/slots";
import { IMAGE_DIGEST, NO_IMAGE, NOT_CONFIRMED } from "../tls/alert";

const BOARD = "esp32-sim";
const keys = newKeys();
const A = { code: 'print("A",slot)', sequence: 1 };
const B = { code: `print("B",slot)/*${"b".repeat(600)}*/`, sequence: 2 };

const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

/** A machine, and what its console says in a start. */
async function boardWith(options: SlotsOptions, name: SimulatedBoard = BOARD) {
  const lines: string[] = [];
  const machine = await makeMachine(name, { ...options, machine: { onPrint: (line) => lines.push(line) } });
  machines.push(machine);
  const start = async (): Promise<string> => {
    lines.length = 0;
    machine.boot();
    await settled();
    return lines.join("|");
  };
  return { machine, start, lines };
}

const isOpen = (machine: Machine) => machine.run("E.getConsole()") === machine.board.consolePort;

test("R23 an image that does nothing at all is ended each time, and the old one comes back by itself", async () => {
  const { machine } = await boardWith({
    ...{ images: [mark("A"), { code: "let idle=1", sequence: 2 }], keys, defines: { TRIAL_MS: 20 } },
  });
  setState(machine, keys, { active: 1, attempts: 1, floor: 7 });
  machine.boot();
  for (const deadline = Date.now() + 20_000; machine.run("slot") !== 0 && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(machine.run("slot"), 0);
  assert.equal(machine.run("typeof trial"), "undefined");
  assert.equal(readState(machine, keys)?.reason, NOT_CONFIRMED);
});

for (const name of SIMULATED_BOARDS) {
  test(`R27 a blank device starts nothing and its prompt is open, on ${name}`, async () => {
    const { machine, start } = await boardWith({ images: [A, B] }, name);
    assert.equal(machine.flash.bytes.indexOf("print("), slotStart(machine, 0), "slots begin at their page");
    assert.equal(await start(), "");
    assert.equal(isOpen(machine), true);
  });

  test(`the bench's image starts from its slot; nothing is written, nothing left behind, on ${name}`, async () => {
    // the port is taken: what runs prints nowhere, so it leaves a mark
    const code = 'let mark=Object.keys(global).join()+","+slot';
    const { machine, start } = await boardWith({ images: [{ code }, undefined], keys }, name);
    const before = Buffer.from(machine.flash.bytes);
    await start();
    assert.equal((machine.run("mark") as string).replace(/^eval,Function,global,/, ""), "slot,mark,0");
    assert.equal(isOpen(machine), false);
    assert.ok(before.equals(machine.flash.bytes));
  });

  test(`R23 three starts, then the old image is back with the reason, on ${name}`, async () => {
    const { machine, start } = await boardWith({ images: [mark("A"), mark("B")], keys }, name);
    const { slotBytes } = machine.board;
    setState(machine, keys, { active: 1, attempts: 1, floor: 7 });
    for (const [runs, expected] of [
      [`B${slotBytes}`, { active: 1, attempts: 2, reason: 0 }],
      [`B${slotBytes}`, { active: 1, attempts: 3, reason: 0 }],
      [`B${slotBytes}`, { active: 1, attempts: 4, reason: 0 }],
      ["A0", { active: 0, attempts: 0, reason: NOT_CONFIRMED }],
      ["A0", { active: 0, attempts: 0, reason: NOT_CONFIRMED }],
    ] as const) {
      await start();
      assert.equal(machine.run("mark"), runs);
      const { number: _, ...state } = readState(machine, keys) as TestState;
      assert.deepEqual(state, { ...expected, floor: 7 });
    }
    assert.equal(machine.flash.refusedBits, 0);
  });

  test(`R24 no whole image: the port is taken and says why, on ${name}`, async () => {
    const { machine, start, lines } = await boardWith({ images: [undefined, undefined], keys }, name);
    const before = Buffer.from(machine.flash.bytes);
    assert.equal(await start(), "");
    assert.equal(isOpen(machine), false);
    for (const bytes of ["x", "\x03\x03\n", 'print("open")\n']) machine.type(bytes);
    await settled();
    assert.deepEqual(lines, [`E${NO_IMAGE}`, `E${NO_IMAGE}`, `E${NO_IMAGE}`]);
    assert.ok(before.equals(machine.flash.bytes));
  });
}

/** A program that says who it is where a test can see it. */
function mark(name: string, sequence = 1) {
  return { code: `let mark="${name}"+slot/*${"x".repeat(520)}*/`, sequence };
}

test("with a key alone slot 0 runs, and the prompt is open", async () => {
  const { machine, start } = await boardWith({ images: [A, B], files: {} });
  machine.powerOff();
  const other = await boardWith({ images: [A, B], keys: { ...keys, record: keys.all[0] } });
  assert.equal(await other.start(), "A 0");
  assert.equal(isOpen(other.machine), true);
  assert.equal(await start(), "");
});

test("R24 every byte of a slot changed: the other slot starts, or the same whole image", async () => {
  const { machine, start } = await boardWith({ images: [mark("A"), mark("B")], keys });
  setState(machine, keys, { active: 1, floor: 3 });
  await start();
  assert.equal(machine.run("mark"), "B32768");
  const whole = Buffer.from(machine.flash.bytes);
  const from = slotStart(machine, 1);
  const length = mark("B").code.length;
  const manifest = 32768 - 128;
  let reverted = 0;
  const places = [...Array(length).keys(), ...Array.from({ length: 128 }, (_, i) => manifest + i)];
  for (const at of places) {
    machine.powerOff();
    machine.flash.load(whole);
    machine.flash.bytes[from + at] ^= 1 << (at % 8);
    await start();
    const what = machine.run("mark");
    // what the image is, its length's low half and its digest say
    const counts =
      at < length || [14, 15].includes(at - manifest) || (at - manifest >= 32 && at - manifest < 64);
    assert.equal(what, counts ? "A0" : "B32768", `byte ${at}`);
    const state = readState(machine, keys);
    assert.deepEqual([state?.active, state?.reason], counts ? [0, IMAGE_DIGEST] : [1, 0]);
    if (counts) reverted++;
  }
  assert.equal(reverted, length + 34);
});

test("R24 any byte of the firmware's own image changed: the other slot starts", async () => {
  const { code } = await bundleOf(BOARD, "scripts/lib/test/apps/update_app.ts");
  const { machine, start } = await boardWith({ images: [mark("A"), { code }], keys });
  setState(machine, keys, { active: 1, floor: 3 });
  await start();
  assert.equal(machine.run("slot"), 32768);
  const whole = Buffer.from(machine.flash.bytes);
  const from = slotStart(machine, 1);
  // every byte: `make powercuts`
  const stride = process.env.POWERCUTS === "all" ? 1 : 67;
  for (let at = randomInt(stride); at < code.length; at += stride) {
    machine.powerOff();
    machine.flash.load(whole);
    machine.flash.bytes[from + at] ^= 1 << randomInt(8);
    await start();
    assert.equal(machine.run("mark"), "A0", `byte ${at}`);
  }
});

test("R24 a pending image that is broken is never started; both broken: the reason stays", async () => {
  const { machine, start } = await boardWith({ images: [mark("A"), mark("B")], keys });
  setState(machine, keys, { active: 1, attempts: 1, floor: 3 });
  machine.flash.bytes[slotStart(machine, 1) + 20] ^= 4;
  await start();
  assert.equal(machine.run("mark"), "A0");
  const { number: _, ...state } = readState(machine, keys) as TestState;
  assert.deepEqual(state, { active: 0, attempts: 0, reason: IMAGE_DIGEST, floor: 3 });
  // the old one is broken too, and the new one was started in vain: it is all there is
  const other = await boardWith({ images: [mark("A"), mark("B")], keys });
  setState(other.machine, keys, { active: 1, attempts: 4 });
  other.machine.flash.bytes[slotStart(other.machine, 0)] ^= 1;
  await other.start();
  assert.equal(other.machine.run("mark"), "B32768");
  assert.equal(readState(other.machine, keys)?.attempts, 0);
});

test("R23 a start that cannot be counted is none that is made", async () => {
  const { machine, start } = await boardWith({ images: [mark("A"), mark("B")], keys });
  const at = journalAt(machine);
  // power failed in every record but the first
  for (let i = 0; i < machine.board.journalLength; i += 32) machine.flash.bytes[at + i] = 0;
  stateRecord(keys, { active: 1, attempts: 1 }).copy(machine.flash.bytes, at);
  const before = Buffer.from(machine.flash.bytes);
  await start();
  assert.equal(machine.run("mark"), "A0");
  assert.ok(before.equals(machine.flash.bytes));
});

test("R23 the keys of another device seal nothing here", async () => {
  const { machine, start } = await boardWith({ images: [mark("A"), mark("B")], keys });
  setState(machine, newKeys(), { active: 1 });
  await start();
  assert.equal(machine.run("mark"), "A0");
});

for (const pageLength of [256, 1024, 4096])
  for (const writeLength of [1, 4, 8])
    test(`R23 power fails at every byte that the loader writes, once and twice: pages of ${pageLength}, writes of ${writeLength}`, async (t) => {
      const board = { pageLength, writeLength };
      const { machine } = await boardWith({ images: [mark("A"), mark("B")], keys, board });
      for (const attempts of [1, 4]) {
        machine.flash.bytes.fill(0xff, journalAt(machine));
        setState(machine, keys, { active: 1, attempts, floor: 9 });
        const before = Buffer.from(machine.flash.bytes);
        const report = await cutPower(
          {
            machine,
            sample: 97,
            prepare: () => {
              machine.powerOff();
              machine.flash.load(before);
            },
            operate: async () => {
              machine.boot();
              await settled();
            },
            judge: async (place) => {
              const state = readState(machine, keys) as TestState;
              assert.ok(["A0", "B32768"].includes(machine.run("mark") as string), place);
              assert.equal(machine.run("mark"), state.active ? "B32768" : "A0", place);
              assert.equal(state.floor, 9);
              // within four starts the attempt is over; of all states that two cuts leave, a part is seen through
              if (isWhole() && randomInt(16)) return;
              for (let i = 0; i < 4; i++) {
                machine.boot();
                await settled();
              }
              assert.equal(machine.run("mark"), "A0", place);
              const end = readState(machine, keys);
              assert.deepEqual([end?.active, end?.attempts, end?.reason], [0, 0, NOT_CONFIRMED], place);
            },
          },
          t,
        );
        assert.ok(report.once > 32);
      }
    });
