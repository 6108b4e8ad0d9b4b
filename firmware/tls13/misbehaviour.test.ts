/*
 * The built bundle of TLS 1.3 on a simulated board against servers that misbehave in one known way each: a table of what they do and of
 * the alert that it must cause (RFC 8446). The alert is read twice, from what the server received and from the error that the
 * application on the board got; after every case the same board must complete an honest handshake. Then streams that end, stall or
 * are mutated at every byte, and what a handshake costs.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { IDENTITY, KEY, powerOffShared, sharedDevice, TestDevice } from "../../scripts/lib/test/device";
import { generator } from "../../scripts/lib/test/generator";
import { startScriptedServer13, type WireConduct13 } from "../../scripts/lib/test/scripted_server";
import { handshakeMessage, type ServerHello, uint } from "../../scripts/lib/test/tls12/messages";
import {
  ALERT,
  APPLICATION_DATA,
  HANDSHAKE,
  honest13,
  type MessageName,
  type ServerSession13,
  type Step,
} from "../../scripts/lib/test/tls13/server_session";
import { profileWith, SUITES_13 } from "../../scripts/lib/test/tls13/suites";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import {
  BAD_RECORD_MAC,
  CLOSE_NOTIFY,
  DECODE_ERROR,
  DECRYPT_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  INTERNAL_ERROR,
  PROTOCOL_VERSION,
  RECEIVED,
  RECORD_OVERFLOW,
  SENT,
  TIMEOUT,
  TRUNCATED,
  UNEXPECTED_MESSAGE,
  UNSUPPORTED_EXTENSION,
  WANTS_COOKIE,
  WANTS_KEY_SHARE,
} from "../tls/alert";

const key: WireConduct13["key"] = (identity) => (identity.toString("latin1") === IDENTITY ? KEY : undefined);
const PING = Buffer.from("ping");
const NOTHING = Buffer.alloc(0);

/** What a case must end with: the alert that the device sends, a code, or life. */
type Outcome = { sends: number } | { code: number } | "lives";

interface Case {
  name: string;
  conduct: Partial<WireConduct13>;
  outcome: Outcome;
}

const hello = (change: (hello: ServerHello) => void) => ({ hello: change });
const extension = (type: number, data: Buffer) =>
  hello((h) => void (h.extensions = [...(h.extensions ?? []), { type, data }]));
const replaced = (type: number, data?: Buffer) =>
  hello((h) => {
    h.extensions = (h.extensions ?? []).filter((each) => each.type !== type);
    if (data) h.extensions.push({ type, data });
  });
const message = (name: MessageName, change: (message: Buffer) => Buffer) => ({
  message: (changed: MessageName, bytes: Buffer) => (changed === name ? change(bytes) : bytes),
});
const afterwards = (...steps: Step[]) => ({ steps: [...honest13, ...steps] });
const before = (name: Step, ...inserted: Step[]) => ({
  steps: honest13.flatMap((step) => (step === name ? [...inserted, step] : [step])),
});
const record = (type: number, content: Buffer) => (session: ServerSession13) =>
  session.sendRecord(type, content);
const RETRY = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");
const retry = (type: number, data: Buffer) =>
  hello((h) => {
    h.random = RETRY;
    h.extensions = [
      { type: 43, data: uint(0x0304, 2) },
      { type, data },
    ];
  });
const downgrade = (last: number) =>
  Buffer.concat([Buffer.alloc(24, 7), Buffer.from("DOWNGRD"), Buffer.from([last])]);
const tickets = (...lengths: number[]) =>
  afterwards((session) => {
    for (const length of lengths) session.sendTicket(length);
    session.sendData(PING);
  });
/** Replace the nth record that the server sends. */
const nth = (index: number, change: (record: Buffer) => Buffer) => ({
  record: (bytes: Buffer, at: number) => (at === index ? change(bytes) : bytes),
});
const flipped = (input: Buffer, at: number) => {
  const output = Buffer.from(input);
  output[at < 0 ? output.length + at : at] ^= 1;
  return output;
};

