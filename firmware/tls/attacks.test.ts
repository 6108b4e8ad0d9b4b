/*
 * Attacks on the built bundle, on simulated boards: Selfie, downgrade by a middle man, replay, bit flipping, padding
 * oracles (Vaudenay, POODLE, Lucky 13), stripped extensions, broken noise. Test names begin with the row of the
 * requirements that they show.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import {
  type DeviceOptions,
  IDENTITY,
  KEY,
  powerOffShared,
  SIMULATED_BOARDS,
  sharedDevice,
  TestDevice,
} from "../../scripts/lib/test/device";
import { startRelay } from "../../scripts/lib/test/relay";
import {
  startPlainServer,
  startScriptedServer,
  type WireConduct,
} from "../../scripts/lib/test/scripted_server";
import { ContentType } from "../../scripts/lib/test/tls12/messages";
import { honestSteps, type Step, WARNING } from "../../scripts/lib/test/tls12/server_session";
import { SUITES } from "../../scripts/lib/test/tls12/suites";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import {
  BAD_RECORD_MAC,
  NO_RENEGOTIATION,
  NOISE_DEAD,
  NOISE_PROPORTION,
  NOISE_REPETITION,
  RECORD_OVERFLOW,
  SENT,
  UNEXPECTED_MESSAGE,
} from "./alert";

const CBC_SHA = 0x008c;
const CCM_8 = 0xc0a8;
const FATAL = 2;
/** The variable of tls/record.ts that holds a connection's keys. */
const KEYS = "keys";

const key: WireConduct["key"] = (identity) => (identity.toString("latin1") === IDENTITY ? KEY : undefined);
const LENIENT = { requireExtendedMasterSecret: false, requireEncryptThenMac: false };
/** Real time without an event after which both ends are taken to wait for each other, milliseconds. */
const QUIET_MS = 50;

function deviceOf(board: string, defines: DeviceOptions["defines"] = {}): Promise<TestDevice> {
  return sharedDevice(board, { defines });
}

after(powerOffShared);

/** The honest steps, and then others. */
function afterwards(...steps: Step[]): Step[] {
  return [...honestSteps(false), ...steps];
}

function sendData(data: Buffer): Step {
  return (session) => session.sendData(data);
}

function flipped(input: Buffer, at: number, bits: number): Buffer {
  const output = Buffer.from(input);
  output[at] ^= bits;
  return output;
}

// --- what the device says first --------------------------------------------------------------------------------

/**
 * The ClientHello, byte for byte: record header, handshake header, version, (random), no session id, SCSV and suites,
 * null compression, extensions: max_fragment_length 512, record_size_limit 512, extended_master_secret and, where CBC
 * is offered, encrypt_then_mac.
 */
const EXTENSIONS = "000100010100 1c00020200 00170000".replaceAll(" ", "");
for (const board of SIMULATED_BOARDS)
  test(`R10 the ClientHello of ${board} has fixed bytes: no compression, no NULL, RC4, 3DES or truncated HMAC`, async () => {
    const server = await startScriptedServer({ key });
    try {
      const device = await deviceOf(board);
      const socket = device.connect(server.port);
      assert.ok(await socket.until(() => socket.connected || socket.closed));
      const { seen } = server.connections[0].session;
      const sent = seen.records[0].toString("hex");
      const cbc = board === "mdbt42q-w5500-sim" ? "" : "00ae008c";
      const suites = `00ffc0a8c0a4${cbc}`;
      const extensions = `${EXTENSIONS}${cbc && "00160000"}`;
      const tail = `00${hex16(suites.length / 2)}${suites}0100${hex16(extensions.length / 2)}${extensions}`;
      const length = 2 + 32 + tail.length / 2;
      assert.equal(sent.slice(0, 22), `160301${hex16(length + 4)}0100${hex16(length)}0303`);
      assert.equal(sent.slice(22 + 64), tail);
      socket.end();
    } finally {
      await server.stop();
    }
  });

function hex16(value: number): string {
  return value.toString(16).padStart(4, "0");
}

test("R12 identities of 1 and of 64 bytes arrive as they are", async () => {
  for (const identity of [
    "x",
    "v1.product.with-a-long-serial_0123456789+/=()[]{}!?*&%$#@~^|'\"<>".padEnd(64, "z"),
  ]) {
    assert.ok(identity.length === 1 || identity.length === 64);
    const server = await startScriptedServer({ key: () => KEY });
    const device = await TestDevice.boot("esp32-sim", { identity });
    try {
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      assert.equal(server.connections[0].session.seen.identity?.toString("latin1"), identity);
      assert.ok(socket.connected);
      socket.end();
    } finally {
      device.powerOff();
      await server.stop();
    }
  }
});

