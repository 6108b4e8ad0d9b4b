/*
 * The built bundles of the profiles esp and esp-cbc on the simulated boards against the scripted other end of scripts/lib/test/esp: datagrams both
 * ways, the bytes of each, every bit of a packet and every field in its tunnel changed, every length, replays over packets, connections and starts,
 * the window, silence. However it goes there is one code, nothing is carried out, nothing grows, and the device comes back by itself.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { associationsOf, type Transform } from "../../scripts/lib/keys/esp_keys";
import { kbkdf } from "../../scripts/lib/keys/kdf";
import { PROJECT } from "../../scripts/lib/project";
import { SIMULATED_BOARDS, TestDevice } from "../../scripts/lib/test/device";
import { EspPeer } from "../../scripts/lib/test/esp/peer";
import { recordOf } from "../../scripts/lib/test/factory";
import { IPV4, NO_NEXT_HEADER, padded, protectPadded } from "../../scripts/lib/tunnel/packet";
import { framed } from "../../scripts/lib/tunnel/stream";
import { KEEP_ALIVE_S } from "../profile";
import {
  ESP_FORM,
  ESP_ICV,
  ESP_REPLAY,
  ESP_SPI,
  MQTT_SILENT,
  NO_KEY,
  TIMEOUT,
  TRUNCATED,
} from "../tls/alert";

const PROFILES: Readonly<Record<string, Transform>> = { esp: "ccm", "esp-cbc": "cbc" };
/** Boards that a profile is for (profiles.ts, noRoom). */
const boardsOf = (profile: string) =>
  SIMULATED_BOARDS.filter((board) => profile === "esp" || board !== "mdbt42q-w5500-sim");
/** A reconnect as soon as it may be. */
const FAST = { RECONNECT_FIRST_MS: 1, RECONNECT_DOUBLINGS: 0 };
const TICK_MS = KEEP_ALIVE_S * 500;
/** Bytes of a packet beside what is padded: its length, SPI and number, IV, ICV; and what the padded is multiples of. */
const AROUND = { ccm: [2 + 8 + 8 + 16, 4], cbc: [2 + 8 + 16 + 12, 16] } as const;

const open: { device: TestDevice; peer: EspPeer }[] = [];
after(async () => {
  for (const { device, peer } of open) {
    device.powerOff();
    await peer.stop();
  }
});

/** Boot a device and wait until it is up. */
async function meet(profile: string, board: string = "esp32-sim") {
  const psk = randomBytes(16);
  const keys = recordOf([psk, ...[1, 2, 3].map(() => randomBytes(16))]);
  const peer = await EspPeer.start(psk, PROFILES[profile]);
  const device = await TestDevice.boot(board, {
    ...{ profile, entry: "firmware/main.ts", defines: FAST, key: keys.record, port: peer.port },
    onLine: () => peer.wake(),
  });
  open.push({ device, peer });
  await peer.until(() => peer.datagrams("up/status").length === 1);
  return new Met(device, peer, keys, psk);
}

class Met {
  held = 0;
  constructor(
    readonly device: TestDevice,
    readonly peer: EspPeer,
    readonly keys: ReturnType<typeof recordOf>,
    readonly psk: Buffer,
  ) {
    this.held = device.heldCharacters;
  }

  /** Codes that the console told. */
  get codes(): number[] {
    return this.device.lines.flatMap((line) => /^E(\d+)$/.exec(line)?.[1] ?? []).map(Number);
  }

  /** Let it carry out a command, of which the name stays; what it holds then it holds after each session. */
  async settle(): Promise<void> {
    const answers = this.peer.datagrams("up/x ").length;
    this.peer.last.say("down/x first");
    await this.answer(answers + 1);
    this.held = this.device.heldCharacters;
  }

  /** Wait for the device's nth answer to a command. */
  async answer(nth: number): Promise<string> {
    const all = () => this.peer.datagrams("up/x ");
    await this.peer.until(() => all().length >= nth);
    return all()[nth - 1];
  }

  /** Have something done that ends the session: gives the code, when the device is up again, as it was. */
  async failure(act: () => void): Promise<number> {
    const connections = this.peer.connections.length;
    const told = this.codes.length;
    const answers = this.peer.datagrams("up/x ").length;
    act();
    await this.isBack(connections + 1);
    assert.equal(this.codes.length, told + 1, `codes: ${this.codes.slice(told)}`);
    assert.equal(this.peer.datagrams("up/x ").length, answers, "it was carried out");
    assert.equal(this.device.heldCharacters, this.held, "something stays behind");
    return this.codes[told];
  }

