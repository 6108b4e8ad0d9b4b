/*
 * What a hostile or failing network can do to the built bundle: a stream that ends or stalls at every byte, that comes
 * in any pieces, messages in every order and with every omission, and streams mutated by a seeded generator. However it
 * goes, there is one error or a session that works, never an exception, never a wait without end; and the same board
 * completes an honest handshake afterwards.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { IDENTITY, KEY, SIMULATED_BOARDS, TestDevice } from "../../scripts/lib/test/device";
import { generator } from "../../scripts/lib/test/generator";
import {
  type Connection,
  startScriptedServer,
  type WireConduct,
} from "../../scripts/lib/test/scripted_server";
import type { MessageName, Step } from "../../scripts/lib/test/tls12/server_session";
import { EVERY_SUITE, profileWith, SUITES, suiteOf } from "../../scripts/lib/test/tls12/suites";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import { INTERNAL_ERROR, SENT, TIMEOUT, TRUNCATED, UNEXPECTED_MESSAGE } from "./alert";

/** Real time without an event after which a device and a server are taken to wait for each other, milliseconds. */
const QUIET_MS = 50;
/** So often; then a meeting has come to a stop. */
const MOST_WAITS = 1200;
const CCM_8 = 0xc0a8;
const CBC_SHA = 0x008c;
const GCM = 0x00a8;
const DATA = Buffer.from("0123456789abcdef0123");

const key: WireConduct["key"] = (identity) => (identity.toString("latin1") === IDENTITY ? KEY : undefined);
const booted: TestDevice[] = [];

after(() => {
  for (const device of booted) device.powerOff();
});

async function boot(board = "esp32-sim", profile = "main"): Promise<TestDevice> {
  const device = await TestDevice.boot(board, { profile });
  booted.push(device);
  return device;
}

const LEGAL: Step[] = [
  "ServerHello",
  "ServerKeyExchange",
  "ServerHelloDone",
  "ClientFinished",
  "ChangeCipherSpec",
  "Finished",
];

interface Meeting {
  connected: boolean;
  error: number;
  errors: number;
  received: Buffer;
  connection: Connection;
}

/** Let a device meet one conduct; `enough` ends a meeting that goes well. Where it `mayStall` the device's time passes when both wait. */
async function meet(
  device: TestDevice,
  conduct: WireConduct,
  enough?: (received: Buffer) => boolean,
  mayStall = () => false,
): Promise<Meeting> {
  const server = await startScriptedServer(conduct);
  try {
    const socket = device.connect(server.port);
    const isOver = () => socket.closed || (socket.connected && (enough?.(socket.received) ?? true));
    for (let turns = 0; !(await socket.until(isOver, QUIET_MS)); turns++) {
      assert.ok(turns < MOST_WAITS, "it neither ended nor went well");
      const { stallAfter } = conduct;
      const stalled = stallAfter !== undefined && server.connections[0]?.sent.length === stallAfter;
      if (stalled || mayStall()) await device.machine.later(HANDSHAKE_TIMEOUT_MS);
    }
    const { connected, error, errors, received } = socket;
    socket.end();
    return { connected, error, errors, received, connection: await server.connection(0) };
  } finally {
    await server.stop();
  }
}

/** Complete an honest handshake. */
async function assertHonest(device: TestDevice): Promise<void> {
  const { error } = await meet(device, { key });
  assert.equal(error, 0, "no honest handshake");
}

/** Do `work` for every item, on several devices at once. */
async function onDevices<T>(
  count: number,
  items: T[],
  work: (device: TestDevice, item: T) => Promise<void>,
  profile = "main",
): Promise<void> {
  const left = [...items];
  const devices: { device: TestDevice; held: number }[] = [];
  for (let booting = 0; booting < count; booting++) {
    const device = await boot("esp32-sim", profile);
    await assertHonest(device);
    devices.push({ device, held: device.heldCharacters });
  }
  await Promise.all(
    devices.map(async ({ device, held }) => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(device, item);
      await assertHonest(device);
      assert.equal(device.heldCharacters, held, "something stays behind");
    }),
  );
}