test("R7 two sessions with the same randoms on the server's side have different master secrets", async () => {
  const server = await startScriptedServer({ key, hello: (h) => void h.random.fill(7) });
  try {
    const device = await deviceOf("esp32-sim");
    for (let i = 0; i < 2; i++) {
      const socket = device.connect(server.port);
      assert.ok(await socket.until(() => socket.connected || socket.closed));
      socket.end();
    }
    const [a, b] = server.connections.map(({ session }) => session.masterSecret.toString("hex"));
    assert.notEqual(a, b);
  } finally {
    await server.stop();
  }
});

// --- reflection, replay, downgrade ------------------------------------------------------------------------------

test("R2 Selfie: a ClientHello mirrored back is refused", async () => {
  const mirror = await startPlainServer((bytes) => bytes);
  try {
    const device = await deviceOf("esp32-sim");
    const socket = device.connect(mirror.port);
    await socket.until(() => socket.closed);
    assert.equal(socket.error, SENT + UNEXPECTED_MESSAGE);
    // the fatal alert may still be on its way
    const alert = () => Buffer.concat(mirror.received).subarray(-7).toString("hex");
    await socket.until(() => alert() === "1503030002020a", 200);
    assert.equal(alert(), "1503030002020a");
  } finally {
    await mirror.stop();
  }
});

test("R2 a server's flight recorded from another session is refused", async () => {
  const device = await deviceOf("esp32-sim");
  const honest = await startScriptedServer({
    key,
    steps: afterwards(sendData(Buffer.from("open the door"))),
  });
  const first = device.connect(honest.port);
  await first.until(() => first.received.length > 0 || first.closed);
  assert.equal(first.received.toString(), "open the door");
  first.end();
  await honest.connections[0].closed;
  const recorded = honest.connections[0].sent;
  await honest.stop();

  // its first flight answers the ClientHello, the rest the device's second flight
  const second = recorded.indexOf(Buffer.from([ContentType.CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1]));
  const replay = await startPlainServer((bytes) =>
    bytes[0] !== ContentType.HANDSHAKE
      ? undefined
      : bytes[5] === 1
        ? recorded.subarray(0, second)
        : recorded.subarray(second),
  );
  try {
    const socket = device.connect(replay.port);
    await socket.until(() => socket.closed);
    assert.ok(!socket.connected);
    assert.equal(socket.received.length, 0);
    assert.equal(socket.error, SENT + BAD_RECORD_MAC);
  } finally {
    await replay.stop();
  }
});

for (const suite of [CCM_8, CBC_SHA])
  test(`R4 no byte of the handshake can be edited on the way, suite ${suite.toString(16)}`, async () => {
    const conduct = { key, suites: [suite], identityHint: Buffer.from("h"), sessionId: Buffer.alloc(4, 1) };
    const honest = await startScriptedServer(conduct);
    const whole = (await deviceOf("esp32-sim")).connect(honest.port);
    await whole.until(() => whole.connected || whole.closed);
    assert.ok(whole.connected, `error ${whole.error}`);
    const { session, sent } = honest.connections[0];
    const flights = { "to server": Buffer.concat(session.seen.records), "to client": sent };
    whole.end();
    const left = (["to server", "to client"] as const).flatMap((direction) =>
      Array.from(flights[direction], (_, at) => ({ direction, at, bits: 1 << ((at * 5) & 7) })),
    );

    /** One device behind a middle man of its own works off edits while there are any. */
    async function work(): Promise<void> {
      const device = await TestDevice.boot("esp32-sim");
      let edit = left[0];
      const relay = await startRelay(honest.port, (direction, bytes, offset) => {
        const at = edit.at - offset;
        return direction === edit.direction && at >= 0 && at < bytes.length
          ? flipped(bytes, at, edit.bits)
          : bytes;
      });
      try {
        for (let next = left.shift(); next; next = left.shift()) {
          edit = next;
          const socket = device.connect(relay.port);
          // the version in the header of an unprotected record is nobody's to protect
          const free = isMinorVersionInClear(flights[edit.direction], edit.at);
          while (!(await socket.until(() => socket.connected || socket.closed, QUIET_MS)))
            if (!free) await device.machine.later(HANDSHAKE_TIMEOUT_MS);
          assert.equal(socket.connected, free, `${JSON.stringify(edit)}, error ${socket.error}`);
          socket.end();
        }
      } finally {
        device.powerOff();
        await relay.stop();
      }
    }
    try {
      await Promise.all(Array.from({ length: 6 }, work));
    } finally {
      await honest.stop();
    }
  });

