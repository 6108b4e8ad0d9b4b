// The gateway under AKEP2: devices of the profile akep2 speak MQTT through it by the key of the label akep2, and by no other. A client of the
// tests' own says everything else: each message cut, altered, in pieces, too long; records that are altered, sent twice, too long.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import mqtt from "mqtt-packet";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, kbkdf } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { eax, keySetup, mac, sessionKeys } from "../test/akep2/eap_psk";
import { framed, Records } from "../test/akep2/server";
import { TestDevice, Watch } from "../test/device";
import { type Gateway, type GatewayEvent, startGateway } from "./gateway";

const master = randomKey();
const DEVICE = "v7.meter.SN1";
const REVOKED = "v7.meter.SN666";
const keyOf = (name: string) => deriveDeviceKey(master, parseIdentity(name), "kdf", "akep2");
const key = keyOf(DEVICE);
const ALERT = 21;
const DATA = 23;
/** An EAP-Failure with its length before it. */
const FAILURE = "000404010004";
const NONCE_1 = Buffer.concat([Buffer.alloc(15), Buffer.from([1])]);

let gateway: Gateway;
const events: GatewayEvent[] = [];
const seen = new Watch();
const reasons = () => events.flatMap((event) => (event.kind === "refused" ? [event.reason] : []));

/** A device's end of it, out of the tests' own primitives. */
class Client extends Watch {
  received: Buffer = Buffer.alloc(0);
  isClosed = false;
  records: Records | undefined;
  readonly texts: { type: number; text: Buffer }[] = [];
  message1: Buffer = Buffer.alloc(0);
  constructor(readonly socket: Socket) {
    super();
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      if (this.records) this.texts.push(...this.records.receive(bytes));
      else this.received = Buffer.concat([this.received, bytes]);
      this.wake();
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.wake();
    });
  }
  static async begin(): Promise<Client> {
    const client = new Client(connect(gateway.akep2Port as number, "127.0.0.1"));
    client.message1 = await client.message();
    return client;
  }
  /** The next message that comes, without its length. */
  async message(): Promise<Buffer> {
    const whole = () =>
      this.received.length >= 2 && this.received.length >= 2 + this.received.readUInt16BE(0);
    await this.until(() => whole() || this.isClosed);
    assert.ok(whole(), "closed instead of a message");
    const end = 2 + this.received.readUInt16BE(0);
    const packet = this.received.subarray(2, end);
    this.received = this.received.subarray(end);
    return packet;
  }
  /** Messages 2 and, with message 3, 4, as a device makes them; and what the session comes to. */
  second(identity: string, psk: Buffer): { message: Buffer; fourth(message3: Buffer): Buffer } {
    const randS = this.message1.subarray(6, 22);
    const name = this.message1.subarray(22);
    const randP = randomKey();
    const { ak, kdk } = keySetup(psk);
    const { tek, msk } = sessionKeys(kdk, randP);
    const id = Buffer.from(identity);
    const head = (identifier: number, length: number, flags: number) =>
      Buffer.concat([Buffer.from([2, identifier, 0, length, 47, flags]), randS]);
    return {
      message: Buffer.concat([
        head(this.message1[1], 54 + id.length, 0x40),
        randP,
        mac(ak, id, name, randS, randP),
        id,
      ]),
      fourth: (message3) => {
        assert.ok(message3.subarray(22, 38).equals(mac(ak, name, randP)), "MAC_S");
        const { tag, turned } = eax(
          tek,
          Buffer.alloc(16),
          message3.subarray(0, 22),
          message3.subarray(58),
          true,
        );
        assert.ok(tag.equals(message3.subarray(42, 58)) && turned[0] === 0x80, "the protected channel");
        // the records of the tests' server, with its ends exchanged
        const swapped = [
          [16, 32],
          [0, 16],
          [36, 40],
          [32, 36],
        ].map(([from, to]) => msk.subarray(from, to));
        this.records = new Records(Buffer.concat([...swapped, msk.subarray(40)]));
        const header = head(message3[1], 43, 0xc0);
        const sealed = eax(tek, NONCE_1, header, Buffer.from([0x80]));
        return Buffer.concat([header, NONCE_1.subarray(12), sealed.tag, sealed.turned]);
      },
    };
  }
  async handshake(identity = DEVICE, psk = key): Promise<this> {
    const { message, fourth } = this.second(identity, psk);
    this.socket.write(framed(message));
    this.socket.write(framed(fourth(await this.message())));
    return this;
  }
  send(type: number, text: Buffer): void {
    this.socket.write(this.records?.seal(type, text) as Buffer);
  }
  closed(): Promise<boolean> {
    return this.until(() => this.isClosed);
  }
}

