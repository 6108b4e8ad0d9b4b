// What is retained, proved (R35): against a scripted broker that is late, drops and loses, because no
// real one can be made to at will; and against Mosquitto, whose queue for a client drops what is over 1,000 messages.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { DeviceError, UsageError } from "../cli/exit";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { start as startMosquitto } from "../test/peers/mosquitto";
import { type Habits, type ScriptedBroker, startScriptedBroker } from "../test/scripted_broker";
import { testManifests, testMasters, testRekeys, testUpdate } from "../test/update";
import { Broker } from "./broker";
import { clearManifests, publishManifests, publishPieces } from "./publish";
import { look } from "./retained";

const ANSWER_MS = 1000;
const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened) await each.stop();
});

/** A scripted broker, and the operator's connection to it. */
async function open(habits: Habits, answerMs = ANSWER_MS): Promise<{ peer: ScriptedBroker; broker: Broker }> {
  const peer = await startScriptedBroker(habits);
  const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, answerMs });
  opened.push({ stop: () => broker.close() }, peer);
  return { peer, broker };
}

const topicsOf = (count: number) => Array.from({ length: count }, (_, i) => `meter/SN${i}/ota`);

/** Topics under which something was found. */
async function found(broker: Broker, topics: string[]): Promise<string[]> {
  const names = new Set<string>();
  await look(broker, topics, (topic) => names.add(topic));
  return [...names].sort();
}

describe("a broker that is late by 0.7 seconds", () => {
  const update = testUpdate({ sequence: 13 });

  test("R35 other new keys for the same update are refused: one file alone goes out", async () => {
    const { peer, broker } = await open({ lateMs: 700 }, 5000);
    const masters = testMasters();
    const make = () =>
      testRekeys({
        identities: ["v1.meter.SN1"],
        ...{ update, masters, next: { ...masters, psk: randomKey(), console: randomKey() } },
      });
    const [first, second] = [await make(), await make()];
    await publishManifests(broker, first);
    await assert.rejects(
      publishManifests(broker, second),
      (error) =>
        error instanceof UsageError && /meter\/SN1\/ota offers sequence 13 already/.test(error.message),
    );
    assert.deepEqual(peer.retained.get("meter/SN1/ota"), first.manifest(0));
  });

  test("R35 no older sequence goes over a newer, and none is taken away in the place of an older", async () => {
    const { peer, broker } = await open({ lateMs: 700 }, 5000);
    const newer = testManifests(testUpdate({ sequence: 20 }), ["SN2"]);
    peer.retained.set("meter/SN2/ota", newer.manifest(0));
    await assert.rejects(
      publishManifests(broker, testManifests(testUpdate({ sequence: 19 }), ["SN2"])),
      /offers sequence 20 already, and 19 is not newer/,
    );
    assert.equal(await clearManifests(broker, { product: "meter", sequence: 19 }, ["SN2"]), 0);
    assert.deepEqual(peer.retained.get("meter/SN2/ota"), newer.manifest(0));
  });
});

test("R35 a broker whose queue is short: asked again in smaller groups, until all is seen", async () => {
  const { peer, broker } = await open({ queue: 7 }, 200);
  const topics = topicsOf(40);
  for (const topic of topics) peer.retained.set(topic, Buffer.from("there"));
  assert.deepEqual(await found(broker, topics), [...topics].sort());
});

test("R35 a broker that never gives back what is retained proves nothing: said", async () => {
  const { broker } = await open({ queue: 0 }, 100);
  await assert.rejects(
    found(broker, topicsOf(3)),
    (error) =>
      error instanceof DeviceError &&
      /does not give back what we retain .* so that nobody can say/.test(error.message),
  );
});

test("R35 what a broker acknowledged and did not keep is named, and nothing else", async () => {
  const forgotten = "meter/SN1/ota";
  const { broker } = await open({ forgets: (topic) => topic === forgotten });
  const manifests = testManifests(testUpdate(), ["SN0", "SN1", "SN2"]);
  await assert.rejects(
    publishManifests(broker, manifests, { patienceMs: 300 }),
    /acknowledged 1 messages and did not keep them, meter\/SN1\/ota for one/,
  );
});