/** Whether byte `at` of a flight is the minor version of a record before or with ChangeCipherSpec. */
function isMinorVersionInClear(flight: Buffer, at: number): boolean {
  let start = 0;
  for (
    let encrypted = false;
    start < flight.length && !encrypted;
    start += 5 + flight.readUInt16BE(start + 3)
  ) {
    if (at === start + 2) return true;
    encrypted = flight[start] === ContentType.CHANGE_CIPHER_SPEC;
  }
  return false;
}

test("R4 a middle man who strips the better suites is found out", async () => {
  const device = await deviceOf("esp32-sim");
  const honest = await startScriptedServer({ key });
  const relay = await startRelay(honest.port, (direction, bytes, offset) => {
    if (direction === "to client" || offset > 0) return bytes;
    const edited = Buffer.from(bytes);
    // behind header, version, random, session id and length: SCSV first, then the suites; only 008C is left over
    for (let at = 5 + 4 + 2 + 32 + 1 + 2; edited.readUInt16BE(at) !== CBC_SHA; at += 2)
      edited.writeUInt16BE(0x00ff, at);
    return edited;
  });
  try {
    const socket = device.connect(relay.port);
    await socket.until(() => socket.connected || socket.closed);
    assert.ok(!socket.connected && socket.error > 0);
  } finally {
    await relay.stop();
    await honest.stop();
  }
});

test("R8 HelloRequest when the session stands: no_renegotiation, and the session lives", async () => {
  for (const board of SIMULATED_BOARDS) {
    const server = await startScriptedServer({ key, steps: afterwards("HelloRequest") });
    try {
      const device = await deviceOf(board);
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      socket.write(Buffer.from("still here"));
      await socket.until(() => socket.received.length === 10 || socket.closed);
      assert.equal(socket.received.toString(), "still here");
      assert.deepEqual(server.connections[0].session.seen.alerts, [
        { level: WARNING, description: NO_RENEGOTIATION },
      ]);
      socket.end();
    } finally {
      await server.stop();
    }
  }
});

// --- records ------------------------------------------------------------------------------------------------------

test("R9 the header of a record that is too long is enough: record_overflow, nothing decrypted", async () => {
  for (const board of SIMULATED_BOARDS) {
    const device = await deviceOf(board);
    const server = await startScriptedServer({ key });
    try {
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      const blocks = device.machine.counters.aesBlocks;
      server.connections[0].session.sendBytes(Buffer.from("1703034000", "hex"));
      await socket.until(() => socket.closed);
      assert.equal(socket.error, SENT + RECORD_OVERFLOW);
      await server.connections[0].closed;
      const [suite] = server.connections[0].session.seen.alerts;
      assert.deepEqual(suite, { level: FATAL, description: RECORD_OVERFLOW });
      // the alert that is sent costs a few blocks: 2 for CBC, 5 for CCM; the 16,384 bytes would cost over 1,000
      assert.ok(
        device.machine.counters.aesBlocks - blocks <= 8,
        `${device.machine.counters.aesBlocks - blocks} blocks`,
      );
    } finally {
      await server.stop();
    }
  }
});

for (const limit of [64, 100, 511, 512, 16384])
  test(`R9 a server's record_size_limit of ${limit} bounds what the device sends`, async () => {
    const server = await startScriptedServer({
      key,
      fragmentLimit: "record_size_limit",
      hello: (h) => h.extensions?.find(({ type }) => type === 28)?.data.writeUInt16BE(limit),
    });
    try {
      const device = await deviceOf("esp32-sim");
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      socket.write(Buffer.alloc(1500, 0x61));
      await socket.until(() => socket.received.length === 1500 || socket.closed);
      assert.equal(socket.received.length, 1500);
      const { fragments } = server.connections[0].session.seen;
      assert.equal(Math.max(...fragments), Math.min(limit, 512));
      socket.end();
    } finally {
      await server.stop();
    }
  });