const CONNECT = mqtt.generate({
  ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true },
  ...{ clientId: "meter-SN1", keepalive: 60 },
});

before(async () => {
  gateway = await startGateway({
    master: masterFromBytes(Buffer.from(master)),
    keyVersion: 7,
    revoked: [REVOKED],
    akep2Port: 0,
    onEvent: (event) => {
      events.push(event);
      seen.wake();
    },
  });
});
after(() => gateway.close());

test("R2 the key of AKEP2 is that of the label akep2", () => {
  assert.ok(key.equals(kbkdf(master, "akep2", DEVICE)));
});

test("R5 a device of the profile akep2 speaks MQTT through the gateway, both ways", async () => {
  const device = await TestDevice.boot("esp32-sim", {
    ...{ entry: "firmware/main.ts", profile: "akep2", identity: DEVICE, key },
    port: gateway.akep2Port,
  });
  const answers: string[] = [];
  gateway.broker.on("publish", ({ topic, payload }) => {
    if (topic === "meter/SN1/up/echo") answers.push(payload.toString());
    seen.wake();
  });
  try {
    await seen.until(() => events.some((event) => event.kind === "connected"));
    const payload = "t".repeat(500);
    // retained: its subscription may come after it
    gateway.broker.publish(
      { cmd: "publish", topic: "meter/SN1/down/echo", payload, qos: 0, retain: true, dup: false },
      () => {},
    );
    await seen.until(() => answers.includes(payload));
    assert.deepEqual(
      events.flatMap((event) => (event.kind === "secured" ? [[event.identity, event.suite]] : [])),
      [[DEVICE, "AKEP2"]],
    );
  } finally {
    device.powerOff();
  }
  await seen.until(() => gateway.counters.sessions === 0);
});