describe("an acknowledgement that is lost", () => {
  const manifests = testManifests(testUpdate(), ["SN0", "SN1", "SN2"]);
  for (const cmd of ["publish", "subscribe", "unsubscribe"] as const) {
    test(`R35 of one ${cmd}: on a new connection all goes on`, async () => {
      let left = 1;
      const { peer, broker } = await open({ loses: (packet) => packet.cmd === cmd && left-- > 0 }, 300);
      assert.deepEqual(await publishManifests(broker, manifests), { written: 3, found: 0 });
      assert.ok(peer.connections > 1);
      assert.ok(left < 0);
      for (const [row, serial] of ["SN0", "SN1", "SN2"].entries())
        assert.deepEqual(peer.retained.get(`meter/${serial}/ota`), manifests.manifest(row));
    });
  }

  for (const cmd of ["publish", "subscribe"] as const) {
    test(`R35 of every ${cmd}: said after three times`, async () => {
      const { peer, broker } = await open({ loses: (packet) => packet.cmd === cmd }, 200);
      await assert.rejects(
        publishManifests(broker, manifests),
        (error) =>
          error instanceof DeviceError &&
          new RegExp(`does not answer a ${cmd}.*3 times`, "i").test(error.message),
      );
      assert.equal(peer.connections, 3);
    });
  }
});

test("R35 a connection that is cut, and cut again as what was unanswered is sent once more: all goes on", async () => {
  let publishes = 0;
  const { peer, broker } = await open({
    cuts: ({ cmd }) => cmd === "publish" && [9, 10, 14].includes(++publishes),
  });
  const serials = Array.from({ length: 30 }, (_, i) => `SN${i}`);
  const manifests = testManifests(testUpdate(), serials);
  await publishManifests(broker, manifests);
  assert.equal(peer.connections, 4);
  for (const [row, serial] of serials.entries())
    assert.deepEqual(peer.retained.get(`meter/${serial}/ota`), manifests.manifest(row));
});

test("R35 a broker that has gone while it was listened to: what was heard is not told as all", async () => {
  const { peer, broker } = await open({});
  broker.demandThere();
  const away = new Promise<void>((resolve) => void broker.onAway(resolve));
  await peer.stop();
  await away;
  assert.throws(() => broker.demandThere(), /is away: what was heard may not be all/);
});

test("R35 a broker that ends every connection at what it is asked: said, and not tried for ever", async () => {
  for (const cut of ["publish", "subscribe"]) {
    const { broker } = await open({ cuts: ({ cmd }) => cmd === cut });
    await assert.rejects(
      publishManifests(broker, testManifests(testUpdate(), ["SN1"])),
      (error) =>
        error instanceof DeviceError &&
        new RegExp(`ended 5 connections, one after the other, at a ${cut}`, "i").test(error.message),
    );
  }
});

test("R35 a broker that takes no packet over 8,192 bytes, as our own Mosquitto: the longest topics are asked for in parts", async () => {
  const { peer, broker } = await open({ cuts: ({ length = 0 }) => length > 8192 });
  const topics = Array.from({ length: 300 }, (_, i) => `${"p".repeat(31)}/${"s".repeat(28)}${100 + i}/ota`);
  peer.retained.set(topics[299], Buffer.from("there"));
  assert.deepEqual(await found(broker, topics), [topics[299]]);
  assert.equal(peer.connections, 1);
});

test("R35 a broker that forgets all while we publish: all of it is there in the end", async () => {
  const { peer, broker } = await open({});
  const serials = Array.from({ length: 60 }, (_, i) => `SN${i}`);
  const manifests = testManifests(testUpdate(), serials);
  let hasRestarted = false;
  await publishManifests(broker, manifests, {
    onProgress(step, done) {
      if (step !== "manifests" || done < 30 || hasRestarted) return;
      hasRestarted = true;
      peer.restart();
    },
  });
  assert.ok(hasRestarted);
  assert.equal(serials.filter((serial) => peer.retained.has(`meter/${serial}/ota`)).length, 60);
});

test("R35 Mosquitto with 3,000 manifests, three times its queue: every one is seen", {
  skip: skipWithout("mosquitto"),
}, async (t) => {
  const operator = { identity: "operator", key: randomKey() };
  const peer = await startMosquitto(operator);
  const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: operator });
  t.after(async () => {
    await broker.close();
    await peer.stop();
  });
  const serials = Array.from({ length: 3000 }, (_, i) => `SN${i}`);
  const manifests = testManifests(testUpdate(), serials);
  assert.deepEqual(await publishManifests(broker, manifests), { written: 3000, found: 0 });
  assert.deepEqual(await publishManifests(broker, manifests), { written: 0, found: 3000 });
  assert.deepEqual(await publishPieces(broker, testUpdate()), { written: 6, found: 0 });
});
