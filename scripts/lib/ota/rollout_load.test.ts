// A rollout of 2,000 light devices through Mosquitto with the plugin; `make rollout-report` has 100,000. Rows 28 and 35 of the requirements.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { skipWithoutPlugin } from "../test/doors";
import { runLoad } from "../test/rollout_load";

describe("2,000 light devices", { skip: skipWithoutPlugin() }, () => {
  const load = {
    ...{ devices: 2000, processes: 2, perSecond: 2000 },
    ...{ telemetryMs: 5000, takeMs: 500, shares: [5, 100] },
  };

  test("R35 a rollout loses none: each is confirmed or failed", async () => {
    const figures = await runLoad({ ...load, failing: 2, stopAt: 10 });
    assert.equal(figures.stopped, undefined);
    assert.deepEqual([figures.confirmed, figures.failed, figures.silent], [1960, 40, 0]);
  });

  test("R28 it stops within 2 % of its limit", async () => {
    const { stopped, ring } = await runLoad({ ...load, shares: [100], failing: 20, stopAt: 10 });
    assert.match(stopped ?? "", /201 failed of 2000 devices of ring 1, more than 10 %/);
    assert.ok(ring.failed > 200 && ring.failed <= 204, String(ring.failed));
  });
});
