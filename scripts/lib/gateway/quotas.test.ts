// R36 after CONNECT: one client cannot stop the others, nor fill the memory. Readers that do not read, quotas of an identity,
// floods of messages. Every test ends by what happens: a flood by the end of its connection, a wait by a message.
import assert from "node:assert/strict";
import { test } from "node:test";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { waitUntil } from "../test/peers/process";
import { type MqttClient, mqttClient, operatorClient } from "../test/psk_client";
import { type Gateway, type GatewayEvent, type GatewayOptions, startGateway } from "./gateway";
import { DEFAULT_LIMITS } from "./limits";

const master = randomKey();
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));

async function withGateway(
  options: Partial<GatewayOptions>,
  work: (
    gateway: Gateway,
    device: (serial: string, connect?: object) => Promise<MqttClient>,
    events: GatewayEvent[],
  ) => Promise<void>,
): Promise<void> {
  const events: GatewayEvent[] = [];
  const onEvent = (event: GatewayEvent) => void events.push(event);
  const gateway = await startGateway({
    ...{ master: masterFromBytes(Buffer.from(master)), operatorPort: 0, onEvent },
    ...options,
  });
  const device = (serial: string, connect = {}) =>
    mqttClient(gateway, `v1.meter.${serial}`, keyOf(`v1.meter.${serial}`), connect);
  try {
    await work(gateway, device, events);
  } finally {
    await gateway.close();
  }
}

test("R36 one that does not read is cut off, and the others never wait for it", async () => {
  await withGateway({ limits: { queuedBytes: 65_536 } }, async (gateway, device, events) => {
    const deaf = await device("DEAF");
    const good = await device("GOOD");
    const operator = await operatorClient(gateway.operatorPort as number);
    await deaf.subscribe("fw/meter/#");
    await good.subscribe("fw/meter/#");
    deaf.socket.pause();
    // As much as the kernel's buffers take, and then more than the queue; the good one reads each before the next is sent.
    const payload = Buffer.alloc(8_000, "x");
    let sent = 0;
    while (!events.some((event) => event.kind === "refused" && event.reason === "it does not read")) {
      await operator.publish("fw/meter/d/0", payload);
      await good.heard();
      assert.ok(++sent < 5_000, "it is never cut off");
      assert.ok(gateway.counters.queuedBytes < 65_536 + 2 * payload.length, "more waits than may");
    }
    await operator.publish("fw/meter/d/0", "after");
    assert.equal(await good.heard(), "fw/meter/d/0 after");
    assert.equal(gateway.counters.sessions, 1);
    assert.ok(gateway.counters.queuedBytes < 100); // of what it had no more is counted
    good.end();
    operator.end();
  });
});

test("R36 an operator who does not read is cut off, and devices are served", async () => {
  await withGateway({ limits: { operatorQueuedBytes: 65_536 } }, async (gateway, device, events) => {
    const deaf = await operatorClient(gateway.operatorPort as number, "deaf");
    await deaf.subscribe("#");
    deaf.socket.pause();
    const client = await device("SN1");
    await client.subscribe("meter/SN1/down/#");
    const operator = await operatorClient(gateway.operatorPort as number);
    let sent = 0;
    while (!events.some((event) => event.kind === "fault" && /does not read/.test(event.reason))) {
      await operator.publish("meter/SN1/down/x", Buffer.alloc(8_000, "x"));
      await client.heard();
      assert.ok(++sent < 5_000, "it is never cut off");
    }
    client.end();
    operator.end();
  });
});