/** The bytes that an honest server of this conduct sends until the data has come. */
async function honestLength(
  conduct: WireConduct,
  profile: string,
): Promise<{ handshake: number; total: number }> {
  const device = await boot("esp32-sim", profile);
  let handshake = 0;
  const server = await startScriptedServer({
    ...conduct,
    steps: [...LEGAL, () => void (handshake = sent), (session) => session.sendData(DATA)],
    wire(bytes) {
      sent += bytes.length;
      return bytes;
    },
  });
  let sent = 0;
  const socket = device.connect(server.port);
  await socket.until(() => socket.closed || socket.received.length === DATA.length);
  assert.equal(socket.error, 0);
  socket.end();
  await server.stop();
  const total = sent;
  return { handshake, total };
}

for (const suite of [CCM_8, CBC_SHA, GCM]) {
  const profile = profileWith(suiteOf(suite));
  const conduct: WireConduct = {
    key,
    suites: [suite],
    identityHint: Buffer.from("hint"),
    steps: [...LEGAL, (session) => session.sendData(DATA)],
  };

  test(`R17 an end of TCP at every byte is seen, suite ${suite.toString(16)}`, async () => {
    const { total } = await honestLength(conduct, profile);
    await onDevices(
      4,
      Array.from({ length: total }, (_, byte) => byte),
      async (device, byte) => {
        const { error, errors, received } = await meet(device, { ...conduct, endAfter: byte }, () => false);
        assert.equal(error, TRUNCATED, `after ${byte} of ${total} bytes`);
        assert.equal(errors, 1);
        assert.equal(received.length, 0, "no part of a record reaches the application");
      },
      profile,
    );
  });

  test(`R29 a server that stalls at any byte of the handshake is left, suite ${suite.toString(16)}`, async () => {
    const { handshake } = await honestLength(conduct, profile);
    await onDevices(
      16,
      Array.from({ length: handshake }, (_, byte) => byte),
      async (device, byte) => {
        const { error } = await meet(device, { ...conduct, stallAfter: byte });
        assert.equal(error, TIMEOUT, `after ${byte} of ${handshake} bytes`);
      },
      profile,
    );
  });
}

test("R18 the same session in pieces of every size and of changing sizes", async () => {
  const random = generator(18);
  const sizes: WireConduct["pieces"][] = [1, 2, 3, 4, 5, 6, 7, 11, 16, 64, 100, 535, 536, 537];
  for (let i = 0; i < 40; i++) sizes.push(() => 1 + random(40));
  const data = Buffer.alloc(1200, "pieces ");
  for (const [index, pieces] of sizes.entries()) {
    const suite = SUITES[index % SUITES.length].code;
    const board = SIMULATED_BOARDS[index % 2]; // the two that know every suite
    const device = booted.find(({ machine }) => machine.board.name === board) ?? (await boot(board));
    const joinMessages = index % 3 === 0;
    const handshakeFragment = index % 5 === 0 ? 1 + random(30) : undefined;
    const conduct: WireConduct = {
      key,
      suites: [suite],
      pieces,
      joinMessages,
      handshakeFragment,
      steps: [...LEGAL, (session) => session.sendData(data)],
    };
    const { received, error } = await meet(device, conduct, (bytes) => bytes.length === data.length);
    assert.ok(received.equals(data), `sizes ${index}, error ${error}`);
  }
});

// --- order ----------------------------------------------------------------------------------------------------

/** Every sequence of distinct messages out of `names`, of every length. */
function arrangements<T>(names: T[]): T[][] {
  return [
    [],
    ...names.flatMap((name) =>
      arrangements(names.filter((other) => other !== name)).map((rest) => [name, ...rest]),
    ),
  ];
}

const MESSAGES: MessageName[] = [
  "ServerHello",
  "ServerKeyExchange",
  "ServerHelloDone",
  "ChangeCipherSpec",
  "Finished",
];

/** Tell how a device must end that gets these messages: the first that is out of order decides. */
function expectedError(sequence: MessageName[]): number {
  let next = 0;
  for (const name of sequence) {
    if (MESSAGES[next] === "ServerKeyExchange" && name === "ServerHelloDone") next += 1; // it may be left out
    if (MESSAGES[next] !== name) return SENT + UNEXPECTED_MESSAGE;
    next += 1;
  }
  return next === MESSAGES.length ? 0 : TRUNCATED;
}

