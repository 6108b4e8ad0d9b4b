// The simulator's clock: timers in the order of their moments, what one sets off before the next, time that is held but for later().
import assert from "node:assert/strict";
import { test } from "node:test";
import { board as esp32 } from "../../boards/esp32-sim";
import { Clock } from "./clock";
import { Machine } from "./machine";

/** A held clock, and what its timers tell with their moments. */
function held() {
  const clock = new Clock();
  clock.hold();
  const start = clock.now();
  const told: [string, number][] = [];
  const tell = (name: string) => () => void told.push([name, clock.now() - start]);
  return { clock, told, tell };
}

test("timers come in the order of their moments, each at its own, and those that they set among them", async () => {
  const { clock, told, tell } = held();
  clock.set(tell("late"), 3_600_000);
  clock.set(() => {
    tell("first")();
    clock.set(tell("set by the first"), 5);
  }, 10);
  clock.set(tell("again"), 7, true);
  clock.set(tell("beyond"), 22);
  await clock.later(21);
  assert.deepEqual(told, [
    ["again", 7],
    ["first", 10],
    ["again", 14],
    ["set by the first", 15],
    ["again", 21],
  ]);
  await clock.later(1);
  assert.deepEqual(told.at(-1), ["beyond", 22]);
});

test("a timer that is cleared does not come, not even by one of the same moment", async () => {
  const { clock, told, tell } = held();
  clock.set(() => clock.clear(second), 5);
  const second = clock.set(tell("second"), 5);
  await clock.later(100);
  assert.deepEqual(told, []);
});

test("held time stands still; time that is not held goes on by itself and jumps", async () => {
  const { clock, told, tell } = held();
  clock.set(tell("held"), 1);
  const running = new Clock();
  const before = running.now();
  await new Promise<void>((done) => running.set(done, 20));
  assert.ok(running.now() - before >= 20);
  assert.deepEqual(told, []);
  const hour = new Promise<void>((done) => running.set(done, 3_600_000));
  await running.later(3_600_000);
  await hour;
  assert.ok(running.now() - before >= 3_600_020);
});

test("a board's getTime, timers and restarts go by its clock", async () => {
  const lines: string[] = [];
  const machine = new Machine({
    board: esp32,
    bundle: `var t = getTime(); setTimeout(function () { print(Math.round(getTime() - t)); E.reboot(); }, 60000); print("on");`,
    onPrint: (line) => lines.push(line),
  });
  machine.clock.hold();
  machine.boot();
  await machine.later(150_000);
  assert.deepEqual(lines, ["on", "60", "on", "60", "on"]);
  machine.powerOff();
  await machine.later(150_000);
  assert.equal(lines.length, 5);
});