const CASES: Case[] = [
  // versions
  ...[0x0300, 0x0302, 0x0304].map((version) => ({
    name: `R4 legacy_version ${version.toString(16)}`,
    conduct: hello((h) => void (h.version = version)),
    outcome: { sends: PROTOCOL_VERSION },
  })),
  {
    name: "R4 no supported_versions: a server of TLS 1.2",
    conduct: replaced(43),
    outcome: { sends: PROTOCOL_VERSION },
  },
  {
    name: "R4 no extensions at all",
    conduct: hello((h) => void (h.extensions = undefined)),
    outcome: { sends: PROTOCOL_VERSION },
  },
  ...[0x0303, 0x0305, 0x7f1c].map((version) => ({
    name: `R4 supported_versions ${version.toString(16)}`,
    conduct: replaced(43, uint(version, 2)),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  ...[0, 1].map((last) => ({
    name: `R4 the downgrade sentinel ${last}`,
    conduct: hello((h) => {
      h.random = downgrade(last);
      h.extensions = undefined;
    }),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),

  // what was agreed
  ...[0x1301, 0x1302, 0x1303, 0xc0a8, 0x0513, 0x0000].map((suite) => ({
    name: `R10 suite ${suite.toString(16).padStart(4, "0")} that was not offered`,
    conduct: hello((h) => void (h.suite = suite)),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R10 compression",
    conduct: hello((h) => void (h.compression = 1)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  {
    name: "R18 a session id that was not sent",
    conduct: hello((h) => void (h.sessionId = Buffer.alloc(32, 1))),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  { name: "R2 no pre_shared_key", conduct: replaced(41), outcome: { sends: HANDSHAKE_FAILURE } },
  {
    name: "R2 another identity selected",
    conduct: replaced(41, uint(1, 2)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  {
    name: "R2 pre_shared_key of one byte",
    conduct: replaced(41, NOTHING),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  {
    name: "R18 a key_share that was not asked for",
    conduct: extension(51, Buffer.alloc(36, 1)),
    outcome: { sends: UNSUPPORTED_EXTENSION },
  },
  {
    name: "R18 extension 0x2900",
    conduct: extension(0x2900, NOTHING),
    outcome: { sends: UNSUPPORTED_EXTENSION },
  },
  {
    name: "R18 supported_versions twice",
    conduct: extension(43, uint(0x0304, 2)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },

  // HelloRetryRequest
  {
    name: "R5 HelloRetryRequest for a key_share",
    conduct: retry(51, uint(29, 2)),
    outcome: { code: WANTS_KEY_SHARE },
  },
  {
    name: "R5 HelloRetryRequest with a cookie",
    conduct: retry(44, Buffer.from("0002aabb", "hex")),
    outcome: { code: WANTS_COOKIE },
  },
  {
    name: "R5 HelloRetryRequest for nothing",
    conduct: hello((h) => void (h.random = RETRY)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },

  // EncryptedExtensions
  ...[
    { extensions: [], outcome: "lives" as const },
    { extensions: [{ type: 1, data: Buffer.from([1]) }], outcome: "lives" as const },
    { extensions: [{ type: 28, data: uint(64, 2) }], outcome: "lives" as const },
    { extensions: [{ type: 28, data: uint(63, 2) }], outcome: { sends: ILLEGAL_PARAMETER } },
    { extensions: [{ type: 28, data: uint(1, 1) }], outcome: { sends: DECODE_ERROR } },
    { extensions: [{ type: 1, data: Buffer.from([2]) }], outcome: { sends: ILLEGAL_PARAMETER } },
    { extensions: [{ type: 1, data: NOTHING }], outcome: { sends: ILLEGAL_PARAMETER } },
    {
      extensions: [
        { type: 1, data: Buffer.from([1]) },
        { type: 28, data: uint(512, 2) },
      ],
      outcome: { sends: ILLEGAL_PARAMETER },
    },
    { extensions: [{ type: 42, data: NOTHING }], outcome: { sends: UNSUPPORTED_EXTENSION } },
    { extensions: [{ type: 0, data: NOTHING }], outcome: { sends: UNSUPPORTED_EXTENSION } },
  ].map(({ extensions, outcome }) => ({
    name: `R9 EncryptedExtensions ${extensions.map(({ type, data }) => `${type}:${data.toString("hex")}`).join(" ") || "of none"}`,
    conduct: { extensions },
    outcome,
  })),

  // order
  ...(["EncryptedExtensions", "Finished"] as const).map((name) => ({
    name: `R19 no ${name}`,
    conduct: { steps: honest13.filter((step) => step !== name) },
    outcome: name === "Finished" ? { code: TIMEOUT } : { sends: UNEXPECTED_MESSAGE },
  })),
  {
    name: "R19 EncryptedExtensions twice",
    conduct: before("Finished", "EncryptedExtensions"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 a CertificateRequest",
    conduct: before("Finished", (s) => s.sendMessage("CertificateRequest", Buffer.from([0, 0, 0]))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 a Certificate",
    conduct: before("Finished", (s) => s.sendMessage("Certificate", Buffer.alloc(40))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 EncryptedExtensions in the clear",
    conduct: { steps: [(s: ServerSession13) => s.sendMessage("EncryptedExtensions", uint(0, 2))] },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 EncryptedExtensions in the clear, in the ServerHello's record",
    conduct: message("ServerHello", (m) => Buffer.concat([m, handshakeMessage(8, uint(0, 2))])),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 application data in the handshake",
    conduct: before("EncryptedExtensions", record(APPLICATION_DATA, PING)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 a NewSessionTicket before Finished",
    conduct: before("Finished", (s) => s.sendTicket(10)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  { name: "R19 the whole flight in one record", conduct: { joinMessages: true }, outcome: "lives" },
  {
    name: "R19 data with Finished, before ours",
    conduct: before("ClientFinished", record(APPLICATION_DATA, PING)),
    outcome: "lives",
  },
  {
    name: "R2 Finished with a wrong verify_data",
    conduct: message("Finished", (m) => flipped(m, -1)),
    outcome: { sends: DECRYPT_ERROR },
  },
  {
    name: "R18 Finished of 31 bytes",
    conduct: message("Finished", (m) => handshakeMessage(20, m.subarray(5))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 a message of 65,536 bytes",
    conduct: message("ServerHello", () => Buffer.from("02010000", "hex")),
    outcome: { sends: DECODE_ERROR },
  },

  // change_cipher_spec
  {
    name: "R19 no change_cipher_spec",
    conduct: { steps: honest13.filter((step) => step !== "ChangeCipherSpec") },
    outcome: "lives",
  },
  {
    name: "R19 change_cipher_spec before the ServerHello",
    conduct: { steps: ["ChangeCipherSpec", ...honest13.filter((step) => step !== "ChangeCipherSpec")] },
    outcome: "lives",
  },
  {
    name: "R19 change_cipher_spec twice",
    conduct: before("EncryptedExtensions", "ChangeCipherSpec"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 change_cipher_spec of another byte",
    conduct: before("EncryptedExtensions", (s) => s.sendBytes(Buffer.from("140303000102", "hex"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 change_cipher_spec after Finished",
    conduct: afterwards("ChangeCipherSpec"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },

  // after the handshake
  { name: "R18 two tickets", conduct: tickets(180, 240), outcome: "lives" },
  { name: "R18 a ticket of no bytes", conduct: tickets(0), outcome: "lives" },
  {
    name: "R18 a ticket longer than messages may be",
    conduct: tickets(2100),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R36 tickets without end",
    conduct: tickets(...Array.from({ length: 20 }, () => 20)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R5 KeyUpdate",
    conduct: afterwards((s) => s.sendKeyUpdate(0), record(APPLICATION_DATA, PING)),
    outcome: "lives",
  },
  {
    name: "R5 KeyUpdate that asks for ours",
    conduct: afterwards(
      (s) => s.sendKeyUpdate(1),
      (s) => s.sendKeyUpdate(1),
      record(APPLICATION_DATA, PING),
    ),
    outcome: "lives",
  },
  {
    name: "R18 KeyUpdate of 2",
    conduct: afterwards((s) => s.sendKeyUpdate(2)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  {
    name: "R36 KeyUpdates without end",
    conduct: afterwards((s) => {
      for (let i = 0; i < 20; i++) s.sendKeyUpdate(0);
    }),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 KeyUpdate and more in a record",
    conduct: afterwards(record(HANDSHAKE, Buffer.from("180000010018000001", "hex"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R8 a second ServerHello",
    conduct: afterwards((s) => s.sendMessage("ServerHello", Buffer.alloc(40))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R8 a CertificateRequest afterwards",
    conduct: afterwards((s) => s.sendMessage("CertificateRequest", Buffer.alloc(3))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },

  // alerts
  {
    name: "R16 a warning is an end too",
    conduct: afterwards((s) => s.sendAlert(1, 80)),
    outcome: { code: RECEIVED + 80 },
  },
  {
    name: "R16 user_canceled is none",
    conduct: afterwards((s) => s.sendAlert(1, 90), record(APPLICATION_DATA, PING)),
    outcome: "lives",
  },
  {
    name: "R18 an alert of one byte",
    conduct: afterwards(record(ALERT, Buffer.from([2]))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R11 a server that does not know the identity",
    conduct: { key: () => undefined },
    outcome: { code: RECEIVED + 115 },
  },
  {
    name: "R11 a server with another key",
    conduct: { key: () => Buffer.alloc(16, 9) },
    outcome: { code: RECEIVED + DECRYPT_ERROR },
  },

  // records
  ...[1, 100, 507].map((padding) => ({
    name: `R9 ${padding} bytes of padding`,
    conduct: { padding, ...afterwards(record(APPLICATION_DATA, PING)) },
    outcome: padding < 480 ? ("lives" as const) : { sends: RECORD_OVERFLOW },
  })),
  {
    name: "R9 a record of 512 bytes of content",
    conduct: afterwards(record(APPLICATION_DATA, Buffer.alloc(512, 97))),
    outcome: "lives",
  },
  {
    name: "R9 a record of 513 bytes of content",
    conduct: afterwards(record(APPLICATION_DATA, Buffer.alloc(513, 97))),
    outcome: { sends: RECORD_OVERFLOW },
  },
  {
    name: "R18 nothing but padding",
    conduct: { inner: () => Buffer.alloc(20) },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 nothing at all inside",
    conduct: { inner: () => NOTHING },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  ...[1, 20, 24, 255].map((type) => ({
    name: `R18 content type ${type} inside`,
    conduct: { inner: (inner: Buffer) => Buffer.concat([inner.subarray(0, -1), Buffer.from([type])]) },
    outcome: { sends: UNEXPECTED_MESSAGE },
  })),
  { name: "R16 a bad tag", conduct: nth(2, (r) => flipped(r, -1)), outcome: { sends: BAD_RECORD_MAC } },
  { name: "R16 a bad ciphertext", conduct: nth(2, (r) => flipped(r, 5)), outcome: { sends: BAD_RECORD_MAC } },
  {
    name: "R16 a record of another length",
    conduct: nth(2, (r) => Buffer.concat([r.subarray(0, 4), Buffer.from([r[4] - 1]), r.subarray(5, -1)])),
    outcome: { sends: BAD_RECORD_MAC },
  },
  {
    name: "R16 a record shorter than its tag",
    conduct: nth(2, () => Buffer.from("1703030003010203", "hex")),
    outcome: { sends: BAD_RECORD_MAC },
  },
  {
    name: "R16 a record replayed",
    conduct: nth(2, (r) => Buffer.concat([r, r])),
    outcome: { sends: BAD_RECORD_MAC },
  },
  {
    name: "R18 a handshake record in the clear after the ServerHello",
    conduct: nth(2, () => Buffer.from("160303000608000002 0000".replace(" ", ""), "hex")),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 an alert in the clear after the ServerHello",
    conduct: nth(2, () => Buffer.from("15030300020228", "hex")),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R4 a record of version 2",
    conduct: nth(0, (r) => Buffer.concat([r.subarray(0, 1), Buffer.from([2]), r.subarray(2)])),
    outcome: { sends: PROTOCOL_VERSION },
  },
  {
    name: "R17 an end without close_notify",
    conduct: afterwards((s) => s.end()),
    outcome: { code: TRUNCATED },
  },
];

const deviceOf = (board: string, profile = "tls13") => sharedDevice(board, { profile });

after(powerOffShared);

/** Let a device meet one conduct; where it lives, its own data come back to it. `stalls`: whether its time is to pass. */
async function meet(device: TestDevice, conduct: WireConduct13, stalls = () => false) {
  const server = await startScriptedServer13(conduct);
  try {
    const socket = device.connect(server.port);
    const done = () => socket.closed || socket.received.includes(PING);
    for (let turns = 0; !(await socket.until(() => socket.connected || socket.closed, 50)); turns++) {
      assert.ok(turns < 400, "it neither ended nor went well");
      const stalled =
        conduct.stallAfter !== undefined && server.connections[0]?.sent.length === conduct.stallAfter;
      if (stalls() || stalled) await device.machine.later(HANDSHAKE_TIMEOUT_MS);
    }
    const { connected } = socket;
    if (connected && !socket.closed) {
      socket.write(PING);
      await socket.until(done, 10_000);
    }
    const alive = socket.received.includes(PING) && !socket.closed;
    const { error, errors, received } = socket;
    socket.end();
    await socket.until(() => socket.closed);
    const connection = await server.connection(0);
    await connection.closed;
    return { alive, connected, error, errors, received, seen: connection.session.seen };
  } finally {
    await server.stop();
  }
}

for (const { name, conduct, outcome } of CASES)
  test(`${name}: ${outcome === "lives" ? "the session lives" : JSON.stringify(outcome)}`, async () => {
    const device = await deviceOf("esp32-sim");
    const { alive, error, errors, seen } = await meet(
      device,
      { key, ...conduct },
      () => typeof outcome === "object" && "code" in outcome && outcome.code === TIMEOUT,
    );
    if (outcome === "lives") {
      assert.ok(alive, `the session died of ${error}`);
      assert.deepEqual(seen.alerts, [{ level: 1, description: CLOSE_NOTIFY }]);
    } else if ("sends" in outcome) {
      assert.equal(error, SENT + outcome.sends);
      // what the device protects by keys that the server has not yet, or no longer, is bad to it
      assert.ok(
        seen.alerts.length === 0 || seen.alerts[0].description === outcome.sends,
        JSON.stringify(seen.alerts),
      );
    } else assert.equal(error, outcome.code);
    assert.ok(errors <= 1, "one failure is one error");
    const honest = await meet(device, { key });
    assert.ok(honest.alive, `no honest handshake after it: error ${honest.error}`);
  });

test("R5 KeyUpdate is answered where it asks, and only there", async () => {
  const device = await deviceOf("esp32-sim");
  const steps: Step[] = [...honest13, (s) => s.sendKeyUpdate(0), (s) => s.sendKeyUpdate(1)];
  const { alive, seen } = await meet(device, { key, steps });
  assert.ok(alive);
  assert.deepEqual(seen.keyUpdates, [0]);
});

test("R9 what the server takes by record_size_limit is what a record holds", async () => {
  const device = await deviceOf("esp32-sim");
  for (const [limit, most] of [
    [64, 63],
    [512, 511],
    [16385, 512],
  ]) {
    const server = await startScriptedServer13({ key, extensions: [{ type: 28, data: uint(limit, 2) }] });
    try {
      const socket = device.connect(server.port);
      await socket.until(() => socket.connected || socket.closed);
      socket.write(Buffer.alloc(1200, 98));
      await socket.until(() => socket.received.length === 1200 || socket.closed);
      const { fragments } = server.connections[0].session.seen;
      assert.equal(fragments[0], most);
      assert.ok(fragments.every((length) => length <= most));
      socket.end();
      await socket.until(() => socket.closed);
    } finally {
      await server.stop();
    }
  }
});

for (const board of ["esp32-sim", "esp32-idf4-sim", "mdbt42q-w5500-sim"])
  for (const suite of SUITES_13)
    test(`R5 the key schedule over node:crypto agrees with ${suite.name} on ${board}`, async () => {
      const device = await deviceOf(board, profileWith(suite));
      for (const pieces of [undefined, 1, 7]) {
        const { alive, error } = await meet(device, { key, suites: [suite.code], pieces });
        assert.ok(alive, `error ${error}`);
      }
    });

// --- streams that end, stall, or are not what was sent ---------------------------------------------------------

test("R17 R29 an end of TCP, or a stall, at every byte of the flight", async () => {
  const device = await deviceOf("esp32-sim");
  const conduct = { key, suites: [0x1305] };
  assert.ok((await meet(device, conduct)).alive);
  const held = device.heldCharacters;
  let flight = 0;
  const steps: Step[] = [...honest13, () => void (flight = sent)];
  let sent = 0;
  await meet(device, { ...conduct, steps, wire: (bytes) => ((sent += bytes.length), bytes) });
  for (let byte = 0; byte < flight; byte++) {
    const ended = await meet(device, { ...conduct, endAfter: byte });
    assert.equal(ended.error, TRUNCATED, `an end after ${byte} of ${flight} bytes`);
    const stalled = await meet(device, { ...conduct, stallAfter: byte });
    assert.equal(stalled.error, TIMEOUT, `a stall after ${byte} of ${flight} bytes`);
  }
  assert.ok((await meet(device, conduct)).alive);
  assert.equal(device.heldCharacters, held);
});

const MUTATIONS = 400;

for (const profile of ["tls13", "tls13-gcm"])
  test(`R18 ${MUTATIONS} mutated streams under ${profile}: no crash, no hang, no growth`, async () => {
    const device = await TestDevice.boot("esp32-sim", { profile });
    try {
      assert.ok((await meet(device, { key })).alive);
      const held = device.heldCharacters;
      let altered = 0;
      for (let seed = 0; seed < MUTATIONS; seed++) {
        const random = generator(0x13000000 + seed);
        let isAltered = false;
        const mutated: WireConduct13 = {
          key,
          joinMessages: random(3) === 0,
          steps: [...honest13, (s) => s.sendTicket(100), (s) => s.sendData(PING), (s) => s.close()],
          wire(bytes) {
            if (random(4)) return bytes;
            isAltered = true;
            const at = random(bytes.length);
            const noise = Buffer.from(Array.from({ length: 1 + random(4) }, () => random(256)));
            const changes = [
              () => [
                bytes.subarray(0, at),
                Buffer.from([bytes[at] ^ (1 << random(8))]),
                bytes.subarray(at + 1),
              ],
              () => [bytes.subarray(0, at), noise, bytes.subarray(at)],
              () => [bytes.subarray(0, at), bytes.subarray(at + 1 + random(4))],
              () => [bytes, bytes.subarray(at)],
            ];
            return Buffer.concat(changes[random(changes.length)]());
          },
        };
        const { error, errors, received } = await meet(device, mutated, () => isAltered);
        if (isAltered) altered++;
        assert.ok(received.length === 0 || received.equals(PING), `seed ${seed}: other data were taken`);
        assert.ok(errors <= 1 && error !== SENT + INTERNAL_ERROR, `seed ${seed}: error ${error}`);
        if (!isAltered) assert.deepEqual({ received, error }, { received: PING, error: 0 }, `seed ${seed}`);
      }
      assert.ok(altered > MUTATIONS / 4, `${altered}`);
      assert.ok((await meet(device, { key })).alive);
      assert.equal(device.heldCharacters, held, "something stays behind");
    } finally {
      device.powerOff();
    }
  });
