// Publishing to real brokers: Mosquitto over TLS-PSK, and the gateway's own. What a device gets is read by a client that
// has its identity and key. Rows 20, 21 and 28 of the requirements.
import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import mqtt, { type Packet } from "mqtt-packet";
import { DeviceError, UsageError } from "../cli/exit";
import { masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { findProgram, skipWithout } from "../test/peers/install";
import { start as startMosquitto } from "../test/peers/mosquitto";
import { freePort, startPeer, WorkFolder } from "../test/peers/process";
import { mqttClient } from "../test/psk_client";
import { retainedUnder } from "../test/retained";
import { testImage, testManifests, testMasters, testRekeys, testUpdate } from "../test/update";
import { Broker, type BrokerOptions } from "./broker";
import { imageDigest } from "./digest";
import { manifestTopic, piecesPrefix } from "./manifest";
import { clearManifests, clearRekeys, publishManifests, publishPieces, refuseRollback } from "./publish";
import type { Manifests } from "./sign";
import { imageOf } from "./update_file";

const master = randomKey();
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));
const OPERATOR = { identity: "operator", key: randomKey() };
const DEVICE = "v1.meter.SN1";

/** A broker, and how the operator and the device reach it. */
interface Place {
  operator: BrokerOptions;
  /** Where devices connect. */
  port: number;
  stop(): Promise<void>;
}

const PLACES: Record<string, { skip: string | false; open(): Promise<Place> }> = {
  "Mosquitto over TLS-PSK": {
    skip: skipWithout("mosquitto"),
    async open() {
      const clients = [{ identity: DEVICE, key: keyOf(DEVICE) }];
      const peer = await startMosquitto({ ...OPERATOR, clients });
      const place = { host: "127.0.0.1", port: peer.port };
      return {
        operator: { ...place, psk: OPERATOR },
        port: peer.port,
        stop: () => peer.stop(),
      };
    },
  },
  "the gateway's operator port": {
    skip: false,
    async open() {
      const gateway: Gateway = await startGateway({
        master: masterFromBytes(Buffer.from(master)),
        operatorPort: 0,
      });
      return {
        operator: { host: "127.0.0.1", port: gateway.operatorPort as number },
        port: gateway.port,
        stop: () => gateway.close(),
      };
    },
  },
};

