// What hangs, on simulated boards: the loader arms the chip's watchdog before any image runs, an image that hangs goes back by
// itself, one that is not confirmed is not fed past its deadline. The real interpreter: watchdog.engine.test.ts.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Machine } from "../../hal/simulator/machine";
import type { SimulatedBoard } from "../../scripts/lib/test/device";
import {
  askObject,
  bootFactory,
  eraseAuthorised,
  isPromptOpen,
  newKeys,
} from "../../scripts/lib/test/factory";
import { makeMachine, readState, setState } from "../../scripts/lib/test/slots";
import { NOT_CONFIRMED } from "../tls/alert";

/** What hangs longer than that on this machine hangs. */
const HANG_MS = 1000;
const keys = newKeys();
const A = { code: 'let mark="A"', sequence: 1 };

const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

/** A board whose slot 1 has an image to try. */
async function trialOf(code: string, board: SimulatedBoard = "mdbt42q-w5500-sim"): Promise<Machine> {
  const machine = await makeMachine(board, {
    ...{ images: [A, { code, sequence: 2 }], keys, machine: { hangMs: HANG_MS } },
  });
  machines.push(machine);
  setState(machine, keys, { active: 1, attempts: 1, floor: 0 });
  return machine;
}

/** Wait until something holds on the board. */
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; !condition(); await turn())
    assert.ok(Date.now() < deadline, "it never came about");
}

const isBack = (machine: Machine) => machine.isOn && machine.run("typeof mark") === "string";

for (const [where, code] of [
  ["at its start", "for(;;);"],
  ["in an event", "setTimeout(()=>{for(;;);},1)"],
  ["in a command", 'Serial1.on("data",()=>{for(;;);})'],
])
  test(`R32 an image that hangs ${where} is left by itself`, async () => {
    const machine = await trialOf(code);
    machine.boot();
    while (!isBack(machine)) {
      if (/command/.test(where)) machine.type("x", "Serial1");
      await turn();
      assert.equal(machine.hangs, false);
    }
    assert.equal(machine.run("slot"), 0);
    assert.equal(readState(machine, keys)?.reason, NOT_CONFIRMED);
  });

/** Time that a test lets pass. */

test("R32 an image that is not confirmed is fed to its deadline, and started anew", async () => {
  const machine = await trialOf("let runs=1");
  machine.boot();
  const { watchdog } = machine.runtime;
  assert.deepEqual([watchdog.seconds, watchdog.isAutomatic], [300, false]);
  await machine.later(1_199_000);
  assert.equal(machine.runtime.watchdog, watchdog, "it still runs");
  assert.equal(watchdog.kicks, 99);
  await machine.later(1_000);
  assert.notEqual(machine.runtime.watchdog, watchdog);
  assert.equal(readState(machine, keys)?.attempts, 3);
});

test("R32 an image that stops the timer of its trial is not fed any more", async () => {
  const machine = await trialOf("clearInterval(trial)");
  machine.boot();
  const { watchdog } = machine.runtime;
  await machine.later(299_000);
  assert.equal(machine.runtime.watchdog, watchdog);
  await machine.later(2_000);
  assert.notEqual(machine.runtime.watchdog, watchdog);
  assert.equal(machine.run("peek32(0x40000400)"), 2, "the reset's cause");
});

test("R32 a confirmed image, a blank device and one without an image are fed by the idle loop", async () => {
  for (const options of [
    { images: [A, undefined], keys },
    { images: [A, undefined] },
    { images: [undefined, undefined], keys },
  ] as const) {
    const machine = await makeMachine("esp32-sim", options);
    machines.push(machine);
    machine.boot();
    assert.deepEqual([machine.runtime.watchdog.seconds, machine.runtime.watchdog.isAutomatic], [300, true]);
  }
});

test("R32 R30 the watchdog of the nRF52 goes on over the reset's restart: at the prompt it is fed, too", async () => {
  const own = newKeys();
  const device = await bootFactory("mdbt42q-w5500-sim", { key: own.record.toString("latin1") });
  machines.push(device.machine);
  await eraseAuthorised(device, own.console);
  assert.equal(isPromptOpen(device), true);
  assert.deepEqual(
    [device.machine.runtime.watchdog.seconds, device.machine.runtime.watchdog.isAutomatic],
    [300, true],
  );
});

test("R32 a W5500 without a cable hangs at its first call: the chip starts anew, and says why", async () => {
  const own = newKeys();
  const network = { up: false, noCable: true };
  const device = await bootFactory(
    "mdbt42q-w5500-sim",
    { key: own.record.toString("latin1") },
    { network, hangMs: HANG_MS },
  );
  const { machine } = device;
  machines.push(machine);
  const { runtime } = machine;
  await until(() => machine.runtime !== runtime);
  network.noCable = false;
  await until(() => !!machine.value("retry"));
  assert.ok(Number((await askObject(device, "cnt")).boots) >= 2);
  assert.equal(machine.hangs, false);
});