/** The steps that send a sequence: where the client's flight is due, they wait for it. */
function stepsOf(sequence: MessageName[]): Step[] {
  const steps: Step[] = [];
  for (const [index, name] of sequence.entries()) {
    steps.push(name);
    if (
      name === "ServerHelloDone" &&
      expectedError(sequence.slice(0, index + 1)) !== SENT + UNEXPECTED_MESSAGE
    )
      steps.push("ClientFinished");
  }
  return steps;
}

test("R19 every permutation and omission of the server's flight", async () => {
  const sequences = arrangements(MESSAGES);
  assert.equal(sequences.length, 326);
  await onDevices(4, sequences, async (device, sequence) => {
    const wanted = expectedError(sequence);
    const steps: Step[] = [...stepsOf(sequence), (session) => wanted && session.end()];
    const { error } = await meet(device, { key, identityHint: Buffer.alloc(0), steps }, () => wanted === 0);
    assert.equal(error, wanted, sequence.join(", "));
  });
});

test("R19 every message of the server's flight twice", async () => {
  const flight: MessageName[] = [...MESSAGES];
  await onDevices(2, flight, async (device, name) => {
    const sequence = flight.flatMap((each) => (each === name ? [each, each] : [each]));
    const { error } = await meet(
      device,
      { key, identityHint: Buffer.alloc(0), steps: stepsOf(sequence) },
      () => false,
    );
    assert.equal(error, SENT + UNEXPECTED_MESSAGE, name);
  });
});

// --- mutations --------------------------------------------------------------------------------------------------

const MUTATIONS = 1500;

for (const profile of ["main", "gcm"])
  test(`R18 ${MUTATIONS} mutated streams: no crash, no hang, no growth, profile ${profile}`, async (context) => {
    const suites = EVERY_SUITE.filter((suite) => profileWith(suite) === profile);
    const outcomes = new Map<number, number>();
    const count = { altered: 0, honest: 0 };
    const seeds = Array.from({ length: MUTATIONS }, (_, index) => 0x5eed0000 + index);
    await onDevices(
      8,
      seeds,
      async (device, seed) => {
        const random = generator(seed);
        let altered = false;
        const { code } = suites[random(suites.length)];
        const conduct: WireConduct = {
          key,
          suites: [code],
          identityHint: random(2) ? Buffer.from("hint") : undefined,
          steps: [
            ...LEGAL.filter((step) => step !== "ServerKeyExchange"),
            (session) => session.sendData(DATA),
            (session) => session.close(),
          ],
          joinMessages: random(3) === 0,
          wire(bytes) {
            const sent = random(3) ? bytes : mutate(bytes, random);
            altered ||= !sent.equals(bytes);
            return sent;
          },
        };
        const { error, errors, received } = await meet(
          device,
          conduct,
          () => false,
          () => altered,
        );
        assert.ok(received.length === 0 || received.equals(DATA), `seed ${seed}: other data were taken`);
        if (!altered) assert.deepEqual({ received, error }, { received: DATA, error: 0 }, `seed ${seed}`);
        count[altered ? "altered" : "honest"] += 1;
        assert.ok(errors <= 1, `seed ${seed}`);
        assert.notEqual(error, SENT + INTERNAL_ERROR, `seed ${seed}: an exception`);
        outcomes.set(error, (outcomes.get(error) ?? 0) + 1);
      },
      profile,
    );
    assert.ok(count.altered > MUTATIONS / 4 && count.honest > MUTATIONS / 20, JSON.stringify(count));
    context.diagnostic(
      `errors and how often: ${[...outcomes].map(([code, count]) => `${code}: ${count}`).join(", ")}`,
    );
  });

/** Change a stretch of bytes in one of the ways in which wires, buffers and attackers do. */
function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  const at = random(bytes.length);
  const length = 1 + random(Math.min(8, bytes.length - at));
  const [before, middle, rest] = [
    bytes.subarray(0, at),
    bytes.subarray(at, at + length),
    bytes.subarray(at + length),
  ];
  const noise = Buffer.from(Array.from({ length }, () => random(256)));
  const changes = [
    () => [before, Buffer.from([bytes[at] ^ (1 << random(8))]), bytes.subarray(at + 1)],
    () => [before, noise, rest],
    () => [before, rest],
    () => [before, middle, middle, rest],
    () => [before, noise, middle, rest],
    () => [before, Buffer.alloc(length), rest],
    () => [before, Buffer.alloc(length, 255), rest],
    () => [rest, before],
    () => [before],
  ];
  return Buffer.concat(changes[random(changes.length)]());
}