  /** Wait for the connection of that number and its telemetry. */
  async isBack(connection: number): Promise<void> {
    const { peer } = this;
    await peer.until(
      () =>
        peer.connections.length >= connection &&
        peer.connections[connection - 1].sent.some(({ datagram }) => datagram.startsWith("up/status")),
    );
  }

  wire(bytes: Buffer): void {
    this.peer.last.socket.write(bytes);
  }
}

const mets = new Map<string, Promise<Met>>();
/** A device that tests share: each leaves it up. */
const shared = (profile: string) => {
  let met = mets.get(profile);
  if (!met) {
    met = meet(profile).then(async (up) => {
      await up.settle();
      return up;
    });
    mets.set(profile, met);
  }
  return met;
};

for (const [profile, transform] of Object.entries(PROFILES)) {
  for (const board of boardsOf(profile))
    test(`R5 ${profile} on ${board}: telemetry, commands of every length, and a sign of life`, async () => {
      const met = await meet(profile, board);
      const { peer, device } = met;
      assert.match(peer.datagrams("up/status")[0], /^up\/status \{"up":\d+,.*"err":0,"boots":1,"drop":0\}$/);
      const lengths = [0, 1, 2, 3, 4, 14, 15, 16, 17, 100, 505];
      for (const [nth, length] of lengths.entries()) {
        const payload = randomBytes(length).toString("latin1");
        peer.last.say(`down/x ${payload}`);
        assert.equal(await met.answer(nth + 1), `up/x ${payload}`);
      }
      const pings = peer.datagrams("ping").length;
      await device.machine.later(TICK_MS);
      await peer.until(() => peer.datagrams("ping").length > pings);
      assert.deepEqual([met.codes, peer.connections.length], [[], 1]);
      // each packet as long as it must be, numbers one after the other
      const [around, alignment] = AROUND[transform];
      for (const [nth, { bytes, sequence, datagram }] of peer.packets.entries()) {
        const inside = Math.ceil((28 + datagram.length + 2) / alignment) * alignment;
        assert.equal(bytes.length + 2, around + inside);
        assert.equal(sequence, nth + 1);
      }
      assert.equal(peer.last.stream.toString("latin1", 0, 6), "IKETCP");
    });

  describe(`${profile}: what comes is looked at`, () => {
    test("R18 every bit of a packet counts: its code, nothing is carried out, nothing grows", async () => {
      const met = await shared(profile);
      const whole = framed(met.peer.packet("down/x y", 1));
      for (let byte = 0; byte < whole.length; byte++)
        for (let bit = 0; bit < 8; bit++) {
          // of what is encrypted and of the ICV one bit a byte tells as much
          if (byte >= 14 && bit !== byte % 8) continue;
          const changed = framed(met.peer.packet("down/x y"));
          changed[byte] ^= 1 << bit;
          const length = changed.readUInt16BE(0);
          // a stream that goes on with nothing: what is waited for does not come
          const isWaiting = byte < 2 && length > whole.length && length <= 839;
          const code = await met.failure(() => {
            met.wire(changed);
            if (isWaiting) met.peer.last.socket.end();
          });
          const sequence = changed.readUInt32BE(6);
          const isLower = sequence < met.peer.highest - 1;
          const expected = isWaiting
            ? [TRUNCATED]
            : byte < 2
              ? // too long or none; shorter: no ciphertext of that length, or another ICV
                [ESP_FORM, ESP_ICV]
              : byte < 6
                ? [ESP_SPI]
                : byte < 10
                  ? isLower || sequence > 0x7fffffff
                    ? [ESP_REPLAY, ESP_ICV]
                    : [ESP_ICV]
                  : [ESP_ICV];
          assert.ok(expected.includes(code), `bit ${bit} of byte ${byte}: ${code}`);
        }
      const answers = met.peer.datagrams("up/x ").length;
      met.peer.last.say("down/x still");
      assert.equal(await met.answer(answers + 1), "up/x still");
    });

    test("R17 R18 a packet of every other length is refused, a stream that ends in it is told", async () => {
      const met = await shared(profile);
      const whole = met.peer.packet("down/x y").length;
      for (let length = 0; length <= whole + 4; length++) {
        if (length === whole) continue;
        const changed = Buffer.concat([met.peer.packet("down/x y"), Buffer.alloc(4)]).subarray(0, length);
        const code = await met.failure(() => met.wire(framed(changed)));
        const expected = length < 1 ? ESP_FORM : length < 4 ? ESP_SPI : [ESP_FORM, ESP_ICV, ESP_REPLAY];
        assert.ok([expected].flat().includes(code), `${length} bytes: ${code}`);
      }
      for (let length = 0; length < whole + 2; length += 5) {
        const cut = framed(met.peer.packet("down/x y")).subarray(0, length);
        assert.equal(
          await met.failure(() => met.peer.last.socket.end(cut)),
          TRUNCATED,
          `cut after ${length}`,
        );
      }
      for (const length of [0, 1, 2, 840, 0xffff]) {
        const only = Buffer.from([length >> 8, length & 255]);
        assert.equal(await met.failure(() => met.wire(only)), ESP_FORM, `a length of ${length}`);
      }
    });

    test("R18 each field in the tunnel counts, under a good ICV too", async () => {
      const met = await shared(profile);
      const { peer } = met;
      const changed = (at: number, value: number, isSummed = true) => {
        const inner = peer.inner("down/x y");
        inner[at] = value;
        if (isSummed && at < 20) {
          inner.writeUInt16BE(0, 10);
          let total = 0;
          for (let i = 0; i < 20; i += 2) total += inner.readUInt16BE(i);
          while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
          inner.writeUInt16BE(0xffff - total, 10);
        }
        return inner;
      };
      const honest = peer.inner("down/x y");
      const rows: [string, Buffer][] = [
        ["IP version 6", changed(0, 0x65)],
        ["options", changed(0, 0x46)],
        ["total length above what is there", changed(3, honest.length + 1)],
        ["total length of the headers less one", changed(3, 27)],
        ["total length below the datagram's", changed(3, honest.length - 1)],
        ["total length far above", changed(2, 0xff)],
        ["more fragments", changed(6, 0x20)],
        ["a fragment's place", changed(7, 1)],
        ["TCP", changed(9, 6)],
        ["checksum", changed(10, honest[10] ^ 1, false)],
        ["time to live, and the checksum of before", changed(8, 63, false)],
        ["from another", changed(15, 2)],
        ["to another", changed(19, honest[19] ^ 1)],
        ["another port", changed(23, 1)],
        ["from another port", changed(21, 1)],
        ["UDP's length above", changed(25, honest[25] + 1)],
        ["UDP's length below its header", changed(25, 7)],
        ["cut in UDP's header", honest.subarray(0, 27)],
        ["cut in IP's header", honest.subarray(0, 19)],
        ["nothing", Buffer.alloc(0)],
      ];
      for (const [name, inner] of rows)
        assert.equal(await met.failure(() => met.wire(framed(peer.sealInner(inner)))), ESP_FORM, name);
      for (const nextHeader of [0, 6, 17, 41, 50, 255])
        assert.equal(
          await met.failure(() => met.wire(framed(peer.sealInner(honest, nextHeader)))),
          ESP_FORM,
          `next header ${nextHeader}`,
        );
      const text = padded(transform, honest);
      const padding = text[text.length - 2];
      const bad = (at: number, value: number) => {
        const other = Buffer.from(text);
        other[text.length + at] = value;
        return other;
      };
      for (const [name, other] of [
        ["longer than all", bad(-2, 255)],
        ["one longer than there is", bad(-2, text.length - 1)],
        ["counts wrongly", bad(-3, padding ? padding + 1 : 9)],
      ] as const)
        if (padding || name !== "counts wrongly")
          assert.equal(
            await met.failure(() => met.wire(framed(peer.seal(other)))),
            ESP_FORM,
            `padding ${name}`,
          );
      const answers = peer.datagrams("up/x ").length;
      peer.last.say("down/x still");
      assert.equal(await met.answer(answers + 1), "up/x still");
    });

    test("what is allowed is taken: longer padding, what hides a length, dummies, keep-alives, a TTL, a checksum of UDP, other words, pieces", async () => {
      const met = await shared(profile);
      const { peer } = met;
      const answers = peer.datagrams("up/x ").length;
      const isTaken = async (nth: number, ...pieces: Buffer[]) => {
        for (const piece of pieces) met.wire(piece);
        assert.equal(await met.answer(answers + nth), `up/x ${nth}`);
      };
      const inner = (nth: number) => peer.inner(`down/x ${nth}`);
      // 255 bytes of padding, or as near as whole blocks come
      const most = (bytes: Buffer) => {
        const length = 255 - ((bytes.length + 2 + 255) % AROUND[transform][1]);
        return Buffer.concat([
          bytes,
          Buffer.from(Array.from({ length }, (_, i) => i + 1)),
          Buffer.from([length, IPV4]),
        ]);
      };
      await isTaken(1, framed(peer.seal(most(inner(1)))));
      await isTaken(2, framed(peer.sealInner(Buffer.concat([inner(2), Buffer.alloc(33, 0xee)]))));
      await isTaken(
        3,
        framed(peer.sealInner(randomBytes(50), NO_NEXT_HEADER)),
        framed(peer.packet("down/x 3")),
      );
      await isTaken(4, framed(Buffer.from([0xff])), framed(peer.packet("down/x 4")));
      const summed = inner(5);
      summed.writeUInt16BE(0x1234, 26);
      await isTaken(5, framed(peer.sealInner(summed)));
      await isTaken(
        6,
        ...["hello", "down/", "down/x", " ", "", "up/x y"].map((text) => framed(peer.packet(text))),
        framed(peer.packet("down/x 6")),
      );
      await isTaken(7, ...[...framed(peer.packet("down/x 7"))].map((byte) => Buffer.from([byte])));
      await isTaken(
        8,
        Buffer.concat([
          framed(Buffer.from([0xff])),
          framed(peer.packet("down/x 8")),
          framed(Buffer.from([0xff])),
        ]),
      );
      assert.deepEqual(met.device.heldCharacters, met.held);
    });

    test("empty packets without end are refused in time", async () => {
      const met = await shared(profile);
      const flood = Buffer.concat(Array.from({ length: 33 }, () => framed(Buffer.from([0xff]))));
      assert.equal(await met.failure(() => met.wire(flood)), 512 + 10);
    });
  });

  describe(`${profile}: what came is not taken again`, () => {
    test("R2 R15 a packet twice, after others, in another connection, after a start; the device's own; one under another number", async () => {
      const met = await shared(profile);
      const { peer, device } = met;
      const answers = peer.datagrams("up/x ").length;
      const recorded = framed(peer.packet("down/x once"));
      met.wire(recorded);
      assert.equal(await met.answer(answers + 1), "up/x once");
      assert.equal(await met.failure(() => met.wire(recorded)), ESP_REPLAY, "in another breath");
      for (let i = 0; i < 3; i++) {
        assert.equal(await met.failure(() => met.wire(recorded)), ESP_REPLAY, `connection ${i}`);
      }
      device.machine.boot();
      await met.isBack(peer.connections.length + 1);
      await met.settle();
      assert.equal(await met.failure(() => met.wire(recorded)), ESP_REPLAY, "after a start");
      // what the device said itself, back to it (Selfie)
      const own = peer.packets.at(-1)?.bytes as Buffer;
      assert.equal(await met.failure(() => met.wire(framed(own))), ESP_SPI);
      const turned = Buffer.from(own);
      turned.writeUInt32BE(peer.down.spi, 0);
      turned.writeUInt32BE(peer.next(), 4);
      assert.equal(await met.failure(() => met.wire(framed(turned))), ESP_ICV);
      const renumbered = Buffer.from(recorded);
      renumbered.writeUInt32BE(peer.next(), 6);
      assert.equal(await met.failure(() => met.wire(renumbered)), ESP_ICV);
    });

    test("R15 the window: out of order once each, 31 behind the highest, none older, none that is 0 or over 2^31 - 1", async () => {
      const met = await shared(profile);
      const { peer } = met;
      let answers = peer.datagrams("up/x ").length;
      const first = peer.highest + 10;
      peer.highest = first + 31;
      const taken = async (sequence: number) => {
        peer.last.say(`down/x ${sequence}`, sequence);
        assert.equal(await met.answer(++answers), `up/x ${sequence}`);
      };
      for (const sequence of [first + 31, first, first + 17, first + 16, first + 30, first + 1])
        await taken(sequence);
      peer.highest += 1000;
      for (const sequence of [
        first,
        first + 31,
        first + 17,
        first - 1,
        first - 9,
        1,
        0,
        0x80000000,
        0xffffffff,
      ])
        assert.equal(
          await met.failure(() => peer.last.say("down/x no", sequence)),
          ESP_REPLAY,
          `${sequence - first}`,
        );
      // numbers that were left out are still good, but for those that the window has gone over
      await taken(peer.highest + 40);
      peer.highest += 40;
    });

    test("R2 R3 another key, or the other transform of the same one, opens nothing", async () => {
      const met = await shared(profile);
      const { peer } = met;
      const stranger = await EspPeer.start(randomBytes(16), transform);
      const other = await EspPeer.start(met.keys.psk, transform === "ccm" ? "cbc" : "ccm");
      for (const from of [stranger, other]) {
        assert.equal(
          await met.failure(() => met.wire(framed(from.packet("down/x y", peer.next())))),
          ESP_SPI,
        );
        const guessed = { ...from.down, spi: peer.down.spi, transform };
        const text = padded(transform, peer.inner("down/x y"));
        const beside = Buffer.concat([guessed.beside, Buffer.alloc(20)]).subarray(
          0,
          transform === "ccm" ? 3 : 20,
        );
        const forged = protectPadded({ ...guessed, beside }, peer.next(), text);
        assert.equal(await met.failure(() => met.wire(framed(forged))), ESP_ICV);
        await from.stop();
      }
    });
  });

  test(`R34 ${profile}: an end that says nothing is left, with TIMEOUT before it was there and MQTT_SILENT after`, async () => {
    const met = await meet(profile);
    const { peer, device } = met;
    peer.answers = false;
    await device.machine.later(TICK_MS);
    await device.machine.later(TICK_MS);
    await peer.until(() => met.codes.length === 1);
    await peer.until(() => peer.connections.length === 2 && peer.last.sent.length > 0);
    // the next one is answered
    peer.answers = true;
    for (let tick = 0; tick < 4 && met.codes.length < 2; tick++) await device.machine.later(TICK_MS);
    await peer.until(() => met.codes.length >= 2);
    assert.deepEqual(met.codes.slice(0, 2), [MQTT_SILENT, TIMEOUT]);
    assert.deepEqual(
      peer.connections[1].sent.map(({ datagram }) => datagram),
      ["ping"],
    );
    await met.isBack(3);
  });

  test(`R1 ${profile}: without a whole key record there is no line, for there is nowhere to keep a number`, async () => {
    const peer = await EspPeer.start(randomBytes(16), transform);
    const device = await TestDevice.boot("esp32-sim", {
      ...{ profile, entry: "firmware/main.ts", defines: FAST, key: randomBytes(16), port: peer.port },
      onLine: () => peer.wake(),
    });
    open.push({ device, peer });
    await peer.until(() => device.lines.includes(`E${NO_KEY}`));
    assert.equal(peer.packets.length, 0);
  });
}

