// The other end of devices under ESP, by packets made here: who is let in, every bit of a packet, replays over packets, connections and restarts, what is
// handed on and back, numbers that never come twice, whoever ends the program and however full the disk is, floods and those that do not read.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { associationsOf, TRANSFORM_NAMES, type Transform } from "../keys/esp_keys";
import { parseIdentity } from "../keys/identity";
import { kbkdf } from "../keys/kdf";
import { Watch } from "../test/device";
import { generator } from "../test/generator";
import { BLOCK, Counter, Counters, LAST_NUMBER } from "./counters";
import { datagramOf, packetOf, SERVER_ADDRESS } from "./ipv4";
import { IPV4, NO_NEXT_HEADER, padded, protect, protectPadded, unprotect } from "./packet";
import { framed, PACKET_LONGEST, STREAM_PREFIX, StreamReader } from "./stream";
import { Tunnel, type TunnelDevice, type TunnelEvent, type TunnelLimits } from "./tunnel";

const folder = mkdtempSync(join(tmpdir(), "tunnel-"));
const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true });
});

const keyOf = (name: string) => kbkdf(Buffer.alloc(16, 7), "test", name);
const deviceOf = (name: string, transform: Transform = "ccm"): TunnelDevice => ({
  identity: parseIdentity(name),
  associations: associationsOf(keyOf(name), transform),
});

/** A tunnel, and who gets its datagrams. */
class Station extends Watch {
  readonly events: TunnelEvent[] = [];
  readonly handedOn: string[] = [];
  private constructor(
    readonly tunnel: Tunnel,
    readonly consumer: UdpSocket,
    readonly counters: Counters,
  ) {
    super();
  }
  static async start(devices: TunnelDevice[], limits: Partial<TunnelLimits> = {}, counters = new Counters()) {
    const consumer = createSocket("udp4");
    await new Promise<void>((resolve) => consumer.bind(0, "127.0.0.1", resolve));
    const any = { host: "127.0.0.1", port: 0 };
    const to = { host: "127.0.0.1", port: consumer.address().port };
    const tunnel = new Tunnel({
      ...{ listen: any, udp: any, to, devices, counters, limits },
      onEvent(event) {
        station.events.push(event);
        station.wake();
      },
    });
    const station = new Station(tunnel, consumer, counters);
    consumer.on("message", (datagram) => {
      station.handedOn.push(datagram.toString("latin1"));
      station.wake();
    });
    await tunnel.start();
    ends.push(() => station.stop());
    return station;
  }
  private isStopped = false;
  async stop(): Promise<void> {
    if (this.isStopped) return;
    this.isStopped = true;
    await this.tunnel.stop();
    this.counters.close();
    this.consumer.close();
  }
  /** Send a datagram to a device. */
  say(text: string): void {
    this.consumer.send(Buffer.from(text, "latin1"), this.tunnel.places.udpPort, "127.0.0.1");
  }
  reasons(event: "refused" | "lost"): string[] {
    return this.events.flatMap((each) => (each.event === event ? each.reason : []));
  }
  client(device: TunnelDevice, next = 1): Client {
    return new Client(this, device, next);
  }
}

/** A device, or who would be one. */
class Client {
  readonly socket: Socket;
  readonly heard: { sequence: number; text: string }[] = [];
  isClosed = false;
  constructor(
    readonly station: Station,
    readonly device: TunnelDevice,
    public next: number,
    isQuiet = false,
  ) {
    this.socket = connect(station.tunnel.places.port, "127.0.0.1");
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.isClosed = true;
      station.wake();
    });
    const reader = new StreamReader();
    // what comes to a device has no beginning
    [...reader.take(STREAM_PREFIX)];
    if (!isQuiet)
      this.socket.on("data", (bytes) => {
        for (const packet of reader.take(bytes)) {
          const { payload } = unprotect(device.associations.down, packet);
          const text = payload.subarray(28).toString("latin1");
          this.heard.push({ sequence: packet.readUInt32BE(4), text });
        }
        station.wake();
      });
    this.socket.write(STREAM_PREFIX);
  }
  inner(text: string): Buffer {
    return packetOf(this.device.associations.address, SERVER_ADDRESS, Buffer.from(text, "latin1"));
  }
  packet(text: string, sequence = this.next++): Buffer {
    return protect(this.device.associations.up, sequence, this.inner(text));
  }
  say(text: string, sequence?: number): void {
    this.socket.write(framed(this.packet(text, sequence)));
  }
  async closed(): Promise<void> {
    await this.station.until(() => this.isClosed);
  }
}

