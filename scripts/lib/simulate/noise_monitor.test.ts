// The figures that are shown of the noise, on every model that the simulator has.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NOISE_MODELS } from "../../../hal/simulator/noise";
import { NoiseMonitor } from "./noise_monitor";

function watch(model: keyof typeof NOISE_MODELS, words = 64): NoiseMonitor {
  const monitor = new NoiseMonitor(NOISE_MODELS[model](), 0.3);
  for (let i = 0; i < words; i++) monitor.word();
  return monitor;
}

test("R13 healthy noise is shown as such, with its figures", () => {
  const monitor = watch("healthy", 320);
  assert.ok(monitor.healthy);
  assert.equal(monitor.words, 320);
  assert.ok(Math.abs(monitor.ones - 5120) < 500);
  assert.deepEqual([monitor.runCutoff, monitor.alikeCutoff], [68, 890]);
});

test("R13 noise that is high, biased, dead or dying is not", () => {
  for (const model of ["high", "biased", "dead"] as const) assert.ok(!watch(model).healthy, model);
  assert.ok(!watch("dying", 5000).healthy);
});

test("the words pass through unchanged", () => {
  const monitor = new NoiseMonitor(NOISE_MODELS.repeating(), 0.3);
  assert.deepEqual([monitor.word(), monitor.word()], [0x3b1e94d7, 0xc5a2605d]);
});
