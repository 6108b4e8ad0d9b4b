/*
 * The page of the profiles (PROFILES.md) is true: every figure that needs no interpreter is measured anew, and every test that it names is there. And
 * what it says of all profiles alike: what a server said in one session says nothing in the next; and, where no other test has it, that what was recorded
 * is read by whoever gets the key later.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { PROJECT } from "../scripts/lib/project";
import { keySetup, sessionKeys } from "../scripts/lib/test/akep2/eap_psk";
import { Records } from "../scripts/lib/test/akep2/server";
import { type DeviceSocket, KEY, TestDevice } from "../scripts/lib/test/device";
import {
  boardFiles,
  cells,
  ENGINE_COLUMNS,
  figuresOf,
  HEAD,
  SMALL_ROW,
  smallBytes,
} from "../scripts/lib/test/profile_figures";
import { AKEP2, type ProfilePeer, SUBJECTS, type Subject } from "../scripts/lib/test/profile_peers";
import {
  handshakeSecret,
  masterSecret,
  Protection,
  trafficSecrets,
} from "../scripts/lib/test/tls13/key_schedule";
import { SUITES_13 } from "../scripts/lib/test/tls13/suites";

const page = readFileSync(join(PROJECT, "firmware/PROFILES.md"), "utf8");
/** The bundle may differ by so much of what the page says: not each change of a byte is one of the page. */
const FLASH_SHARE = 0.01;

const FLASH = 1;

/** The cells of a page's tables. */
const rowsOf = (text: string) =>
  [...text.matchAll(/^\|(.*)\|$/gm)].map(([, row]) => row.split("|").map((cell) => cell.trim()));

test("the page has the table's head", () => {
  assert.ok(rowsOf(page).some((row) => row.join() === HEAD.join()));
});

for (const subject of SUBJECTS)
  test(`the page's figures are what is measured: ${subject.name}`, async () => {
    const row = rowsOf(page).find(([name]) => name === subject.name);
    assert.ok(row, "there is no row");
    const measured = cells(subject, await figuresOf(subject));
    const distance = Math.abs(Number(measured[FLASH]) - Number(row[FLASH])) / Number(measured[FLASH]);
    assert.ok(distance <= FLASH_SHARE, `${measured[FLASH]} bytes of flash, the page says ${row[FLASH]}`);
    const held = (all: string[]) => all.filter((_, i) => i !== FLASH && !ENGINE_COLUMNS.includes(i));
    assert.deepEqual(held(row), held(measured));
  });

test("the page's bytes of the profiles for 341 variables are what is built", async () => {
  const row = rowsOf(page).find(([name]) => name === SMALL_ROW);
  const said = row?.slice(1).map((cell) => Number(cell.replace(",", "")));
  for (const [at, [profile, bytes]] of (await smallBytes()).entries())
    assert.ok(Math.abs(bytes - (said?.[at] ?? 0)) / bytes <= FLASH_SHARE, `${profile}: ${bytes} bytes`);
});