for (const transform of TRANSFORM_NAMES)
  describe(`under ${transform}`, () => {
    const [a, b] = ["v1.meter.A", "v1.meter.B"].map((name) => deviceOf(name, transform));

    test("R5 datagrams are handed on with whose they are before them, and come back to that device alone", async () => {
      const station = await Station.start([a, b]);
      const [first, second] = [station.client(a), station.client(b)];
      first.say("up/status 1");
      second.say("up/status 2");
      await station.until(() => station.handedOn.length === 2);
      assert.deepEqual([...station.handedOn].sort(), ["meter/A/up/status 1", "meter/B/up/status 2"]);
      station.say("meter/A/down/x \x00\xff");
      await station.until(() => first.heard.length === 1);
      first.say("ping");
      await station.until(() => first.heard.length === 2);
      assert.deepEqual(
        first.heard.map(({ text }) => text),
        ["down/x \x00\xff", "pong"],
      );
      assert.deepEqual([second.heard, station.handedOn.length], [[], 2]);
      // above all that came
      assert.ok(
        first.heard.every(
          ({ sequence }, i) => sequence > 1 && (!i || sequence > first.heard[i - 1].sequence),
        ),
      );
      station.say("meter/C/down/x y");
      station.say("nonsense");
      station.say("meter/A/down/x".padEnd(600));
      await station.until(() => station.reasons("lost").length === 3);
      assert.match(
        station.reasons("lost").join(),
        /no device that is let in.*no device.*600 bytes.* or more|512/,
      );
      first.socket.end();
      await station.until(() => station.events.some(({ event }) => event === "ended"));
      station.say("meter/A/down/x y");
      await station.until(() => station.reasons("lost").length === 4);
      assert.equal(station.reasons("lost")[3], "meter/A/ is not there");
      // of somebody else
      const stranger = createSocket("udp4");
      stranger.send("meter/B/down/x y", station.tunnel.places.udpPort, "127.0.0.1");
      await station.until(() => station.reasons("lost").length === 5);
      stranger.close();
      assert.deepEqual(second.heard, []);
      await station.stop();
    });

    test("R16 R18 every bit of a packet counts: its connection ends, nothing is handed on, the next is let in", async () => {
      const station = await Station.start([a, b]);
      let next = 1;
      const whole = framed(station.client(a).packet("up/x y")).length;
      for (let byte = 0; byte < whole; byte++) {
        const client = station.client(a, next);
        const changed = framed(client.packet("up/x y"));
        changed[byte] ^= 1 << ((byte * 5) % 8);
        client.socket.write(changed);
        // a longer one is waited for, and its end is all that comes
        if (byte < 2) client.socket.end();
        await client.closed();
        next += 2;
      }
      for (const bytes of ["GET / HTTP/1.1\r\n", "IKETCQ", "\x16\x03\x01\x02\x00\x01"]) {
        const client = connect(station.tunnel.places.port, "127.0.0.1").on("error", () => {});
        let isClosed = false;
        client.on("close", () => {
          isClosed = true;
          station.wake();
        });
        client.write(bytes, "latin1");
        await station.until(() => isClosed);
      }
      for (const length of [0, 1, 2, PACKET_LONGEST + 1, 0xffff]) {
        const client = station.client(a);
        client.socket.write(Buffer.from([length >> 8, length & 255]));
        await client.closed();
      }
      assert.deepEqual(station.handedOn, []);
      const honest = station.client(a, next);
      honest.say("up/x still");
      await station.until(() => station.handedOn.length === 1);
      await station.stop();
    });

    test("R18 what is in the tunnel counts, under a good ICV too; dummies and keep-alives are passed over", async () => {
      const station = await Station.start([a, b]);
      let next = 1;
      const { up, address } = a.associations;
      const good = packetOf(address, SERVER_ADDRESS, Buffer.from("up/x y"));
      const changed = (at: number, value: number) => {
        const other = Buffer.from(good);
        other[at] = value;
        return other;
      };
      const texts = [
        ...[
          changed(0, 0x46),
          changed(3, 27),
          changed(3, good.length + 1),
          changed(6, 0x20),
          changed(9, 6),
          changed(10, 0),
        ],
        ...[changed(23, 1), changed(25, 9), good.subarray(0, 27), Buffer.alloc(0)],
        packetOf(b.associations.address, SERVER_ADDRESS, Buffer.from("up/x y")),
        packetOf(SERVER_ADDRESS, address, Buffer.from("up/x y")),
      ].map((inner) => padded(transform, inner));
      texts.push(
        padded(transform, good, 6),
        Buffer.alloc(16, 0xff),
        Buffer.concat([padded(transform, good).subarray(0, -2), Buffer.from([200, IPV4])]),
      );
      for (const [nth, text] of texts.entries()) {
        const client = station.client(a);
        client.socket.write(framed(protectPadded(up, next++, text)));
        await client.closed();
        assert.deepEqual(station.handedOn, [], `text ${nth}`);
      }
      const client = station.client(a, next);
      client.socket.write(framed(Buffer.from([0xff])));
      client.socket.write(framed(protect(up, client.next++, randomBytes(40), NO_NEXT_HEADER)));
      client.say("up/x y");
      await station.until(() => station.handedOn.length === 1);
      await station.stop();
    });

    test("R15 a packet is taken once: in its connection, in another, after others, and after a restart", async () => {
      const path = join(folder, `${transform}.counters`);
      let station = await Station.start([a], {}, new Counters(path));
      let client = station.client(a);
      const recorded = framed(client.packet("up/x once"));
      client.socket.write(recorded);
      await station.until(() => station.handedOn.length === 1);
      // out of order is good, once
      for (const sequence of [9, 5, 7]) client.say(`up/x ${sequence}`, sequence);
      await station.until(() => station.handedOn.length === 4);
      client.say("up/x again", 7);
      await client.closed();
      client = station.client(a);
      client.socket.write(recorded);
      await client.closed();
      await station.stop();
      station = await Station.start([a], {}, new Counters(path));
      for (const sequence of [1, 6, 9]) {
        client = station.client(a);
        client.say("up/x again", sequence);
        await client.closed();
      }
      client = station.client(a);
      client.socket.write(recorded);
      await client.closed();
      assert.deepEqual(
        [station.handedOn, new Set(station.reasons("refused"))],
        [[], new Set(["what came has a sequence number that came already"])],
      );
      client = station.client(a, 10);
      client.say("up/x new");
      await station.until(() => station.handedOn.length === 1);
      await station.stop();
    });

    test("two devices of one SPI are told apart by their ICV", async () => {
      const twin = deviceOf("v1.meter.TWIN", transform);
      twin.associations.up.spi = a.associations.up.spi;
      const station = await Station.start([a, twin]);
      const clients = [station.client(a), station.client(twin)];
      for (const client of clients) client.say("up/x y");
      await station.until(() => station.handedOn.length === 2);
      assert.deepEqual([...station.handedOn].sort(), ["meter/A/up/x y", "meter/TWIN/up/x y"]);
      await station.stop();
    });
  });