describe("R18 what is no AKEP2", () => {
  test("R11 unknown, revoked, another label and wrong look alike", async () => {
    for (const [identity, psk] of [
      ["v7.meter.SN2", key],
      [REVOKED, keyOf(REVOKED)],
      ["v5.meter.SN1", keyOf("v5.meter.SN1")],
      [DEVICE, deriveDeviceKey(master, parseIdentity(DEVICE))],
      [DEVICE, randomKey()],
      ["no identity", key],
      ["v7.meter.SN1\0", key],
    ] as const) {
      const client = await Client.begin();
      const { derivations } = gateway.counters;
      client.socket.write(framed(client.second(identity, psk).message));
      assert.equal(framed(await client.message()).toString("hex"), FAILURE, identity);
      await client.closed();
      assert.equal(gateway.counters.derivations - derivations, 2, identity);
    }
    assert.equal(gateway.counters.halfOpen, 0);
  });

  test("every byte of message 2 and of message 4 changed, and each cut short", async () => {
    const length = 54 + DEVICE.length;
    for (const which of [2, 4] as const)
      for (let at = 0; at < (which === 2 ? length : 43); at++) {
        const client = await Client.begin();
        const { message, fourth } = client.second(DEVICE, key);
        let last = message;
        if (which === 4) {
          client.socket.write(framed(message));
          last = fourth(await client.message());
          client.records = undefined;
        }
        last = Buffer.from(last);
        // of message 4 the five reserved bits are its last byte's lower ones
        last[at] ^= which === 2 && at >= 54 ? 1 : 0x80;
        client.socket.write(framed(last));
        await client.closed();
        const short = await Client.begin();
        short.socket.end(framed(short.second(DEVICE, key).message).subarray(0, at + 1));
        await short.closed();
      }
    assert.deepEqual([gateway.counters.halfOpen, gateway.counters.sessions], [0, 0]);
  });

  test("what is longer than a message, or none, ends at once", async () => {
    for (const bytes of ["0000", "0036", "ffff", "0077", "0040" + "01", "1603010000"]) {
      const client = await Client.begin();
      client.socket.write(Buffer.from(bytes, "hex"));
      await client.closed();
    }
    assert.ok(reasons().includes("what came is no second message of AKEP2"));
    const client = await Client.begin();
    client.socket.write(framed(client.second(DEVICE, key).message));
    await client.message();
    client.socket.write(Buffer.from("ffff", "hex"));
    assert.equal(framed(await client.message()).toString("hex"), FAILURE);
    await client.closed();
    assert.equal(gateway.counters.halfOpen, 0);
  });

  test("R4 records that are altered, sent twice, of another type, too long or too short are bad_record_mac and the end", async () => {
    const altered: ((client: Client) => Buffer)[] = [
      (client) => {
        const record = client.records?.seal(DATA, CONNECT) as Buffer;
        record[record.length - 1] ^= 1;
        return record;
      },
      (client) => {
        const record = client.records?.seal(DATA, CONNECT) as Buffer;
        return Buffer.concat([record, record]);
      },
      (client) => {
        const record = client.records?.seal(DATA, CONNECT) as Buffer;
        record[0] = 22;
        return record;
      },
      (client) => client.records?.seal(DATA, Buffer.alloc(513)) as Buffer,
      () => Buffer.from([DATA, 3, 3, 0, 15]),
    ];
    for (const each of altered) {
      const client = await (await Client.begin()).handshake();
      client.socket.write(each(client));
      await client.closed();
      assert.deepEqual(client.texts.at(-1), { type: ALERT, text: Buffer.from([2, 20]) });
    }
    await seen.until(() => gateway.counters.sessions === 0);
  });

  test("an honest client in pieces of a byte: CONNACK; close_notify is answered", async () => {
    const client = await Client.begin();
    const { message, fourth } = client.second(DEVICE, key);
    for (const byte of framed(message)) client.socket.write(Buffer.from([byte]));
    for (const byte of framed(fourth(await client.message()))) client.socket.write(Buffer.from([byte]));
    client.send(DATA, CONNECT);
    await client.until(() => client.texts.length > 0);
    assert.equal(client.texts[0].text.toString("hex"), "20020000");
    client.send(ALERT, Buffer.from([1, 0]));
    await client.closed();
    assert.deepEqual(client.texts.at(-1), { type: ALERT, text: Buffer.from([1, 0]) });
    await seen.until(() => gateway.counters.sessions === 0);
  });
});

test("R36 who says nothing after message 1 is cut off", async () => {
  const own = await startGateway({
    master: masterFromBytes(Buffer.from(master)),
    keyVersion: 7,
    akep2Port: 0,
    limits: { helloTimeoutMs: 20, handshakeTimeoutMs: 50 },
  });
  const silent = connect(own.akep2Port as number, "127.0.0.1");
  silent.resume();
  await new Promise((resolve) => silent.once("close", resolve));
  assert.equal(own.counters.halfOpen, 0);
  await own.close();
});

test("R36 a bad record and no reading, a refusal that is not read, records without a byte: each ends soon, and what comes behind is dropped", async () => {
  const held = async (say: (client: Client) => void): Promise<void> => {
    const client = await (await Client.begin()).handshake();
    say(client);
    client.socket.pause();
    const junk = Buffer.alloc(65_536);
    // for as long as it is taken
    client.socket.on("drain", () => client.socket.write(junk));
    client.socket.write(junk);
    await seen.until(() => gateway.counters.sessions === 0 && gateway.counters.halfOpen === 0);
    client.socket.destroy();
  };
  const ticking = setInterval(() => seen.wake(), 50);
  try {
    await held((client) => client.send(DATA, Buffer.alloc(513)));
    await held((client) =>
      client.send(
        DATA,
        mqtt.generate({
          ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true },
          ...{ clientId: "meter-SN2", keepalive: 60 },
        }),
      ),
    );
    await held((client) => {
      for (let count = 0; count < 40; count++) client.send(DATA, Buffer.alloc(0));
    });
  } finally {
    clearInterval(ticking);
  }
});

test("a scheme with one key for each device has no AKEP2", async () => {
  const scheme = masterFromBytes(randomKey(), "psk", "an10922");
  await assert.rejects(startGateway({ master: scheme, akep2Port: 0 }), /AKEP2 wants one of its own/);
});