for (const suite of SUITES)
  test(`R6 R16 every byte of a record flipped is one bad_record_mac and the end, ${suite.name}`, async () => {
    const device = await deviceOf("esp32-sim");
    const data = Buffer.from("command: open valve 7");
    let at = 0;
    let length = 1;
    const server = await startScriptedServer({
      key,
      suites: [suite.code],
      steps: afterwards(sendData(data), sendData(data)),
      record(record, type) {
        if (type !== ContentType.APPLICATION_DATA) return record;
        length = record.length;
        return at ? flipped(record, at, 1 << (at & 7)) : record;
      },
    });
    try {
      // byte 0 stands for the unspoiled record; 1 to 4 are the header, of which another test tells
      for (at = 0; at < length; at = Math.max(5, at + 1)) {
        const socket = device.connect(server.port);
        await socket.until(() => socket.closed || socket.received.length === 2 * data.length);
        if (at === 0) {
          assert.equal(socket.received.toString(), data.toString() + data.toString());
          socket.end();
          continue;
        }
        assert.equal(socket.error, SENT + BAD_RECORD_MAC, `byte ${at}`);
        assert.equal(socket.errors, 1);
        assert.equal(socket.received.length, 0, "nothing of it reaches the application");
        const connection = server.connections[server.connections.length - 1];
        await connection.closed;
        assert.deepEqual(connection.session.seen.alerts, [{ level: FATAL, description: BAD_RECORD_MAC }]);
      }
    } finally {
      await server.stop();
    }
  });

for (const suite of SUITES)
  test(`R16 after a bad record the keys are gone and writing does nothing, ${suite.name}`, async () => {
    const device = await deviceOf("esp32-sim");
    const server = await startScriptedServer({ key, suites: [suite.code] });
    try {
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      assert.ok((device.machine.value(KEYS) as string).length >= 32, "the keys were never seen");
      const { session, closed } = await server.connection(0);
      session.sendRecord(ContentType.APPLICATION_DATA, Buffer.from("x"), {
        mac: (mac) => flipped(mac, 0, 1),
      });
      await socket.until(() => socket.closed);
      assert.equal(device.machine.value(KEYS), "");
      socket.write(Buffer.from("after the end"));
      socket.end();
      await closed;
      assert.deepEqual(session.seen.alerts, [{ level: FATAL, description: BAD_RECORD_MAC }]);
      assert.equal(session.seen.applicationData.length, 0);
      assert.equal(socket.errors, 1);
    } finally {
      await server.stop();
    }
  });

// --- Lucky 13 and its forerunners: MAC-then-encrypt, where the policy takes it -------------------------------------

for (const board of ["esp32-sim", "esp32-idf4-sim"] as const)
  for (const { code, name, macLength } of SUITES.filter(({ kind }) => kind === "cbc"))
    test(`R6 as many hash compressions for every padding, ${name} on ${board}`, async () => {
      // our own digest is counted by a driver for tests, native calls by the simulator
      const fields = board === "esp32-idf4-sim" ? { digest: "counted_digest" } : {};
      const device = await TestDevice.boot(board, { defines: LENIENT, board: fields });
      const compressions = () =>
        device.machine.counters.sha1Compressions + device.machine.counters.sha256Compressions;
      const content = Buffer.alloc(320 - macLength - 1, 0x61);
      const server = await startScriptedServer({
        key,
        suites: [code],
        encryptThenMac: false,
      });
      try {
        const counts = new Map<number, string[]>();
        const measure = async (what: string, padded: (padded: Buffer) => Buffer) => {
          const socket = device.connect(server.port);
          await socket.until(() => socket.connected || socket.closed);
          const before = compressions();
          const { session } = server.connections[server.connections.length - 1];
          session.sendRecord(ContentType.APPLICATION_DATA, content, { padded });
          await socket.until(() => socket.closed);
          assert.equal(socket.error, SENT + BAD_RECORD_MAC, what);
          const count = compressions() - before;
          counts.set(count, [...(counts.get(count) ?? []), what]);
        };
        for (let padding = 0; padding < 256; padding += padding < 32 || padding > 240 ? 1 : 7) {
          // bad MAC behind good padding, and a last byte that no padding goes with
          await measure(`good padding ${padding}`, (p) =>
            flipped(Buffer.from(p).fill(padding, p.length - 1 - padding), 0, 1),
          );
          await measure(`bad padding ${padding}`, (p) =>
            flipped(Buffer.from(p).fill(padding, p.length - 1), p.length - 2, 0x40),
          );
        }
        const report = [...counts].map(
          ([count, what]) => `${count}: ${what.length} times, ${what.slice(0, 3)}`,
        );
        assert.equal(counts.size, 1, report.join("; "));
        assert.ok([...counts.keys()][0] > 0, "nothing was counted");
      } finally {
        device.powerOff();
        await server.stop();
      }
    });

