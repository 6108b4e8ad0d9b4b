// Who may begin a handshake (R36): floods of bare connections and of stalled handshakes, one address and several, balancers
// that say whom they speak for. Attackers come from other addresses of 127.0.0.0/8, and each test ends by what happens.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { findProgram, skipWithout } from "../test/peers/install";
import { freePort, startPeer, WorkFolder } from "../test/peers/process";
import { CLIENT_HELLO, knock, mqttClient, open, secure, type TcpClient } from "../test/psk_client";
import { type Gateway, type GatewayEvent, type GatewayOptions, startGateway } from "./gateway";

const master = randomKey();
const DEVICE = "v1.meter.SN1";
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));

async function withGateway(
  options: Partial<GatewayOptions>,
  work: (gateway: Gateway, refused: { reason: string; address: string }[]) => Promise<void>,
): Promise<void> {
  const refused: { reason: string; address: string }[] = [];
  const onEvent = (event: GatewayEvent) => void (event.kind === "refused" && refused.push(event));
  const gateway = await startGateway({ master: masterFromBytes(Buffer.from(master)), onEvent, ...options });
  try {
    await work(gateway, refused);
  } finally {
    await gateway.close();
  }
}

/** Begin a handshake and stop after the ClientHello: a slow device, which goes on when it is told. Resolves with ServerHello. */
async function slowDevice(gateway: Gateway, address = "127.0.0.1"): Promise<TcpClient> {
  const client = await open(gateway, address);
  const answered = new Promise<void>((resolve) => client.socket.once("data", () => resolve()));
  client.socket.write(CLIENT_HELLO);
  await Promise.race([answered, client.closed]);
  return client;
}

const isOpen = ({ socket }: { socket: Socket }) => !socket.destroyed;
const HOUR = 3_600_000;