test("R36 sixteen retained topics of a device, and no seventeenth; one taken away makes room", async () => {
  await withGateway({}, async (gateway, device, events) => {
    const client = await device("SN1");
    for (let i = 0; i < 16; i++) await client.publish(`meter/SN1/up/${i}`, "x", { qos: 1, retain: true });
    await client.publish("meter/SN1/up/0", "again", { qos: 1, retain: true });
    await client.publish("meter/SN1/up/0", "", { qos: 1, retain: true });
    await client.publish("meter/SN1/up/16", "x", { qos: 1, retain: true });
    await client.publish("meter/SN1/up/not_retained", "x", { qos: 1 });
    client.send({ cmd: "publish", topic: "meter/SN1/up/17", payload: "x", qos: 0, dup: false, retain: true });
    await client.ended;
    assert.ok(events.some((event) => event.kind === "denied" && event.topic === "meter/SN1/up/17"));
    // Another connection of its has no other quota.
    const again = await device("SN1");
    again.send({ cmd: "publish", topic: "meter/SN1/up/18", payload: "x", qos: 0, dup: false, retain: true });
    await again.ended;
    const other = await device("SN2");
    await other.publish("meter/SN2/state", "x", { qos: 1, retain: true });
    other.end();
    const operator = await operatorClient(gateway.operatorPort as number);
    await operator.subscribe("meter/SN1/up/#");
    const seen = new Set<string>();
    for (let i = 0; i < 16; i++) seen.add((await operator.heard()).split(" ")[0]);
    assert.ok(!seen.has("meter/SN1/up/17") && seen.has("meter/SN1/up/16") && seen.size === 16);
    operator.end();
  });
});

test("R36 sixteen filters of its own and 128 pieces of images, and no more; the connection lives", async () => {
  await withGateway({}, async (_gateway, device) => {
    const client = await device("SN1");
    for (let i = 0; i < 16; i++) assert.deepEqual(await client.subscribe(`meter/SN1/down/${i}`), [1]);
    assert.deepEqual(await client.subscribe("meter/SN1/down/16"), [128]);
    assert.deepEqual(await client.subscribe("meter/SN1/down/15"), [1]);
    for (let i = 0; i < 128; i++) assert.deepEqual(await client.subscribe(`fw/meter/d/${i}`), [1]);
    assert.deepEqual(await client.subscribe("fw/meter/d/128"), [128]);
    const many = Array.from({ length: 200 }, (_, i) => `meter/SN1/x/${i}`);
    assert.deepEqual(new Set(await client.subscribe(...many)), new Set([128]));
    client.send({ cmd: "unsubscribe", messageId: 999, unsubscriptions: ["meter/SN1/down/0"] });
    assert.equal((await client.next()).cmd, "unsuback");
    assert.deepEqual(await client.subscribe("meter/SN1/down/16"), [1]);
    client.end();
  });
});

test("R36 a device that sends as fast as it can is slowed down, loses nothing, and holds no memory", async () => {
  // A burst of ten and then one in 100 ms: of 5,000 packets at once all but a few wait in the device's own socket.
  const limits = { burst: 10, messagesPerSecond: 10 };
  await withGateway({ limits }, async (gateway, device) => {
    const operator = await operatorClient(gateway.operatorPort as number);
    await operator.subscribe("meter/#");
    const flood = await device("FLOOD");
    const packets = Buffer.concat(
      Array.from({ length: 5_000 }, (_, i) => {
        const topic = "meter/FLOOD/up/x";
        const body = Buffer.concat([
          Buffer.from([0, topic.length]),
          Buffer.from(topic + String(i).padStart(4, "0")),
        ]);
        return Buffer.concat([Buffer.from([0x30, body.length]), body]);
      }),
    );
    flood.socket.write(packets);
    for (let i = 0; i < 12; i++)
      assert.equal(await operator.heard(), `meter/FLOOD/up/x ${String(i).padStart(4, "0")}`);
    const other = await device("OTHER");
    await other.publish("meter/OTHER/up/x", "y", { qos: 1 });
    for (;;) if ((await operator.heard()) === "meter/OTHER/up/x y") break;
    flood.socket.destroy();
    other.end();
    operator.end();
  });
});