const vectors = new URL("../../../shared/vectors/tls/aes_128_cbc_sha1_tls_tests.txt", import.meta.url);

/** What follows each record of the vectors: none of them ends so. */
const END = Buffer.from([0xff]);

/** The fields of one record of the vectors. */
type Vector = Record<"IN" | "CT" | "TAG" | "KEY" | "NONCE" | "AD" | "FAILS", string>;

test("R6 the published CBC records with every kind of padding, sealed anew for our sessions", {
  skip: existsSync(vectors) ? false : "../shared/vectors is not here",
}, async () => {
  const { createDecipheriv, createHmac } = await import("node:crypto");
  const device = await deviceOf("esp32-sim", LENIENT);
  const list = readFileSync(vectors, "latin1")
    .split("\n\n")
    .map(
      (paragraph) =>
        Object.fromEntries(
          [...paragraph.matchAll(/^([A-Z_]+): ?(.*)$/gm)].map(([, name, value]) => [name, value]),
        ) as Vector,
    )
    .filter((vector) => vector.KEY);
  let padded = Buffer.alloc(0);
  let text = Buffer.alloc(0);
  let macIsGood = true;
  const server = await startScriptedServer({
    key,
    suites: [CBC_SHA],
    encryptThenMac: false,
    steps: afterwards((session) => {
      session.sendRecord(ContentType.APPLICATION_DATA, text, {
        // the same plaintext, with this session's MAC where the vector's was right for its own
        padded: (ours) =>
          macIsGood
            ? Buffer.concat([ours.subarray(0, text.length + 20), padded.subarray(text.length + 20)])
            : padded,
      });
      session.sendRecord(ContentType.APPLICATION_DATA, END); // some of the vectors are empty
    }),
  });
  try {
    for (const vector of list) {
      const [all, iv, additional] = [vector.KEY, vector.NONCE, vector.AD].map((hex) =>
        Buffer.from(hex, "hex"),
      );
      const decipher = createDecipheriv("aes-128-cbc", all.subarray(20), iv).setAutoPadding(false);
      padded = Buffer.concat([decipher.update(Buffer.from(vector.CT + vector.TAG, "hex")), decipher.final()]);
      text = Buffer.from(vector.IN, "hex");
      const length = Buffer.from([text.length >> 8, text.length & 255]);
      const mac = createHmac("sha1", all.subarray(0, 20))
        .update(additional)
        .update(length)
        .update(text)
        .digest();
      macIsGood = mac.equals(padded.subarray(text.length, text.length + 20));
      const socket = device.connect(server.port);
      assert.ok(await socket.until(() => socket.closed || socket.received.subarray(-1).equals(END)));
      // our buffer ends at 512 bytes of text, IV, MAC and one block of padding
      const tooLong = 16 + padded.length > 512 + 16 + 20 + 16;
      if (vector.FAILS || tooLong)
        assert.equal(socket.error, SENT + (tooLong ? RECORD_OVERFLOW : BAD_RECORD_MAC));
      else assert.deepEqual(socket.received, Buffer.concat([text, END]), `error ${socket.error}`);
      socket.end();
    }
  } finally {
    await server.stop();
  }
});

// --- noise -----------------------------------------------------------------------------------------------------

for (const board of SIMULATED_BOARDS)
  for (const [kind, errors] of [
    ["stuck", [NOISE_REPETITION, NOISE_PROPORTION]],
    ["biased", [NOISE_REPETITION, NOISE_PROPORTION]],
    ["repeating", [NOISE_REPETITION, NOISE_PROPORTION]],
    ["high", [NOISE_REPETITION, NOISE_PROPORTION]],
    // a register that nothing feeds reads the same each time
    ["dead", [NOISE_DEAD, NOISE_REPETITION, NOISE_PROPORTION]],
  ] as const)
    test(`R13 a noise source that is ${kind} on ${board}: no handshake, not a byte`, async () => {
      const server = await startScriptedServer({ key });
      const device = await TestDevice.boot(board, { machine: { noise: kind } });
      try {
        const socket = device.connect(server.port);
        await socket.until(() => socket.closed);
        assert.ok((errors as readonly number[]).includes(socket.error), `error ${socket.error}`);
        assert.equal(server.connections[0]?.session.seen.bytes ?? 0, 0);
      } finally {
        device.powerOff();
        await server.stop();
      }
    });