describe("numbers", () => {
  test("R15 what is sent under has each number once, whatever ends the program", () => {
    const path = join(folder, "sent");
    const used = new Set<number>();
    const draw = generator(15);
    for (let start = 0; start < 40; start++) {
      const counters = new Counters(path);
      const counter = counters.of("v1.meter.A");
      for (let i = draw(3 * BLOCK); i >= 0; i -= 97) {
        for (let n = 0; n < 97; n++) {
          const number = counter.next() as number;
          assert.ok(!used.has(number), `${number} in start ${start}`);
          used.add(number);
        }
        const received = Math.max(...used) + draw(50);
        if (counter.isNew(received) && !draw(20)) {
          counter.accept(received);
          const above = counter.next() as number;
          assert.ok(above > received && !used.has(above));
          used.add(above);
        }
      }
      // as it is left when it is killed: nothing is written at an end
      counters.close();
    }
  });

  test("R15 the window is that of RFC 4303: a model of it and numbers at random agree", () => {
    const counter = new Counter({ received: 0, reserved: 0 }, () => {});
    const draw = generator(3);
    const came = new Set<number>();
    let highest = 0;
    for (let i = 0; i < 20_000; i++) {
      const n = Math.max(0, highest - 90 + draw(draw(50) ? 110 : 400));
      const isNew = n > 0 && (n > highest || (n > highest - 64 && !came.has(n)));
      assert.equal(counter.isNew(n), isNew, `${n}, the highest is ${highest}`);
      if (!isNew) continue;
      counter.accept(n);
      came.add(n);
      highest = Math.max(highest, n);
    }
    for (const n of [0, LAST_NUMBER + 1, 2 ** 32 - 1]) assert.ok(!counter.isNew(n));
  });

  test("R29 what the disk does not take is not used", () => {
    let isFull = false;
    const rows: { received: number; reserved: number }[] = [];
    const counter = new Counter({ received: 0, reserved: 0 }, (row) => {
      if (isFull) throw Object.assign(new Error("full"), { errcode: 13 });
      rows.push(row);
    });
    assert.equal(counter.next(), 1);
    const [{ reserved }] = rows;
    isFull = true;
    for (let n = 2; n <= reserved; n++) assert.equal(counter.next(), n);
    for (let i = 0; i < 3; i++) assert.throws(() => counter.next(), /full/);
    assert.throws(() => counter.accept(reserved + 9), /full/);
    isFull = false;
    assert.equal(counter.next(), reserved + 1);
  });

  test("R15 at its last number a key is used up", () => {
    const counter = new Counter({ received: 0, reserved: LAST_NUMBER - 2 }, () => {});
    assert.deepEqual(
      [counter.next(), counter.next(), counter.next()],
      [LAST_NUMBER - 1, LAST_NUMBER, undefined],
    );
  });
});