for (const [name, { skip, open }] of Object.entries(PLACES)) {
  describe(name, { skip }, () => {
    let place: Place;
    let operator: Broker;
    before(async () => {
      place = await open();
      operator = await Broker.connect(place.operator);
    });
    after(async () => {
      await operator.close();
      await place.stop();
    });
    const update = testUpdate({ image: testImage(5000), sequence: 7 });
    const signed = testManifests(update, ["SN1", "SN2", "SN3"]);

    /** What the device of DEVICE gets when it subscribes, as many messages as there must be. */
    async function gets(count: number, ...filters: string[]): Promise<Map<string, Buffer>> {
      const device = await mqttClient(place, DEVICE, keyOf(DEVICE));
      await device.subscribe(...filters);
      const found = new Map<string, Buffer>();
      while (found.size < count) {
        const packet = await device.next();
        if (packet.cmd === "publish") found.set(packet.topic, packet.payload as Buffer);
      }
      device.end();
      return found;
    }

    test("R20 a device gets its own manifest and the image that it names, and nobody else's", async () => {
      assert.deepEqual(await publishPieces(operator, update), { written: 10, found: 0 });
      assert.deepEqual(await publishManifests(operator, signed), { written: 3, found: 0 });
      const own = manifestTopic("meter", "SN1");
      const prefix = piecesPrefix(update);
      const found = await gets(11, own, `${prefix}+`);
      assert.deepEqual(found.get(own), signed.manifest(0));
      assert.equal(found.size, 11);
      const pieces = update.pieces.map((_, n) => found.get(`${prefix}${n}`) as Buffer);
      assert.deepEqual(imageDigest(imageOf(update.encoding, pieces)), update.digest);
    });

    test("the same again writes nothing; what is missing or another is written", async () => {
      assert.deepEqual(await publishPieces(operator, update), { written: 0, found: 10 });
      assert.deepEqual(await publishManifests(operator, signed), { written: 0, found: 3 });
      const prefix = piecesPrefix(update);
      await operator.publish([
        { topic: `${prefix}3`, payload: Buffer.alloc(0) },
        { topic: `${prefix}9`, payload: Buffer.from("another") },
      ]);
      await clearManifests(operator, { product: "meter", sequence: 7 }, ["SN2"]);
      assert.equal((await retainedUnder(operator, `${prefix}+`)).size, 9);
      assert.deepEqual(await publishPieces(operator, update), { written: 2, found: 8 });
      assert.deepEqual(await publishManifests(operator, signed), { written: 1, found: 2 });
      assert.deepEqual(await publishManifests(operator, signed, { rows: [2] }), { written: 0, found: 1 });
    });

    for (const [title, sequence] of [
      ["an older sequence", 6],
      ["the same sequence with another image", 7],
    ] as const) {
      test(`R21 ${title} than what is offered is refused, and nothing is published`, async () => {
        const other = testUpdate({ image: testImage(600, 5), sequence });
        const manifests = testManifests(other, ["SN3", "SN4"]);
        const before = await retainedUnder(operator, "meter/+/ota", "fw/#");
        await assert.rejects(refuseRollback(operator, manifests), UsageError);
        await assert.rejects(
          publishManifests(operator, manifests),
          /meter\/SN3\/ota offers sequence 7 already, and [67] is not newer/,
        );
        assert.deepEqual(await retainedUnder(operator, "meter/+/ota", "fw/#"), before);
      });
    }

    test("R21 a newer sequence takes the place of the older", async () => {
      const newer = testManifests(testUpdate({ sequence: 8 }), ["SN3"]);
      assert.deepEqual(await publishManifests(operator, newer), { written: 1, found: 0 });
      assert.deepEqual(
        (await retainedUnder(operator, "meter/SN3/ota")).get("meter/SN3/ota"),
        newer.manifest(0),
      );
    });

    test("taking an update's manifests away leaves those of another", async () => {
      const of7 = { product: "meter", sequence: 7 };
      const found = async () => [...(await retainedUnder(operator, "meter/+/ota")).keys()].sort();
      assert.deepEqual(await found(), ["meter/SN1/ota", "meter/SN2/ota", "meter/SN3/ota"]);
      await clearManifests(operator, of7, ["SN2", "SN3"]);
      assert.deepEqual(await found(), ["meter/SN1/ota", "meter/SN3/ota"]);
    });

    describe("new keys", () => {
      const masters = testMasters();
      const nine = testUpdate({ sequence: 9 });
      const make = (update: typeof nine, ...serials: string[]) =>
        testRekeys({ identities: serials.map((serial) => `v1.meter.${serial}`), masters, update });
      const all = () => retainedUnder(operator, "meter/+/ota", "fw/#");

      test("R20 a device gets its manifest and its wrapped keys; the same again writes nothing", async () => {
        const rekeys = await make(nine, "SN1", "K2", "K3");
        await publishPieces(operator, nine);
        const before = await all();
        assert.deepEqual(await publishManifests(operator, rekeys), { written: 3, found: 0 });
        const found = await gets(1, "meter/SN1/ota");
        assert.deepEqual(found.get("meter/SN1/ota"), rekeys.manifest(0));
        for (const [row, serial] of ["SN1", "K2", "K3"].entries())
          before.set(manifestTopic("meter", serial), rekeys.manifest(row));
        assert.deepEqual(await all(), before, "and nothing else is another than it was");
        assert.deepEqual(await publishManifests(operator, rekeys), { written: 0, found: 3 });
        assert.equal(await clearRekeys(operator, rekeys, [1]), 1);
        assert.deepEqual(await publishManifests(operator, rekeys), { written: 1, found: 2 });
      });

      test("R21 neither goes behind the other, nor other keys into their place; nothing is published", async () => {
        const before = await all();
        const refused = /offers sequence 9 already, and [89] is not newer/;
        const eight = testUpdate({ sequence: 8 });
        for (const manifests of [
          await testRekeys({ identities: ["v1.meter.K1", "v1.meter.K2"], update: nine }), // other masters
          await make(eight, "K2"),
          testManifests(nine, ["K2"]),
          testManifests(eight, ["K2"]),
        ]) {
          await assert.rejects(refuseRollback(operator, manifests), refused);
          await assert.rejects(publishManifests(operator, manifests), refused);
        }
        await clearManifests(operator, { product: "meter", sequence: 8 }, ["K2"]);
        assert.deepEqual(await all(), before);
      });

      test("taking them away leaves those of others, and what came after", async () => {
        const rekeys = await make(nine, "M1", "M2", "M3");
        await publishManifests(operator, rekeys);
        const newer = testManifests(testUpdate({ sequence: 10 }), ["M2"]);
        await publishManifests(operator, newer);
        assert.equal(await clearRekeys(operator, rekeys, [0, 1]), 1);
        const found = await all();
        assert.equal(found.has("meter/M1/ota"), false);
        assert.deepEqual(found.get("meter/M2/ota"), newer.manifest(0));
        assert.deepEqual(found.get("meter/M3/ota"), rekeys.manifest(2));
        await clearManifests(operator, { product: "meter", sequence: 9 }, ["M2", "M3"]);
        assert.deepEqual(
          [...(await retainedUnder(operator, "meter/+/ota")).keys()].filter((t) => /M/.test(t)),
          ["meter/M2/ota"],
        );
      });
    });

    test("R28 manifests go out at the pace that is asked for", async () => {
      const serials = Array.from({ length: 21 }, (_, i) => `P${i}`);
      const paced: Manifests = testManifests(testUpdate(), serials);
      const times: number[] = [];
      const stop = await operator.listen(["meter/+/ota"], (topic) => {
        if (topic.startsWith("meter/P")) times.push(Date.now());
      });
      await publishManifests(operator, paced, { perSecond: 40 });
      await stop();
      assert.ok(times[20] - times[0] >= 450, `${times[20] - times[0]} ms for 20 of them`);
    });
  });
}