describe("R36 floods before the handshake", () => {
  test("bare connections give way first: 36 slow devices stay while 900 bare ones from six addresses come", async () => {
    const limits = { halfOpen: 200, halfOpenPerAddress: 150, helloTimeoutMs: HOUR, handshakeTimeoutMs: HOUR };
    await withGateway({ limits }, async (gateway, refused) => {
      const slow = await Promise.all(Array.from({ length: 36 }, () => slowDevice(gateway)));
      const bare: TcpClient[] = [];
      for (let round = 0; round < 30; round++)
        bare.push(
          ...(await Promise.all(
            Array.from({ length: 30 }, (_, i) => open(gateway, `127.0.1.${1 + (i % 6)}`)),
          )),
        );
      await Promise.all(bare.slice(0, 600).map(({ closed }) => closed));
      assert.ok(gateway.counters.halfOpen <= limits.halfOpen, `${gateway.counters.halfOpen} half open`);
      assert.ok(refused.every(({ address }) => address.startsWith("127.0.1.")));
      assert.equal(slow.filter(isOpen).length, 36);
      assert.equal(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
      for (const { socket } of [...slow, ...bare]) socket.destroy();
    });
  });

  test("from one shared address as well: 36 slow devices stay while bare ones fill its share", async () => {
    const limits = { halfOpenPerAddress: 100, helloTimeoutMs: HOUR, handshakeTimeoutMs: HOUR };
    await withGateway({ limits }, async (gateway) => {
      const slow = await Promise.all(Array.from({ length: 36 }, () => slowDevice(gateway)));
      const bare = await Promise.all(Array.from({ length: 300 }, () => open(gateway)));
      await Promise.all(bare.slice(0, 236).map(({ closed }) => closed));
      assert.equal(slow.filter(isOpen).length, 36);
      assert.equal(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
      for (const { socket } of [...slow, ...bare]) socket.destroy();
    });
  });

  test("600 slow devices behind one address: none has to try again", async () => {
    await withGateway({}, async (gateway, refused) => {
      const slow = await Promise.all(Array.from({ length: 600 }, () => slowDevice(gateway)));
      assert.equal(gateway.counters.halfOpen, 600);
      assert.equal(slow.filter(isOpen).length, 600);
      assert.deepEqual(refused, []);
      for (const { socket } of slow) socket.destroy();
    });
  });

  test("when handshakes alone fill the pool, the oldest gives way and the next device gets in", async () => {
    await withGateway({ limits: { halfOpen: 20, handshakeTimeoutMs: HOUR } }, async (gateway) => {
      const slow: TcpClient[] = [];
      for (let i = 0; i < 21; i++) slow.push(await slowDevice(gateway));
      await slow[0].closed;
      assert.equal(slow.filter(isOpen).length, 20);
      assert.equal(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
      for (const { socket } of slow) socket.destroy();
    });
  });

  test("trickling bytes prolongs nothing: stalled at any byte of the ClientHello and after it, gone by itself", async () => {
    const limits = { helloTimeoutMs: 300, handshakeTimeoutMs: 600 };
    await withGateway({ limits }, async (gateway, refused) => {
      const { socket, closed } = await open(gateway);
      const trickle = setInterval(() => socket.write(CLIENT_HELLO.subarray(0, 1)), 50);
      await closed.finally(() => clearInterval(trickle));
      const lengths = [0, 1, 4, 5, 6, 11, 43, CLIENT_HELLO.length - 1, CLIENT_HELLO.length];
      const stalled = await Promise.all(lengths.map(() => open(gateway)));
      for (const [at, one] of stalled.entries()) {
        one.socket.write(CLIENT_HELLO.subarray(0, lengths[at]));
        one.socket.resume();
      }
      await Promise.all(stalled.map((one) => one.closed));
      const reasons = new Set(refused.map(({ reason }) => reason));
      assert.ok(reasons.has("no ClientHello came in time"));
      assert.ok(reasons.has("the handshake was not finished in time"));
      assert.equal(gateway.counters.halfOpen, 0);
    });
  });

  test("another protocol, garbage, a flood of alerts, an endless record: an end, and the next device gets in", async () => {
    await withGateway({}, async (gateway) => {
      for (const bytes of [
        Buffer.from("GET / HTTP/1.1\r\n\r\n"),
        Buffer.alloc(5000, 0xff),
        Buffer.alloc(700, Buffer.from("15030300020100", "hex")),
        Buffer.from("16030140", "hex"), // a record of 16,384 bytes and more
        Buffer.from("1603010001", "hex"),
        Buffer.from("160301002f02", "hex"), // no ClientHello
        Buffer.from("0d0a0d0a000d0a515549540a2111000c7f0000027f00000100010002", "hex"), // PROXY, of no balancer
      ]) {
        const { socket, closed } = await open(gateway);
        socket.resume();
        socket.write(bytes);
        if (bytes.length === 4) socket.write(Buffer.from("01", "hex"));
        if (bytes.length === 5) socket.end(Buffer.from("01", "hex")); // one byte of a ClientHello
        await closed;
      }
      assert.equal(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
    });
  });

  test("a ClientHello in single bytes is one", async () => {
    await withGateway({}, async (gateway) => {
      const { socket } = await open(gateway);
      socket.setNoDelay(true);
      const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
      for (const byte of CLIENT_HELLO) {
        socket.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal((await answer)[0], 22); // a handshake record: ServerHello
      socket.destroy();
    });
  });

  test("too many connections in all: told, and taken again when one has gone", async () => {
    await withGateway({ limits: { connections: 2 } }, async (gateway, refused) => {
      const first = await mqttClient(gateway, DEVICE, keyOf(DEVICE));
      const second = await mqttClient(gateway, "v1.meter.SN2", keyOf("v1.meter.SN2"));
      assert.notEqual(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
      assert.equal(refused.at(-1)?.reason, "too many connections");
      second.end();
      await second.ended;
      assert.equal(await knock(gateway, DEVICE, keyOf(DEVICE)), "in");
      first.end();
    });
  });
});

describe("R36 after the handshake", () => {
  test("secured but silent: gone without a CONNECT", async () => {
    await withGateway({ limits: { connectTimeoutMs: 200 } }, async (gateway, refused) => {
      const socket = await secure(gateway, DEVICE, keyOf(DEVICE));
      await new Promise((resolve) => socket.once("close", resolve));
      assert.equal(refused.at(-1)?.reason, "no CONNECT came in time");
    });
  });

  test("one key holds four connections and no more: the oldest gives way", async () => {
    await withGateway({}, async (gateway) => {
      const sockets: Socket[] = [];
      for (let i = 0; i < 5; i++) sockets.push(await secure(gateway, DEVICE, keyOf(DEVICE)));
      await new Promise((resolve) => sockets[0].once("close", resolve));
      assert.equal(gateway.counters.sessions, 4);
      for (const socket of sockets) socket.destroy();
    });
  });
});

describe("behind a balancer", () => {
  const header = (source: string, port: number) =>
    Buffer.concat([
      Buffer.from("0d0a0d0a000d0a515549540a2111000c", "hex"),
      Buffer.from([...source.split(".").map(Number), 127, 0, 0, 1, port >> 8, port & 255, 0, 80]),
    ]);
  let gateway: Gateway;
  let events: GatewayEvent[] = [];
  before(async () => {
    events = [];
    gateway = await startGateway({
      master: masterFromBytes(Buffer.from(master)),
      balancers: ["127.0.0.1"],
      limits: { halfOpenPerAddress: 2, handshakeTimeoutMs: HOUR },
      onEvent: (event) => events.push(event),
    });
  });
  after(() => gateway.close());

  test("the share is the device's address's, not the balancer's", async () => {
    const hello = async (source: string) => {
      const client = await open(gateway);
      const answered = new Promise<void>((resolve) => client.socket.once("data", () => resolve()));
      client.socket.write(Buffer.concat([header(source, 4711), CLIENT_HELLO]));
      await Promise.race([answered, client.closed]);
      return client;
    };
    const some = await Promise.all(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(hello));
    assert.equal(some.filter(isOpen).length, 4);
    const more = [await hello("192.0.2.1"), await hello("192.0.2.1")];
    await some[0].closed;
    assert.equal([...some, ...more].filter(isOpen).length, 5);
    const refused = events.filter((event) => event.kind === "refused");
    assert.deepEqual(refused.at(-1), {
      ...{ kind: "refused", address: "192.0.2.1:4711" },
      reason: "too many handshakes under way from its address",
    });
    for (const { socket } of [...some, ...more]) socket.destroy();
  });

  test("in pieces, with records of its own behind the address, and its own health check", async () => {
    const longer = Buffer.concat([header("192.0.2.9", 1), Buffer.from("0400020000", "hex")]); // a TLV of type NOOP
    longer.writeUInt16BE(12 + 5, 14);
    const local = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
    for (const start of [longer, local]) {
      const { socket } = await open(gateway);
      socket.setNoDelay(true);
      const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
      for (const byte of start) {
        socket.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      socket.write(CLIENT_HELLO);
      assert.equal((await answer)[0], 22);
      socket.destroy();
    }
  });

  test("a balancer that does not say it, or says it another way, is refused", async () => {
    const v1 = Buffer.from("PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n");
    const v3 = Buffer.from("0d0a0d0a000d0a515549540a3111000c", "hex");
    const noAddress = Buffer.from("0d0a0d0a000d0a515549540a21110000", "hex");
    for (const bytes of [CLIENT_HELLO, v1, v3, noAddress]) {
      const { socket, closed } = await open(gateway);
      socket.write(bytes);
      socket.resume();
      await closed;
    }
  });

  test("HAProxy with send-proxy-v2 before it", { skip: skipWithout("haproxy") }, async () => {
    const port = await freePort();
    const folder = new WorkFolder();
    const configuration = folder.file(
      "haproxy.cfg",
      `defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen fleet
  bind 127.0.0.1:${port}
  server gateway 127.0.0.1:${gateway.port} send-proxy-v2\n`,
    );
    const command = findProgram("haproxy") as string;
    const haproxy = await startPeer("haproxy", { command, args: ["-db", "-f", configuration], folder }, port);
    const client = await mqttClient({ port }, DEVICE, keyOf(DEVICE));
    const secured = events.filter((event) => event.kind === "secured").at(-1);
    assert.equal(secured?.kind === "secured" && secured.address, `127.0.0.1:${client.socket.localPort}`);
    client.end();
    await haproxy.stop();
  });
});
