// The gateway before a cluster: three NATS servers (JetStream, MQTT) and two gateways, of which any may be gone. Telemetry,
// commands, what is retained, and the latest connection of a device wins, also over two gateways; then each server and
// each gateway is killed once. A device that loses its connection comes back as devices do: again and again, to any gateway.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { type NatsServer, startNats } from "../test/peers/nats";
import { type MqttClient, mqttClient, operatorClient } from "../test/psk_client";
import { type Gateway, type GatewayEvent, startGateway } from "./gateway";

const master = randomKey();
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));
const PATIENCE_MS = 60_000; // after which it is a defect, not a wait
const ANSWER_MS = 3_000; // after which a client tries anew: a cluster that chooses a new leader forgets what was under way

describe("two gateways before three NATS servers", { skip: skipWithout("nats-server") }, () => {
  let servers: NatsServer[];
  let gateways: Gateway[] = [];
  const events: GatewayEvent[] = [];
  const start = () =>
    startGateway({
      master: masterFromBytes(Buffer.from(master)),
      upstream: servers.map(({ port }) => ({ host: "127.0.0.1", port })),
      onEvent: (event) => events.push(event),
    });
  before(async () => {
    servers = await startNats(3);
    gateways = [await start(), await start()];
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await Promise.all(servers.map((server) => server.stop()));
  });

  /** Try until it goes, as a device does that finds its gateway or its broker gone. */
  async function again<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (Date.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
  const device = (gateway: number, serial: string): Promise<MqttClient> =>
    again(() =>
      mqttClient(gateways[gateway], `v1.meter.${serial}`, keyOf(`v1.meter.${serial}`), {}, ANSWER_MS),
    );
  let operators = 0;
  const operatorAt = (server: number) =>
    again(() => operatorClient(servers[server].port, `operator${++operators}`, ANSWER_MS));

  /** A device at one gateway and an operator at one server hear each other. */
  async function isServed(gateway: number, server: number, serial: string): Promise<void> {
    await again(async () => {
      const operator = await operatorAt(server);
      const client = await device(gateway, serial);
      try {
        await operator.subscribe(`meter/${serial}/up/#`);
        assert.deepEqual(await client.subscribe(`meter/${serial}/down/#`), [1]);
        await client.publish(`meter/${serial}/up/t`, "22.5", { qos: 1 });
        assert.equal(await operator.heard(), `meter/${serial}/up/t 22.5`);
        await operator.publish(`meter/${serial}/down/valve`, "open", { qos: 1 });
        assert.equal(await client.heard(), `meter/${serial}/down/valve open`);
      } finally {
        client.socket.destroy();
        operator.socket.destroy();
      }
    });
  }

  test("telemetry and commands, at every gateway and every server", async () => {
    await Promise.all([0, 1, 2].map((server) => isServed(server % 2, server, `T${server}`)));
  });

  test("an update that lies retained is there for a device that comes later, by the other gateway", async () => {
    const operator = await operatorAt(0);
    await operator.publish("meter/SN1/ota", "manifest", { qos: 1, retain: true });
    await operator.publish("fw/meter/d/0", "piece", { qos: 1, retain: true });
    for (const gateway of [0, 1]) {
      const client = await device(gateway, "SN1");
      await client.subscribe("meter/SN1/ota");
      assert.equal(await client.heard(), "meter/SN1/ota manifest");
      await client.subscribe("fw/meter/d/0");
      assert.equal(await client.heard(), "fw/meter/d/0 piece");
      client.end();
      await client.ended;
    }
    operator.end();
  });

  test("R2 the latest connection of a device wins, over the two gateways as well", async () => {
    const first = await device(0, "SN2");
    const second = await device(1, "SN2");
    await first.ended;
    await second.publish("meter/SN2/up/x", "alive", { qos: 1 });
    second.end();
  });

  test("R37 a list is a gateway's own: both are told, and the device is out at both", async () => {
    const client = await device(0, "SN3");
    for (const gateway of gateways) gateway.revoke("v1.meter.SN3");
    await client.ended;
    for (const gateway of gateways)
      await assert.rejects(mqttClient(gateway, "v1.meter.SN3", keyOf("v1.meter.SN3")));
  });

  test("each server is killed once: devices come back, and what was retained is still there", async () => {
    for (const [at, server] of servers.entries()) {
      await server.kill();
      const other = (at + 1) % servers.length;
      await isServed(at % 2, other, `K${at}`);
      const kept = await again(async () => {
        const client = await device(0, "SN1");
        await client.subscribe("meter/SN1/ota");
        const heard = await client.heard();
        client.socket.destroy();
        return heard;
      });
      assert.equal(kept, "meter/SN1/ota manifest");
      await server.again();
    }
  });

  test("each gateway is ended once: the other serves, and a new one needs nothing of it", async () => {
    for (const at of [0, 1]) {
      const client = await device(at, "SN4");
      await gateways[at].close();
      await client.ended;
      await isServed(1 - at, 0, "SN4");
      gateways[at] = await start();
      await isServed(at, 1, "SN4");
    }
  });
});

test("no broker there, one that hangs, one that refuses: devices are kept out with a code, and the reason is told", async () => {
  const { createServer } = await import("node:net");
  const { freePort } = await import("../test/peers/process");
  const refusing = createServer((socket) =>
    socket.once("data", () => socket.end(Buffer.from("20020005", "hex"))),
  );
  const other = createServer((socket) => socket.on("error", () => {}).end("220 mail\r\n"));
  for (const server of [refusing, other])
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const portOf = (server: typeof refusing) => (server.address() as { port: number }).port;
  const cases: [port: number, reason: RegExp][] = [
    [await freePort(), /no broker takes a device: 127\.0\.0\.1:\d+: ECONNREFUSED/],
    [portOf(refusing), /it refuses with CONNACK 5/],
    [portOf(other), /it does not speak MQTT 3\.1\.1/],
  ];
  for (const [port, reason] of cases) {
    const faults: string[] = [];
    const gateway = await startGateway({
      master: masterFromBytes(Buffer.from(master)),
      upstream: [{ host: "127.0.0.1", port }],
      metricsPort: 0,
      onEvent: (event) => void (event.kind === "fault" && faults.push(event.reason)),
    });
    await assert.rejects(mqttClient(gateway, "v1.meter.SN1", keyOf("v1.meter.SN1")), /return code 3/);
    assert.match(faults[0], reason);
    const ready = await fetch(`http://127.0.0.1:${gateway.metricsPort}/ready`);
    assert.equal(ready.status, port === cases[0][0] ? 503 : 200);
    await gateway.close();
  }
  for (const server of [refusing, other]) server.close();
});
