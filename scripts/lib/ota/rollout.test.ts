// Rollouts through the gateway's broker. What devices say is said by the test, as they would: lines of telemetry on their
// topics. Real boards take real updates in scripts/start.test.ts. Rows 20, 21 and 28 of the requirements.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import { connectAsync, type MqttClient } from "mqtt";
import { IMAGE_DIGEST, MANIFEST_SEQUENCE, MANIFEST_TAG, NOT_CONFIRMED } from "../../../firmware/tls/alert";
import { DeviceError, UsageError } from "../cli/exit";
import { masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { randomKey } from "../keys/weak_keys";
import { PROJECT } from "../project";
import { nodeArguments } from "../test/program";
import { retainedUnder } from "../test/retained";
import { startScriptedBroker } from "../test/scripted_broker";
import { testManifests, testUpdate } from "../test/update";
import { Broker } from "./broker";
import { type DeviceStatus, Fleet } from "./fleet";
import { failuresOf, outcomeOf, planRings, runRollout } from "./rollout";
import { type Plan, type RolloutEvent, RolloutState } from "./rollout_state";
import { fleetTable } from "./tables";

const folder = mkdtempSync(join(tmpdir(), "rollout-"));
after(() => rmSync(folder, { recursive: true }));

describe("rings", () => {
  const serials = Array.from({ length: 1000 }, (_, i) => `SN${i}`);
  const digest = Buffer.alloc(32, 5);

  test("shares are of all, each device is in one ring, and the draw is the image's", () => {
    const rings = planRings(serials, digest, [], [1, 10, 100]);
    assert.deepEqual(
      rings.map((ring) => ring.length),
      [10, 90, 900],
    );
    assert.deepEqual(rings.flat().sort(), [...serials].sort());
    assert.deepEqual(planRings([...serials].reverse(), digest, [], [1, 10, 100]), rings);
    assert.notDeepEqual(planRings(serials, Buffer.alloc(32, 6), [], [1, 10, 100])[0].sort(), rings[0].sort());
  });

  test("lists come first, and shares are of the others; a small fleet has fewer rings", () => {
    const rings = planRings(serials, digest, [["SN7", "SN8"], ["SN9"]], [50, 100]);
    assert.deepEqual(rings.slice(0, 2), [["SN7", "SN8"], ["SN9"]]);
    assert.deepEqual([rings[2].length, rings[3].length], [499, 498]);
    assert.deepEqual(planRings(["SN1"], digest, [], [1, 10, 100]), [["SN1"]]);
  });

  test("what cannot be meant is refused", () => {
    for (const shares of [[], [10], [10, 5, 100], [0, 100], [10, 10, 100], [50, 101]])
      assert.throws(() => planRings(serials, digest, [], shares), UsageError, String(shares));
    assert.throws(() => planRings(serials, digest, [["SNX"]], [100]), /SNX of a ring has no manifest/);
    assert.throws(() => planRings(serials, digest, [["SN1"], ["SN1"]], [100]), /in two rings/);
  });
});

describe("what a device's word means", () => {
  const offeredMs = 1_000_000;
  const said = (name: string, payload: string, nowMs = offeredMs + 60_000) => {
    const device = new Fleet("meter").take(`meter/SN1/up/${name}`, payload, nowMs);
    return device && outcomeOf(device, 7, { atMs: offeredMs });
  };

  test("the new sequence or a later one is confirmed, an older one nothing yet", () => {
    assert.deepEqual(said("status", '{"up":5,"mem":300,"err":0,"seq":7,"rev":0}'), { result: "confirmed" });
    assert.deepEqual(said("status", '{"up":5,"seq":8}'), { result: "confirmed" });
    assert.equal(said("status", '{"up":5,"mem":300,"err":0,"seq":6,"rev":0}'), undefined);
  });

  test("a reason to have gone back counts where it began anew since, not where it is an old story", () => {
    assert.deepEqual(said("status", `{"up":5,"seq":6,"rev":${NOT_CONFIRMED}}`), {
      ...{ result: "failed", code: NOT_CONFIRMED },
    });
    assert.equal(said("status", `{"up":61,"seq":6,"rev":${NOT_CONFIRMED}}`), undefined);
  });

  /** What a fleet makes of lines about SN1, told a minute apart, the first a minute after the offer. */
  const told = (heard: { boots: number; reverted: number } | undefined, ...lines: [string, object][]) => {
    const fleet = new Fleet("meter");
    let nowMs = offeredMs;
    for (const [name, line] of lines)
      fleet.take(`meter/SN1/up/${name}`, JSON.stringify(line), (nowMs += 60_000));
    const device = fleet.devices.get("SN1") as DeviceStatus;
    return outcomeOf(device, 7, { atMs: offeredMs }, heard);
  };
  const left = { seq: 6, rev: NOT_CONFIRMED, err: 0 };
  const failed = { result: "failed", code: NOT_CONFIRMED };

  test("R35 a restart is told by the count of starts: not by a clock that goes on, nor by telemetry sent again", () => {
    const before = { boots: 5, reverted: 0 };
    // a clock that goes on over a reset makes a long time since the start of a short one
    assert.deepEqual(told(before, ["status", { ...left, boots: 9, up: 900_000 }]), failed);
    assert.equal(told(before, ["status", { ...left, boots: 5, up: 3 }]), undefined);
    // a line of an earlier start comes again behind a later one
    assert.equal(
      told(
        { boots: 9, reverted: 0 },
        ["status", { seq: 6, rev: 0, err: 0, boots: 9, up: 70 }],
        ["status", { ...left, boots: 8, up: 3 }],
      ),
      undefined,
    );
  });

  test("R35 a reason that it gave before the offer is about this update only where it has tried it", () => {
    const before = { boots: 5, reverted: NOT_CONFIRMED };
    assert.equal(told(before, ["status", { ...left, boots: 6, up: 3 }]), undefined, "a power cut");
    assert.deepEqual(told(before, ["update", { got: 0 }], ["status", { ...left, boots: 9, up: 3 }]), failed);
    assert.equal(told(before, ["update", { got: 0 }], ["status", { ...left, boots: 5, up: 900 }]), undefined);
    // never heard before: it has started since and tried
    assert.deepEqual(
      told(undefined, ["update", { got: 0 }], ["status", { ...left, boots: 9, up: 3 }]),
      failed,
    );
    assert.equal(told(undefined, ["status", { ...left, boots: 9, up: 3 }]), undefined);
  });

  test("a refusal counts, one of another update does not", () => {
    assert.deepEqual(said("update", `{"err":${MANIFEST_TAG}}`), { result: "failed", code: MANIFEST_TAG });
    assert.deepEqual(said("update", `{"seq":7,"err":${IMAGE_DIGEST}}`), {
      ...{ result: "failed", code: IMAGE_DIGEST },
    });
    assert.equal(said("update", `{"seq":6,"err":${IMAGE_DIGEST}}`), undefined);
    assert.equal(said("update", '{"seq":7,"got":1}'), undefined);
    assert.equal(said("update", `{"err":${MANIFEST_SEQUENCE}}`), undefined);
  });

  test("R18 what is no such line, or of another product, is passed over", () => {
    const fleet = new Fleet("meter");
    for (const [topic, payload] of [
      ["meter/SN1/up/status", "nonsense"],
      ["meter/SN1/up/status", "[1]"],
      ["meter/SN1/up/status", "null"],
      ["meter/SN1/up/other", "{}"],
      ["meter/SN\x1b[2J/up/status", "{}"],
      ["meter//up/status", "{}"],
      ["valve/SN1/up/status", "{}"],
      ["meter/SN1/state", "2"],
      ["meter/SN1/up/status/more", "{}"],
    ])
      assert.equal(fleet.take(topic, payload, 0), undefined, `${topic} ${payload}`);
    assert.deepEqual(fleet.take("meter/SN1/up/status", '{"seq":"7","up":-1,"err":1e99,"rev":1.5}', 9), {
      ...{ serial: "SN1", heardMs: 9, sequence: undefined, reverted: undefined, error: undefined },
      ...{ up: undefined, boots: undefined, startedMs: undefined },
    });
  });

  test("the table names who left an update, and says why", () => {
    const fleet = new Fleet("meter");
    fleet.take("meter/SN1/state", "1", 0);
    fleet.take("meter/SN1/up/status", `{"up":30,"err":0,"seq":6,"rev":${NOT_CONFIRMED}}`, 1e6);
    fleet.take("meter/SN2/up/status", '{"up":3,"err":0,"seq":7,"rev":0}', 1e6);
    fleet.take("meter/SN2/up/update", '{"got":1024}', 1e6);
    const table = fleetTable([...fleet.devices.values()]);
    assert.match(table, new RegExp(`^SN1 +on +6 +30 +- +E${NOT_CONFIRMED} +-$`, "m"));
    assert.match(table, /^SN2 +\? +7 +3 +- +- +1024 pieces$/m);
    assert.match(table, new RegExp(`^E${NOT_CONFIRMED} +The new image was started as often`, "m"));
    assert.match(table, /^1 x sequence 6$/m);
  });
});

describe("a rollout", () => {
  let gateway: Gateway;
  let operator: Broker;
  let devices: Broker;
  let telemetry: MqttClient;
  let port = 0;
  let count = 0;
  before(async () => {
    gateway = await startGateway({ master: masterFromBytes(randomKey()), operatorPort: 0 });
    port = gateway.operatorPort as number;
    operator = await Broker.connect({ host: "127.0.0.1", port });
    devices = await Broker.connect({ host: "127.0.0.1", port });
    telemetry = await connectAsync({ host: "127.0.0.1", port });
  });
  after(async () => {
    await operator.close();
    await devices.close();
    await telemetry.endAsync();
    await gateway.close();
  });

  const update = testUpdate();
  const serials = ["SN1", "SN2", "SN3", "SN4", "SN5", "SN6"];
  const manifests = testManifests(update, serials);
  let path = "";
  let plan: Plan;
  beforeEach(async () => {
    path = join(folder, `state-${count++}`);
    plan = {
      ...{ product: "meter", sequence: 7, version: update.version, stopAt: 20, waitMinutes: 1 },
      digest: Buffer.from(update.digest).toString("hex"),
      rings: [["SN1"], ["SN2", "SN3"], ["SN4", "SN5", "SN6"]],
    };
    await operator.publish(
      serials.map((serial) => ({ topic: `meter/${serial}/ota`, payload: Buffer.alloc(0) })),
    );
  });

  /** Say a line of telemetry as a device. */
  const say = (serial: string, line: object, name = "status") =>
    telemetry.publishAsync(`meter/${serial}/up/${name}`, JSON.stringify(line), { qos: 1 });
  const confirm = (serial: string) => say(serial, { up: 1, err: 0, seq: 7, rev: 0 });

  /** Who is offered the update, by the broker's retained manifests. */
  async function offered(): Promise<string[]> {
    const found = await retainedUnder(devices, "meter/+/ota");
    return [...found.keys()].map((topic) => topic.split("/")[1]).sort();
  }

  /** Run it; `onEvent` is told each event, after what the state file says. */
  function run(state: RolloutState, onEvent: (event: RolloutEvent) => void = () => {}): Promise<void> {
    return runRollout({ broker: operator, update, manifests, state, perSecond: 1000, onEvent });
  }

  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  test("goes ring by ring: the next is offered when the one before has confirmed", async () => {
    const state = RolloutState.create(path, plan);
    const offers: string[][] = [];
    await run(state, (event) => {
      if (!("published" in event)) return;
      void offered().then((list) => {
        offers.push(list);
        for (const serial of plan.rings[event.published]) void confirm(serial);
      });
    });
    assert.deepEqual(offers, [["SN1"], ["SN1", "SN2", "SN3"], serials]);
    assert.ok(state.done);
    state.close();
    const again = new RolloutState(path, "write");
    await run(again, () => assert.fail("a rollout that is done does nothing more"));
    again.close();
  });

  test("R28 with too many failures it stops by itself: reasons said, nobody is offered it any more", async () => {
    const state = RolloutState.create(path, plan);
    const ended = run(state, (event) => {
      if (!("published" in event)) return;
      if (event.published === 0) void confirm("SN1");
      else void say("SN3", { up: 0, err: 0, seq: 6, rev: NOT_CONFIRMED });
    });
    await assert.rejects(
      ended,
      (error) =>
        error instanceof DeviceError &&
        /1 failed of 2 devices of ring 2, more than 20 %/.test(error.message) &&
        /1 x E\d+: The new image was started as often.*\n +SN3\n/.test(error.message) &&
        /Mend the image, build and sign it with a sequence above 7/.test(error.message),
    );
    assert.deepEqual(failuresOf(state), [{ code: NOT_CONFIRMED, serials: ["SN3"] }]);
    assert.deepEqual(await offered(), ["SN1"]);
    await assert.rejects(run(state), /is stopped: 1 failed of 2/);
    state.close();
  });

  test("fewer failures than are allowed do not stop it, and who failed is not offered it again", async () => {
    const state = RolloutState.create(path, { ...plan, stopAt: 50, rings: [serials] });
    await run(state, (event) => {
      if ("published" in event)
        void say("SN2", { err: MANIFEST_TAG }, "update").then(async () => {
          for (const serial of serials) if (serial !== "SN2") await confirm(serial);
        });
    });
    assert.ok(state.done);
    assert.deepEqual(state.counts(0), { confirmed: 5, failed: 1, silent: 0, open: 0 });
    assert.deepEqual(
      await offered(),
      serials.filter((serial) => serial !== "SN2"),
    );
    state.close();
  });

  test("who is silent until the time is over counts as failed", async () => {
    const state = RolloutState.create(path, { ...plan, waitMinutes: 0.005 });
    await assert.rejects(run(state), /1 silent of 1 devices of ring 1, more than 20 %/);
    assert.deepEqual(state.counts(0), { confirmed: 0, failed: 0, silent: 1, open: 0 });
    assert.deepEqual(await offered(), []);
    state.close();
  });

  test("goes on from its file wherever it was cut, and publishes nothing twice", async () => {
    const first = RolloutState.create(path, plan);
    await run(first, (event) => {
      if ("published" in event) for (const serial of plan.rings[event.published]) void confirm(serial);
    });
    first.close();
    const whole = readFileSync(path);
    const start = whole.indexOf("\n") + 1;
    for (const cut of [start, start + 1, Math.floor((start + whole.length) / 2), whole.length - 2]) {
      writeFileSync(path, whole);
      truncateSync(path, cut);
      const state = new RolloutState(path, "write");
      assert.ok(!state.done);
      const before = await offered();
      const published: string[] = [];
      const stop = await devices.listen(["meter/+/ota", "fw/#"], (topic, _payload, retained) => {
        if (!retained && !topic.startsWith("fw/look/")) published.push(topic);
      });
      // its devices go on telling what they run, as every minute
      const telling = setInterval(() => {
        for (const serial of serials) void confirm(serial);
      }, 50);
      await run(state).finally(() => clearInterval(telling));
      assert.ok(state.done);
      await stop();
      assert.deepEqual(published, []);
      assert.deepEqual(await offered(), before);
      state.close();
      assert.ok(readFileSync(path).subarray(0, cut).equals(whole.subarray(0, cut)), "only added to");
      const again = new RolloutState(path, "read");
      assert.deepEqual([again.done, again.results.size], [true, serials.length]);
      again.close();
    }
  });

  test("R35 a device that fails while its ring is still being published is named, and the ring goes on", async () => {
    const state = RolloutState.create(path, { ...plan, stopAt: 50, rings: [serials] });
    const stop = await devices.listen(["meter/SN1/ota"], (_topic, payload, retained) => {
      if (payload.length > 0 && !retained) void say("SN1", { err: MANIFEST_TAG }, "update");
    });
    const published = new Set<string>();
    await runRollout({
      ...{ broker: operator, update, manifests, state, perSecond: 10 },
      onEvent(event) {
        if ("serial" in event && event.result === "failed")
          published.add(`failed, published ${state.published.has(0)}`);
        if ("published" in event) for (const serial of serials.slice(1)) void confirm(serial);
      },
    });
    await stop();
    assert.deepEqual([...published], ["failed, published false"]);
    assert.deepEqual(state.counts(0), { confirmed: 5, failed: 1, silent: 0, open: 0 });
    assert.deepEqual(await offered(), serials.slice(1));
    state.close();
  });

  test("R35 a broker that is started again and has forgotten: all that has begun is offered again, and goes on", async () => {
    const peer = await startScriptedBroker();
    const [mine, device] = await Promise.all(
      [1, 2].map(() => Broker.connect({ host: "127.0.0.1", port: peer.port })),
    );
    const state = RolloutState.create(path, { ...plan, rings: [["SN1", "SN2"], ["SN3"]] });
    let restarts = 0;
    const offers: string[] = [];
    const saying = await device.listen(["meter/+/ota"], (topic, payload) => {
      const [, serial] = topic.split("/");
      if (payload.length === 0) return;
      offers.push(serial);
      if (serial === "SN2" && restarts++ === 0) setImmediate(() => peer.restart());
      else
        void device.publish([
          { topic: `meter/${serial}/up/status`, payload: Buffer.from('{"up":1,"err":0,"seq":7,"rev":0}') },
        ]);
    });
    await runRollout({ broker: mine, update, manifests, state, perSecond: 1000 });
    assert.ok(state.done);
    assert.ok(offers.filter((serial) => serial === "SN2").length >= 2, offers.join());
    await saying();
    await mine.close();
    await device.close();
    await peer.stop();
    state.close();
  });

  test("R35 a clock that is set back does not blind the stop", async (t) => {
    const state = RolloutState.create(path, { ...plan, waitMinutes: 0.01 });
    const hour = 3_600_000;
    const now = Date.now.bind(Date);
    let backMs = 0;
    t.mock.method(Date, "now", () => now() - backMs);
    await assert.rejects(
      run(state, (event) => {
        if ("published" in event) backMs = hour;
      }),
      /1 silent of 1 devices/,
    );
    state.close();
  });

  test("R35 two programs on one state: the second rollout is refused, lines of both stay whole, status changes nothing", async () => {
    const state = RolloutState.create(path, { ...plan, rings: [serials] });
    const unlock = state.lock();
    const second = new RolloutState(path, "write");
    await assert.rejects(run(second), /another program runs the rollout/);
    for (const serial of serials) {
      state.append({ serial, result: "silent" });
      second.append({ serial, result: "failed", code: NOT_CONFIRMED });
    }
    appendFileSync(path, '{"at":"cut in the mid');
    const before = readFileSync(path);
    const reader = new RolloutState(path, "read");
    assert.deepEqual(reader.counts(0), { confirmed: 0, failed: 6, silent: 0, open: 0 });
    assert.throws(() => reader.append({ done: true }), DeviceError);
    assert.deepEqual(readFileSync(path), before);
    second.append({ stopped: "by hand" });
    state.readBehind();
    assert.equal(state.stopped, "by hand");
    for (const each of [reader, second]) each.close();
    unlock();
    state.close();
  });

  test("R35 results are told once more by `heard` after a new start of the program", async () => {
    const state = RolloutState.create(path, { ...plan, rings: [["SN1"]] });
    const first = run(state).catch(() => {});
    await until(() => state.published.has(0));
    await say("SN1", { up: 500, err: 0, seq: 6, rev: NOT_CONFIRMED, boots: 4 });
    await until(() => state.heard.has("SN1"));
    state.append({ stopped: "for the test" });
    await first;
    const lines = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, lines.filter((line) => !line.includes("stopped")).join("\n"));
    state.close();
    const again = new RolloutState(path, "write");
    assert.deepEqual(again.heard.get("SN1"), { boots: 4, reverted: NOT_CONFIRMED });
    const telling = setInterval(() => {
      void say("SN1", { up: 1, err: 0, seq: 6, rev: NOT_CONFIRMED, boots: 5 });
      void say("SN1", { up: 1, err: 0, seq: 7, rev: 0, boots: 7 });
    }, 50);
    await run(again).finally(() => clearInterval(telling));
    assert.deepEqual(again.counts(0), { confirmed: 1, failed: 0, silent: 0, open: 0 });
    again.close();
  });

  test("stop, from another program: the one that runs ends, and who is not done is not offered it", async () => {
    const state = RolloutState.create(path, plan);
    const ended = run(state);
    const refused = assert.rejects(ended, /is stopped: by hand/);
    await until(async () => (await offered()).includes("SN1"));
    await confirm("SN1");
    await until(() => state.published.has(1));
    const stop = ["stop", "--state", path, "--broker", `127.0.0.1:${port}`, "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, nodeArguments("scripts/ota.ts", ...stop), {
      cwd: PROJECT,
    });
    assert.deepEqual(JSON.parse(stdout), { stopped: true, cleared: 2 });
    await refused;
    assert.deepEqual(await offered(), ["SN1"]);
    state.close();
  });

  test("R21 a device that is offered a later sequence already: refused before anything is published", async () => {
    const later = testManifests(testUpdate({ sequence: 9 }), ["SN6"]);
    await operator.publish([{ topic: "meter/SN6/ota", payload: later.manifest(0) }]);
    const state = RolloutState.create(path, plan);
    await assert.rejects(run(state), UsageError);
    assert.equal(state.begun.size, 0);
    assert.deepEqual(await offered(), ["SN6"]);
    state.close();
  });

  test("a file that is none, or is there already, is refused", () => {
    writeFileSync(path, "something else\n");
    assert.throws(() => new RolloutState(path, "write"), /is no rollout's state/);
    assert.throws(() => RolloutState.create(path, plan), /is not written over/);
    assert.throws(() => new RolloutState(join(folder, "nowhere"), "read"), /there is no rollout/);
    appendFileSync(path, "{}");
    assert.throws(() => new RolloutState(path, "write"), UsageError);
  });
});