test("every test that the page names is there", () => {
  const named = [...page.matchAll(/`([\w/.]+\.test\.ts)`: ((?:"[^"]+"(?:, )?)+)/g)];
  assert.ok(named.length > 15, `${named.length}`);
  for (const [, file, titles] of named) {
    assert.ok(existsSync(join(PROJECT, file)), file);
    const text = readFileSync(join(PROJECT, file), "utf8");
    for (const [, title] of titles.matchAll(/"([^"]+)"/g))
      assert.ok(text.includes(title), `${file}: ${title}`);
  }
});

/** A device with a session that has sent a payload, and all that went over the wire. */
class Met {
  private constructor(
    private readonly subject: Subject,
    readonly peer: ProfilePeer,
    private readonly device: TestDevice,
    private readonly wire: { way: "out" | "in"; bytes: Buffer }[],
  ) {}

  static async with(subject: Subject): Promise<Met> {
    const wire: { way: "out" | "in"; bytes: Buffer }[] = [];
    const device = await TestDevice.boot("esp32-sim", {
      profile: subject.profile,
      machine: {
        files: boardFiles(),
        onWire: (way, bytes) => void wire.push({ way, bytes: Buffer.from(bytes) }),
      },
    });
    const met = new Met(subject, await subject.start(), device, wire);
    ends.push(
      () => device.powerOff(),
      () => met.peer.stop(),
    );
    return met;
  }

  /** Open a session with a port, up to its first payload. */
  async session(port: number): Promise<DeviceSocket> {
    const { opening, telemetry } = this.subject;
    const socket = this.device.connect(port);
    await socket.until(() => socket.connected || socket.closed);
    if (opening && !socket.closed) {
      socket.write(Buffer.from(opening, "latin1"));
      await socket.until(() => socket.received.length > 0 || socket.closed);
    }
    if (!socket.closed) socket.write(Buffer.from(telemetry("secret"), "latin1"));
    return socket;
  }

  bytes(way: "out" | "in"): Buffer {
    return Buffer.concat(this.wire.filter((each) => each.way === way).map(({ bytes }) => bytes));
  }
}

const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends) await end();
});

for (const subject of SUBJECTS)
  test(`R2 what a server said in one session says nothing in the next: ${subject.name}`, async () => {
    const met = await Met.with(subject);
    const socket = await met.session(met.peer.port);
    await met.peer.until(() => met.peer.published().length > 0);
    socket.end();
    await socket.until(() => socket.closed);
    const said = met.bytes("in");
    const sockets: Socket[] = [];
    const server = createServer((connection) => {
      sockets.push(connection);
      connection.on("error", () => {});
      // under AKEP2 the server begins
      if (subject === AKEP2) connection.write(said);
      else connection.once("data", () => connection.write(said));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => {
      for (const each of sockets) each.destroy();
      server.close();
    });
    const again = await met.session((server.address() as { port: number }).port);
    await again.until(() => again.closed);
    assert.ok(again.error > 0, `error ${again.error}`);
    assert.equal(met.peer.published().length, 1);
  });

/** The bodies of the records in a stream, and each whole. */
function recordsOf(stream: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at + 5 <= stream.length; at += records[records.length - 1].length)
    records.push(stream.subarray(at, at + 5 + stream.readUInt16BE(at + 3)));
  return records;
}

test("R38 TLS 1.3 under psk_ke: who gets the key later reads what was recorded", async () => {
  const [suite] = SUITES_13;
  const met = await Met.with(SUBJECTS.find(({ name }) => name === suite.name) as Subject);
  await met.session(met.peer.port);
  await met.peer.until(() => met.peer.published().length > 0);
  const [hello, , payload] = recordsOf(met.bytes("out"));
  const [serverHello, flight] = recordsOf(met.bytes("in"));
  const hellos = [hello.subarray(5), serverHello.subarray(5)];
  const { server } = trafficSecrets(handshakeSecret(KEY), "hs", ...hellos);
  const inner = new Protection(suite, server).open(flight);
  // its last byte is the type of content
  const { client } = trafficSecrets(masterSecret(KEY), "ap", ...hellos, inner.subarray(0, -1));
  assert.match(new Protection(suite, client).open(payload).toString("latin1"), /secret/);
});

test("R38 AKEP2: who gets the key later reads what was recorded", async () => {
  const met = await Met.with(AKEP2);
  await met.session(met.peer.port);
  await met.peer.until(() => met.peer.published().length > 0);
  const out = met.bytes("out");
  // message 2: its length, the EAP header, RAND_S, RAND_P; then message 4, then records
  const second = 2 + out.readUInt16BE(0);
  const fourth = second + 2 + out.readUInt16BE(second);
  const { kdk } = keySetup(KEY);
  const { msk } = sessionKeys(kdk, out.subarray(2 + 22, 2 + 38));
  const [record] = new Records(msk).receive(out.subarray(fourth));
  assert.match(record.text.toString("latin1"), /secret/);
});