for (const [column, [profile, transform]] of Object.entries(PROFILES).entries())
  test(`R3 ${profile}: host and device derive the same, by the label and of the length that README.md 14 has`, async () => {
    const cellOf = (name: string) =>
      readFileSync(join(PROJECT, "firmware/README.md"), "utf8")
        .split("\n")
        .find((line) => line.startsWith(`| ${name} |`))
        ?.split("|")[column + 2] ?? "";
    const [, label] = /`(.+)`/.exec(cellOf("label of that derivation, no context")) ?? [];
    const [length] = /\d+/.exec(cellOf("derived from the device's key")) ?? [];
    const { device, psk } = await meet(profile);
    const made = kbkdf(psk, label, "", Number(length));
    // the first bit of an SPI is 1
    for (const at of [0, 4]) made[at] |= 0x80;
    const held = Buffer.from(String(device.machine.value("keys")), "latin1");
    assert.deepEqual(held.subarray(0, made.length), made);
    const { up, down } = associationsOf(psk, transform);
    assert.deepEqual([up.spi, down.spi], [made.readUInt32BE(0), made.readUInt32BE(4)]);
    const both = Buffer.concat([up.key, up.beside, down.key, down.beside]);
    assert.deepEqual(both, made.subarray(8, 8 + both.length));
    // whole blocks of CMAC
    assert.ok(made.length - 8 - both.length < 16);
  });
