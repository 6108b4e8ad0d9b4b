// Every step that firmware/app/steps.ts names has its words.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as steps from "../../../firmware/app/steps";
import { HANDSHAKE_STEPS, STEP_UP, stepText } from "./step_text";

test("every step of the device has its words, each another", () => {
  const numbers = Object.values(steps);
  assert.ok(numbers.length >= 11);
  for (const step of numbers) assert.doesNotMatch(stepText(step).doing, /knows nothing/);
  assert.equal(new Set(numbers.map((step) => stepText(step).word)).size, numbers.length);
  assert.match(stepText(Math.max(...numbers) + 1).doing, /knows nothing/);
  assert.equal(steps.STEP_UP, STEP_UP);
  assert.equal(HANDSHAKE_STEPS[0], steps.STEP_NET);
});
