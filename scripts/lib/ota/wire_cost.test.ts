// The calculated cost of an image against bytes counted on real connections, with a client that asks as the device does.
import assert from "node:assert/strict";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type IStream, MqttClient } from "mqtt";
import { masterFromBytes } from "../custody/master";
import { startGateway } from "../gateway/gateway";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { start as startMosquitto } from "../test/peers/mosquitto";
import { testImage, testUpdate } from "../test/update";
import { Broker } from "./broker";
import { piecesPrefix } from "./manifest";
import { publishPieces } from "./publish";
import { wireCost } from "./wire_cost";

const master = randomKey();
const identity = "v1.meter.SN1";
const key = deriveDeviceKey(master, parseIdentity(identity));
const update = testUpdate({ image: testImage(6000), encoding: "none" });
/** Records of Node's client may be as long as TLS allows: it does not ask for less, as the device does. */
const FRAGMENT = 16_384;

/** Fetch all pieces; resolves with the bytes that went over TCP for it. */
async function fetchPieces(port: number, window: number): Promise<{ up: number; down: number }> {
  let raw: Socket | undefined;
  const client = new MqttClient(
    () => {
      raw = connectTcp({ host: "127.0.0.1", port });
      return connectTls({
        ...{ socket: raw, ciphers: "PSK-AES128-CCM8:@SECLEVEL=0", maxVersion: "TLSv1.2" },
        pskCallback: () => ({ identity, psk: key }),
        checkServerIdentity: () => undefined,
      }) as unknown as IStream;
    },
    { clientId: "meter-SN1", protocolVersion: 4, reconnectPeriod: 0 },
  );
  await new Promise((resolve, reject) => client.once("connect", resolve).once("error", reject));
  const socket = raw as Socket;
  const counted = () => ({ up: socket.bytesWritten, down: socket.bytesRead });
  const before = counted();
  const prefix = piecesPrefix(update);
  for (let at = 0; at < update.pieces.length; at += window) {
    const topics = update.pieces.slice(at, at + window).map((_, i) => `${prefix}${at + i}`);
    const waiting = new Set(topics);
    const all = new Promise<void>((resolve) => {
      const take = (topic: string) => {
        waiting.delete(topic);
        if (waiting.size > 0) return;
        client.off("message", take);
        resolve();
      };
      client.on("message", take);
    });
    await Promise.all([client.subscribeAsync(topics), all]);
  }
  const now = counted();
  await client.endAsync(true);
  return { up: now.up - before.up, down: now.down - before.down };
}

const PLACES = {
  "the gateway": {
    skip: false as string | false,
    async open() {
      const gateway = await startGateway({ master: masterFromBytes(Buffer.from(master)), operatorPort: 0 });
      return {
        port: gateway.port,
        operator: { host: "127.0.0.1", port: gateway.operatorPort as number },
        stop: () => gateway.close(),
      };
    },
  },
  Mosquitto: {
    skip: skipWithout("mosquitto"),
    async open() {
      const operator = { identity: "operator", key: randomKey() };
      const peer = await startMosquitto({ ...operator, clients: [{ identity, key }] });
      const place = { host: "127.0.0.1", port: peer.port };
      return { port: peer.port, operator: { ...place, psk: operator }, stop: () => peer.stop() };
    },
  },
};

for (const [name, { skip, open }] of Object.entries(PLACES)) {
  describe(name, { skip }, () => {
    let place: Awaited<ReturnType<typeof open>>;
    before(async () => {
      place = await open();
      const operator = await Broker.connect(place.operator);
      await publishPieces(operator, update);
      await operator.close();
    });
    after(() => place.stop());

    for (const window of [1, 2, 4]) {
      test(`${window} at a time cost what is calculated`, async () => {
        const { up, down } = await fetchPieces(place.port, window);
        const most = wireCost(update, window, FRAGMENT);
        // Mosquitto makes a record of each packet; the gateway may put two into one, and save its head
        if (name === "Mosquitto") assert.deepEqual({ up, down }, { up: most.up, down: most.down });
        else
          assert.ok(up === most.up && down <= most.down && down > 0.9 * most.down, `${up} up, ${down} down`);
      });
    }
  });
}