test("R36 under overload what is kept is bounded by count: of what devices send, and of what they do not read", async () => {
  const DEVICES = 12;
  const CHUNK = 65_536; // the most that Node gives at once
  const limits = {
    ...{ burst: 10, messagesPerSecond: 10, queuedBytes: 262_144, queuedBytesTotal: 524_288 },
  };
  await withGateway({ limits }, async (gateway, device, events) => {
    const operator = await operatorClient(gateway.operatorPort as number);
    const good = await device("GOOD");
    await good.subscribe("fw/meter/#");
    const floods = await Promise.all(Array.from({ length: DEVICES }, (_, i) => device(`FLOOD${i}`)));
    const ping = Buffer.alloc(4_000_000, Buffer.from("c000", "hex")); // two bytes a packet: the most packets of them
    for (const flood of floods) flood.socket.write(ping);
    const deaf = await Promise.all(Array.from({ length: DEVICES }, (_, i) => device(`DEAF${i}`)));
    for (const one of deaf) {
      await one.subscribe("fw/meter/#");
      one.socket.pause();
    }
    const payload = Buffer.alloc(8_000, "x");
    const cutOff = () =>
      events.filter((event) => event.kind === "refused" && event.reason === "it does not read");
    let greatest = 0;
    for (let sent = 0; cutOff().length < DEVICES; sent++) {
      assert.ok(sent < 5_000, "they are never cut off");
      await operator.publish("fw/meter/d/0", payload);
      await good.heard();
      const { queuedBytes, heldBytes } = gateway.counters;
      assert.ok(
        queuedBytes <= limits.queuedBytesTotal + (DEVICES + 1) * 2 * payload.length,
        `${queuedBytes} wait`,
      );
      greatest = Math.max(greatest, heldBytes);
    }
    assert.ok(
      greatest > 0 && greatest <= DEVICES * (CHUNK + DEFAULT_LIMITS.packetLength),
      `${greatest} are held`,
    );
    for (const flood of floods) flood.socket.destroy();
    await Promise.all(floods.map(({ ended }) => ended));
    good.end();
    await good.ended;
    await waitUntil("an end of all sessions", async () => gateway.counters.sessions === 0);
    const { queuedBytes, heldBytes } = gateway.counters;
    assert.deepEqual([queuedBytes, heldBytes], [0, 0]);
    operator.end();
  });
});

test("R36 what comes with a FIN is passed on before the end: a QoS 0 message, and DISCONNECT instead of the will", async () => {
  await withGateway({}, async (gateway, device) => {
    const operator = await operatorClient(gateway.operatorPort as number);
    await operator.subscribe("meter/#");
    const will = { topic: "meter/SN1/state", payload: Buffer.from("gone"), qos: 0, retain: false };
    for (let i = 0; i < 5; i++) {
      const client = await device("SN1", { will });
      for (let k = 0; k < 20; k++)
        client.send({
          cmd: "publish",
          topic: "meter/SN1/up/x",
          payload: `${k}`,
          qos: 0,
          dup: false,
          retain: false,
        });
      client.end();
      for (let k = 0; k < 20; k++) assert.equal(await operator.heard(), `meter/SN1/up/x ${k}`);
    }
    const last = await device("SN1", { will });
    last.socket.destroy();
    assert.equal(await operator.heard(), "meter/SN1/state gone");
    operator.end();
  });
});

test("R36 QoS 2, a packet that a device does not send, a CONNECT twice, or not first: the end", async () => {
  await withGateway({}, async (gateway, device) => {
    const connect = "101000044d51545404020078000478787878"; // whole, under another name
    for (const bytes of [
      "3409000561622f6364000178", // PUBLISH, QoS 2
      "50020001", // PUBREC
      "20020000", // CONNACK
      connect,
      "82020001", // SUBSCRIBE without a filter
      "3003000161", // PUBLISH on another's topic
      "300400020061", // a topic with a NUL
    ]) {
      const client = await device("SN1");
      client.socket.write(Buffer.from(bytes, "hex"));
      await client.ended;
    }
    assert.equal(gateway.counters.sessions, 0);
  });
});

test("a session that would outlive its connection is refused to operators as well", async () => {
  await withGateway({}, async (gateway) => {
    const { open, mqttOver } = await import("../test/psk_client");
    const { socket } = await open({ port: gateway.operatorPort as number });
    await assert.rejects(mqttOver(socket, { clientId: "keeps", clean: false }), /closed/);
  });
});