describe("R36 one client cannot stop the others", () => {
  const [a, b] = ["v1.meter.A", "v1.meter.B"].map((name) => deviceOf(name));

  test("R36 who says nothing good in time, or is one too many, is cut off; who is let in stays", async () => {
    const station = await Station.start([a], { connections: 4, firstPacketMs: 300 });
    const client = station.client(a);
    client.say("ping");
    await station.until(() => client.heard.length === 1);
    const idle = [1, 2, 3].map(() => station.client(b));
    idle[0].socket.write(Buffer.from([0, 60, 1]));
    await station.until(() => idle.every(({ socket }) => !socket.connecting));
    const surplus = station.client(b);
    await surplus.closed();
    for (const each of idle) await each.closed();
    client.say("ping");
    await station.until(() => client.heard.length === 2);
    assert.deepEqual(
      new Set(station.reasons("refused")),
      new Set(["there are too many connections", "no packet of a device's came in time"]),
    );
    await station.stop();
  });

  test("R36 a flood of what is none of a device's leaves the others as they are", async () => {
    const station = await Station.start([a]);
    const client = station.client(a);
    client.say("ping");
    await station.until(() => client.heard.length === 1);
    for (let i = 0; i < 300; i++) {
      const other = station.client(b);
      other.socket.write(Buffer.concat([framed(other.packet("up/x y")), randomBytes(2000)]));
      if (i % 25 === 24) {
        await other.closed();
        client.say("ping");
        await station.until(() => client.heard.length === 2 + (i - 24) / 25);
      }
    }
    await station.stop();
  });

  test("R36 a device that does not read loses datagrams above its share, and no memory", async () => {
    const station = await Station.start([a], { queuedBytes: 4_096 });
    const client = new Client(station, a, 1, true);
    client.say("up/x y");
    await station.until(() => station.handedOn.length === 1);
    client.socket.pause();
    const text = `meter/A/down/x ${"m".repeat(500)}`;
    // what the system's own buffers take is no business of ours
    for (let i = 0; !station.reasons("lost").includes("the device does not read"); i++) {
      assert.ok(i < 100_000);
      for (let n = 0; n < 50; n++) station.say(text);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await station.stop();
  });

  test("R37 who is taken off the list is out at once, and a newer connection of a device ends the older one", async () => {
    const station = await Station.start([a, b]);
    const [first, other] = [station.client(a), station.client(b)];
    first.say("ping");
    other.say("ping");
    await station.until(() => first.heard.length + other.heard.length === 2);
    const second = station.client(a, first.next);
    second.say("ping");
    await first.closed();
    await station.until(() => second.heard.length === 1);
    station.tunnel.setDevices([b]);
    await second.closed();
    const again = station.client(a, second.next);
    again.say("ping");
    await again.closed();
    other.say("ping");
    await station.until(() => other.heard.length === 2);
    assert.ok(station.reasons("refused").includes("what came has an SPI of no device"));
    await station.stop();
  });
});

test("R1 R3 keys: known answers, SPIs above the reserved ones, and nothing alike between devices, directions and transforms", () => {
  const key = Buffer.from("00112233445566778899aabbccddeeff", "hex");
  const seen = new Set<string>();
  for (const transform of TRANSFORM_NAMES) {
    const derived = kbkdf(key, `esp/${transform}`, "", transform === "ccm" ? 48 : 80);
    for (const name of ["v1.meter.A", "v1.meter.B"])
      for (const { spi, key: aes, beside } of Object.values(deviceOf(name, transform).associations).filter(
        (each) => typeof each === "object",
      )) {
        assert.ok(spi >= 2 ** 31);
        for (const each of [String(spi), aes.toString("hex"), beside.toString("hex")]) {
          assert.ok(!seen.has(each));
          seen.add(each);
        }
      }
    assert.ok(associationsOf(key, transform).up.key.equals(derived.subarray(8, 24)));
  }
  assert.throws(() => datagramOf(Buffer.alloc(40), "10.0.0.1"));
});
