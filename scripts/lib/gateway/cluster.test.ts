// The gateway before a cluster: three NATS servers (JetStream, MQTT) and two gateways, of which any may be gone. Telemetry,
// commands, what is retained, and the latest connection of a device wins, also over two gateways; each server and
// each gateway is ended once. A device that loses its connection comes back as devices do: again and again, to any gateway.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { type NatsServer, settled, startNats } from "../test/peers/nats";
import { type MqttClient, mqttClient, operatorClient } from "../test/psk_client";
import { type Gateway, startGateway } from "./gateway";

const master = randomKey();
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));
const PATIENCE_MS = 60_000; // after which it is a defect, not a wait

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

/** Subscribe as devices do, with QoS 0: NATS then needs no consumer of its own for it, and no vote on who leads that. */
const subscribe = async (client: MqttClient, topic: string) =>
  assert.deepEqual(await client.subscribe({ topic, qos: 0 }), [0]);

/** Three servers and gateways before them. */
class Cluster {
  private operators = 0;
  private constructor(
    readonly servers: NatsServer[],
    readonly gateways: Gateway[],
  ) {}

  static async start(gateways: number): Promise<Cluster> {
    const cluster = new Cluster(await startNats(3), []);
    while (cluster.gateways.length < gateways) cluster.gateways.push(await cluster.startGateway());
    (await cluster.operator(0)).end(); // the first client has the streams made
    await settled(cluster.servers);
    return cluster;
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.close()));
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  startGateway(): Promise<Gateway> {
    return startGateway({
      master: masterFromBytes(Buffer.from(master)),
      upstream: this.servers.map(({ port }) => ({ host: "127.0.0.1", port })),
    });
  }

  device(gateway: number, serial: string): Promise<MqttClient> {
    const identity = `v1.meter.${serial}`;
    return again(() => mqttClient(this.gateways[gateway], identity, keyOf(identity)));
  }

  operator(server: number): Promise<MqttClient> {
    return again(() => operatorClient(this.servers[server].port, `operator${++this.operators}`));
  }

  /** A device at one gateway and an operator at one server hear each other. */
  async serves(gateway: number, server: number, serial: string): Promise<void> {
    await again(async () => {
      const operator = await this.operator(server);
      const client = await this.device(gateway, serial);
      try {
        await subscribe(operator, `meter/${serial}/up/#`);
        await subscribe(client, `meter/${serial}/down/#`);
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

  /** Retain messages, and have a device read them by each gateway. */
  async retain(serial: string, messages: Record<string, string>): Promise<void> {
    const operator = await this.operator(0);
    for (const [topic, payload] of Object.entries(messages))
      await operator.publish(topic, payload, { qos: 1, retain: true });
    operator.end();
    for (const gateway of this.gateways.keys()) await this.keeps(gateway, serial, messages);
  }

  async keeps(gateway: number, serial: string, messages: Record<string, string>): Promise<void> {
    await again(async () => {
      const client = await this.device(gateway, serial);
      try {
        for (const [topic, payload] of Object.entries(messages)) {
          await subscribe(client, topic);
          assert.equal(await client.heard(), `${topic} ${payload}`);
        }
      } finally {
        client.socket.destroy();
      }
    });
  }
}

describe("two gateways before three NATS servers", { skip: skipWithout("nats-server") }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.start(2);
  });
  after(() => cluster.stop());

  test("telemetry and commands, at every gateway and every server", async () => {
    await Promise.all([0, 1, 2].map((server) => cluster.serves(server % 2, server, `T${server}`)));
  });

  test("an update that lies retained is there for a device that comes later, by the other gateway", async () => {
    await cluster.retain("SN1", { "meter/SN1/ota": "manifest", "fw/meter/d/0": "piece" });
  });

  test("R2 the latest connection of a device wins, over the two gateways as well", async () => {
    const first = await cluster.device(0, "SN2");
    const second = await cluster.device(1, "SN2");
    await first.ended;
    await second.publish("meter/SN2/up/x", "alive", { qos: 1 });
    second.end();
  });

  test("R37 a list is a gateway's own: both are told, and the device is out at both", async () => {
    const client = await cluster.device(0, "SN3");
    for (const gateway of cluster.gateways) gateway.revoke("v1.meter.SN3");
    await client.ended;
    for (const gateway of cluster.gateways)
      await assert.rejects(mqttClient(gateway, "v1.meter.SN3", keyOf("v1.meter.SN3")));
  });

  test("each gateway is ended once: the other serves, and a new one needs nothing of it", async () => {
    for (const at of [0, 1]) {
      const client = await cluster.device(at, "SN4");
      await cluster.gateways[at].close();
      cluster.gateways[at] = await cluster.startGateway();
      await client.ended;
      await cluster.serves(1 - at, 0, "SN4");
      await cluster.serves(at, 1, "SN4");
    }
  });
});

// Each in a cluster of its own (peers/nats.ts says why), all at once, as what they do is wait.
describe("one of three NATS servers is killed", { skip: skipWithout("nats-server"), concurrency: 3 }, () => {
  for (const at of [0, 1, 2])
    test(`server ${at}: devices come back, what was retained is there, and the server serves again`, async () => {
      const cluster = await Cluster.start(1);
      try {
        const update = { "meter/SN1/ota": "manifest" };
        await cluster.retain("SN1", update);
        await cluster.servers[at].kill();
        await settled(cluster.servers);
        await cluster.serves(0, (at + 1) % 3, "SN2");
        await cluster.keeps(0, "SN1", update);
        await cluster.servers[at].again();
        await cluster.serves(0, at, "SN2");
      } finally {
        await cluster.stop();
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
    [await freePort(), /no broker takes a device: 127\.0\.0\.1:\d+: nothing listens there/],
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