describe("a broker that does not do as it should", () => {
  test("one that nobody answers for, or that is silent, or that knows another key: a sentence each", async () => {
    const port = await freePort();
    await assert.rejects(Broker.connect({ host: "127.0.0.1", port }), /nothing listens there/);
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
    await assert.rejects(Broker.connect({ host: "127.0.0.1", port, timeoutMs: 300 }), /it does not answer/);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
    const gateway = await startGateway({ master: masterFromBytes(Buffer.from(master)) });
    const psk = { identity: DEVICE, key: randomKey() };
    await assert.rejects(
      Broker.connect({ host: "127.0.0.1", port: gateway.port, psk }),
      /bad_record_mac.*the key is wrong or the identity unknown/,
    );
    await gateway.close();
    await assert.rejects(Broker.connect({ host: "broker.example.net", port: 1883 }), UsageError);
  });

  test("one that lets nobody in with the key of a device: a sentence", async () => {
    const gateway = await startGateway({ master: masterFromBytes(Buffer.from(master)) });
    const psk = { identity: DEVICE, key: keyOf(DEVICE) };
    const where = { host: "127.0.0.1", port: gateway.port, clientId: "meter-SN1" };
    try {
      await assert.rejects(Broker.connect({ ...where, psk }), /it refuses us: .*Not authorized/);
    } finally {
      await gateway.close();
    }
  });

  test("one that does not let us listen: a sentence", async () => {
    const refusing = createServer((socket) => {
      const parser = mqtt.parser();
      const answers: Record<string, (packet: Packet) => object> = {
        connect: () => ({ cmd: "connack", returnCode: 0, sessionPresent: false }),
        subscribe: ({ messageId }) => ({ cmd: "suback", messageId, granted: [128] }),
      };
      parser.on("packet", (packet: Packet) => {
        const answer = answers[packet.cmd];
        if (answer) socket.write(mqtt.generate(answer(packet) as Packet));
      });
      socket.on("data", (chunk) => parser.parse(chunk)).on("error", () => {});
    });
    await new Promise<void>((resolve) => refusing.listen(0, "127.0.0.1", resolve));
    const { port } = refusing.address() as AddressInfo;
    const broker = await Broker.connect({ host: "127.0.0.1", port });
    try {
      await assert.rejects(
        broker.listen(["meter/SN2/ota"], () => {}),
        /does not let us listen to meter\/SN2\/ota/,
      );
    } finally {
      await broker.close();
      refusing.close();
    }
  });

  const skip = skipWithout("mosquitto");
  test("one that acknowledges and throws away is found out", { skip }, async () => {
    const port = await freePort();
    const folder = new WorkFolder();
    const rules = folder.file("rules", "topic read fw/#\ntopic read meter/#\n");
    const configuration = folder.file(
      "mosquitto.conf",
      `${process.getuid?.() === 0 ? "user root\n" : ""}listener ${port} 127.0.0.1\nallow_anonymous true\nacl_file ${rules}\n`,
    );
    const program = { command: findProgram("mosquitto") ?? "", args: ["-c", configuration], folder };
    const peer = await startPeer("mosquitto", program, port);
    const broker = await Broker.connect({ host: "127.0.0.1", port, answerMs: 300 });
    try {
      await assert.rejects(
        publishPieces(broker, testUpdate()),
        (error) =>
          error instanceof DeviceError &&
          /does not give back what we retain on fw\/look\/.*may this operator publish/.test(error.message),
      );
    } finally {
      await broker.close();
      await peer.stop();
    }
  });

  test("one that falls over: what is under way goes on when it is back, and fails when it is not", async () => {
    const operatorPort = await freePort();
    const open = () => startGateway({ master: masterFromBytes(Buffer.from(master)), operatorPort });
    const update = testUpdate();
    const signed = testManifests(
      update,
      Array.from({ length: 30 }, (_, i) => `SN${i}`),
    );
    let gateway = await open();
    const broker = await Broker.connect({ host: "127.0.0.1", port: operatorPort, giveUpMs: 3000 });
    try {
      let fallen: Promise<void> | undefined;
      await publishManifests(broker, signed, {
        ...{ perSecond: 100, patienceMs: 300 },
        onProgress(step, done) {
          if (step === "manifests" && done === 10)
            fallen ??= gateway.close().then(async () => {
              gateway = await open();
            });
        },
      }).catch(() => {}); // what the fallen one had retained is gone: found out when it is looked at again
      await fallen;
      const { written, found } = await publishManifests(broker, signed);
      assert.equal(written + found, 30);
      assert.ok(found >= 15, `${found} arrived after the fall`);
      await gateway.close();
      await assert.rejects(publishPieces(broker, update), /has gone and does not come back/);
    } finally {
      await broker.close();
    }
  });
});
