// The ticket service at a real Mosquitto: one that asks without end gets what its rate lets it have, and no other device waits for it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { EMPTY_LIST } from "../gateway/fleet_list";
import { TokenBucket } from "../gateway/token_bucket";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { ticketKey } from "../keys/peer_keys";
import { Broker } from "../ota/broker";
import { Watch } from "../test/device";
import { skipWithout } from "../test/peers/install";
import * as mosquitto from "../test/peers/mosquitto";
import { carry, type TicketEvent } from "./carrier";
import { ANSWER, NONCE, NONCE_LENGTH, open, REQUEST, seal } from "./messages";
import { Senders } from "./senders";

const ends: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

const master = randomBytes(16);
const keys = {
  deviceKey: (identity: ReturnType<typeof parseIdentity>) => deriveDeviceKey(master, identity, "kdf", "peer"),
};
const ticketKeyOf = (identity: string) => ticketKey(keys.deviceKey(parseIdentity(identity)));

/** A request of one device for a ticket to another one, which has given its nonce. */
function requestOf(asker: string, asked: string) {
  const nonces = randomBytes(2 * NONCE_LENGTH);
  const identities = Buffer.from(`${asker}\0${asked}`);
  const context = Buffer.concat([nonces, identities]);
  const tag = seal(ticketKeyOf(asked), NONCE, nonces.subarray(NONCE_LENGTH), context, Buffer.alloc(0));
  return { context, payload: Buffer.concat([Buffer.from([REQUEST]), nonces, tag, identities]) };
}

test("R36 a device has its tickets, and what it says carried, while another one asks at full rate; that one has what its rate lets it", {
  skip: skipWithout("mosquitto"),
}, async () => {
  const BURST = 4;
  const TURNS = 20;
  /** Messages of the flood that wait for the broker's acknowledgement. */
  const WINDOW = 20;
  const us = { identity: "bridge", key: randomBytes(16) };
  const peer = await mosquitto.start(us);
  ends.push(() => peer.stop());
  const connect = async () => {
    const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: us });
    ends.push(() => broker.close());
    return broker;
  };
  const [service, good, bad] = [await connect(), await connect(), await connect()];
  const events: TicketEvent[] = [];
  // time stands still, so a rate is a count
  let now = 0;
  const carrier = await carry(service, {
    ...{ keys, rules: { list: EMPTY_LIST } },
    ...{ rate: { burst: BURST, messagesPerSecond: 1 }, now: () => now },
    onEvent: (event) => {
      events.push(event);
      watch.wake();
    },
  });
  ends.push(() => carrier.stop());
  const watch = new Watch();
  const heard: Record<string, Buffer[]> = {};
  await good.listen(["sensor/+/down/#"], (topic, payload) => {
    (heard[topic] ??= []).push(payload);
    watch.wake();
  });
  const count = (topic: string) => heard[topic]?.length ?? 0;
  const publish = (broker: Broker, topic: string, payload: Buffer) =>
    broker.publish([{ topic, payload, retain: false }]);

  const endless = requestOf("v1.sensor.BAD", "v1.sensor.B2").payload;
  let isOver = false;
  let flooded = 0;
  const flood = Array.from({ length: WINDOW }, async (_, at) => {
    while (!isOver) {
      flooded++;
      await (at % 2
        ? publish(bad, "sensor/BAD/up/ticket", endless)
        : publish(bad, "sensor/BAD/up/peer/B2", Buffer.from([1])));
    }
  });
  const ofBad = () =>
    events.filter((event) => event.event === "refused" && event.from === "sensor/BAD").length;
  await watch.until(() => count("sensor/BAD/down/ticket") + count("sensor/B2/down/peer/BAD") === BURST);
  for (let turn = 1; turn <= TURNS; turn++) {
    const before = ofBad();
    const { context, payload } = requestOf("v1.sensor.A1", "v1.sensor.B2");
    await publish(good, "sensor/A1/up/ticket", payload);
    await publish(good, "sensor/A1/up/peer/B2", Buffer.from([1, turn]));
    await watch.until(
      () => count("sensor/A1/down/ticket") === turn && count("sensor/B2/down/peer/A1") === turn,
    );
    const answer = heard["sensor/A1/down/ticket"][turn - 1];
    assert.ok(
      open(ticketKeyOf("v1.sensor.A1"), ANSWER, answer.subarray(1, 12), context, answer.subarray(12)),
    );
    // the flood went on meanwhile; the good device's own time goes on, and brings the bad one as much
    await watch.until(() => ofBad() > before);
    now += 2_000;
  }
  isOver = true;
  await Promise.all(flood);
  const taken = count("sensor/BAD/down/ticket") + count("sensor/B2/down/peer/BAD");
  assert.ok(taken <= BURST + 2 * TURNS, `${taken}`);
  assert.ok(flooded > 2 * taken, `${flooded}`);
  assert.ok(events.every((event) => event.event === "ticket" || event.from === "sensor/BAD"));
  assert.ok(
    events.some((event) => event.event === "refused" && event.reason === "over 1 messages a second."),
  );
});

test("R36 a rate: so many at once, then so many a second, and never more than that however long nothing comes", () => {
  let now = 0;
  const bucket = new TokenBucket({ burst: 3, messagesPerSecond: 2 }, () => now);
  const taken = () => {
    let count = 0;
    for (; !bucket.waitMs(); count++) bucket.take();
    return count;
  };
  assert.equal(taken(), 3);
  assert.equal(bucket.waitMs(), 500);
  for (const [afterMs, count] of [
    [499, 0],
    [1, 1],
    [1_000, 2],
    [3_600_000, 3],
  ]) {
    now += afterMs;
    assert.equal(taken(), count, `${afterMs}`);
  }
  // what is dear leaves a debt
  now += 500;
  bucket.take(3);
  assert.equal(bucket.waitMs(), 1_500);
});

test("R36 each sender has a rate of its own; of 10,000 the one heard longest ago is forgotten, and not the one that floods", () => {
  const senders = new Senders({ burst: 1, messagesPerSecond: 1 }, () => 0);
  assert.ok(senders.mayPass("sensor/BAD"));
  assert.ok(senders.mayPass("sensor/SILENT"));
  for (let i = 0; i < 20_000; i++) {
    assert.ok(!senders.mayPass("sensor/BAD"));
    assert.ok(senders.mayPass(`sensor/${i}`));
    assert.ok(senders.size <= 10_000);
  }
  assert.ok(senders.mayPass("sensor/SILENT"));
});
