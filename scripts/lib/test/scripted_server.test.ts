/*
 * The scripted server by itself: its honest mode against OpenSSL's and GnuTLS's clients, for every suite, and
 * its key schedule against recorded sessions. Only a server that is right can tell who is wrong.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { hasProgram } from "./peers/install";
import { runProgram, WorkFolder } from "./peers/process";
import { startScriptedServer, type WireConduct } from "./scripted_server";
import {
  extendedMasterSecret,
  masterSecret,
  prf,
  sha256,
  verifyData,
  type WriteKeys,
  writeKeys,
} from "./tls12/key_schedule";
import { ContentType, HandshakeType } from "./tls12/messages";
import { open, type Protection } from "./tls12/record_protection";
import { SUITES, suiteOf } from "./tls12/suites";

const KEY = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
const IDENTITY = "v1.sensor.0001";
const honest: WireConduct = {
  key: (identity) => (identity.toString("latin1") === IDENTITY ? KEY : undefined),
};

/** Let a client program say `text` to the server; returns what it printed and what the server saw. */
async function talk(conduct: WireConduct, client: (port: number) => { command: string; args: string[] }) {
  const server = await startScriptedServer(conduct);
  const folder = new WorkFolder();
  folder.file("keys", `${IDENTITY}:${KEY.toString("hex")}\n`);
  const program = runProgram({ ...client(server.port), folder, input: "hello there\n" });
  try {
    const deadline = Date.now() + 5000;
    while (!/^hello there$/m.test(program.output()) && program.alive() && Date.now() < deadline)
      await delay(10);
    return { output: program.output(), seen: server.connections[0]?.session };
  } finally {
    await program.stop();
    await server.stop();
  }
}

function opensslClient(suite: number, extra: string[] = []) {
  const { openssl } = suiteOf(suite);
  return (port: number) => ({
    command: "openssl",
    args: [
      "s_client",
      "-connect",
      `127.0.0.1:${port}`,
      "-tls1_2",
      "-cipher",
      `${openssl}:@SECLEVEL=0`,
      "-psk_identity",
      IDENTITY,
      "-psk",
      KEY.toString("hex"),
      "-quiet",
      "-no_ign_eof",
      ...extra,
    ],
  });
}

function gnutlsClient(suite: number, extra = "", more: string[] = []) {
  const { gnutls } = suiteOf(suite);
  return (port: number) => ({
    command: "gnutls-cli",
    args: [
      "127.0.0.1",
      "-p",
      String(port),
      "--pskusername",
      IDENTITY,
      "--pskkey",
      KEY.toString("hex"),
      "--priority",
      `NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2:${gnutls}${extra}`,
      ...more,
    ],
  });
}

const variants: { name: string; conduct: Partial<WireConduct> }[] = [
  { name: "as it is", conduct: {} },
  { name: "without extended master secret", conduct: { extendedMasterSecret: false } },
  { name: "without encrypt-then-MAC", conduct: { encryptThenMac: false } },
  {
    name: "with a hint and a session id",
    conduct: { identityHint: Buffer.from("any"), sessionId: Buffer.alloc(32, 7) },
  },
  { name: "with joined messages", conduct: { joinMessages: true } },
  { name: "in fragments of 5 bytes and TCP pieces of 3", conduct: { handshakeFragment: 5, pieces: 3 } },
  { name: "with record_size_limit", conduct: { fragmentLimit: "record_size_limit" } },
];

for (const suite of SUITES)
  for (const { name, conduct } of variants) {
    test(`scripted server ${name}: OpenSSL agrees on ${suite.name}`, {
      skip: !hasProgram("openssl"),
    }, async () => {
      const { output, seen } = await talk(
        { ...honest, ...conduct },
        opensslClient(suite.code, ["-maxfraglen", "512"]),
      );
      assert.match(output, /^hello there$/m);
      assert.equal(seen.suite, suite);
    });
    test(`scripted server ${name}: GnuTLS agrees on ${suite.name}`, {
      skip: !hasProgram("gnutls-cli"),
    }, async () => {
      const { output, seen } = await talk({ ...honest, ...conduct }, gnutlsClient(suite.code));
      assert.match(output, /^hello there$/m);
      assert.equal(seen.suite, suite);
    });
  }

test("scripted server answers an unknown identity with unknown_psk_identity", {
  skip: !hasProgram("openssl"),
}, async () => {
  const { output, seen } = await talk({ key: () => undefined }, opensslClient(0x008c));
  assert.match(output, /alert number 115/);
  assert.equal(seen.alertSent, 115);
});

test("scripted server answers a wrong key with bad_record_mac", {
  skip: !hasProgram("openssl"),
}, async () => {
  const { output, seen } = await talk({ key: () => Buffer.alloc(16) }, opensslClient(0xc0a8));
  assert.match(output, /alert number 20/);
  assert.equal(seen.alertSent, 20);
});

const faults: { name: string; suite: number; conduct: Partial<WireConduct>; alert: number }[] = [
  { name: "a flipped byte of its MAC", suite: 0x008c, conduct: { spoil: () => ({ mac: flip }) }, alert: 20 },
  { name: "a flipped byte of its tag", suite: 0xc0a4, conduct: { spoil: () => ({ mac: flip }) }, alert: 20 },
  {
    name: "wrong padding under MAC-then-encrypt",
    suite: 0x00ae,
    conduct: { encryptThenMac: false, spoil: () => ({ padding: flip }) },
    alert: 20,
  },
  {
    name: "wrong verify_data",
    suite: 0xc0a8,
    conduct: { body: (message, body) => (message === "Finished" ? flip(body) : body) },
    alert: 51,
  },
  {
    name: "a suite that was not offered",
    suite: 0xc0a8,
    conduct: { hello: (hello) => void (hello.suite = 0xc0a4) },
    alert: 47,
  },
];

function flip(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed[0] ^= 1;
  return changed;
}

for (const { name, suite, conduct, alert } of faults)
  test(`scripted server with ${name}: OpenSSL answers alert ${alert}`, {
    skip: !hasProgram("openssl"),
  }, async () => {
    const { seen } = await talk({ ...honest, ...conduct }, opensslClient(suite));
    assert.deepEqual(seen.seen.alerts, [{ level: 2, description: alert }]);
  });

interface Recorded {
  name: string;
  version: string;
  psk: string;
  wire: ["C" | "S", string][];
  master_secret: string;
  suite: string;
  sh_exts: Record<string, string>;
  app_tx: string;
  app_rx: string;
}

/** Open every record of a recorded session and compare master secret, both Finished and the data. */
function replay(session: Recorded): void {
  const suite = suiteOf(Number(session.suite));
  const key = Buffer.from(session.psk, "hex");
  const encryptThenMac = "encrypt_then_mac" in session.sh_exts;
  const transcript: Buffer[] = [];
  const protection: { C?: Protection; S?: Protection } = {};
  const data = { C: "", S: "" };
  const randoms: Buffer[] = [];
  let master: Buffer = Buffer.alloc(0);
  let keys: { client: WriteKeys; server: WriteKeys } | undefined;

  for (const { from, type, body } of recordsOf(session)) {
    const reading = protection[from];
    const fragment = reading ? open(reading, type, body) : body;
    if (type === ContentType.HANDSHAKE) {
      if (fragment[0] === 1 || fragment[0] === 2) randoms.push(fragment.subarray(6, 38));
      if (fragment[0] === HandshakeType.FINISHED) {
        const expected = verifyData(master, from === "C" ? "client" : "server", sha256(...transcript));
        assert.deepEqual(fragment.subarray(4), expected, `${session.name}: Finished of ${from}`);
      }
      transcript.push(fragment);
    }
    if (type === ContentType.CHANGE_CIPHER_SPEC) {
      if (!keys) {
        master =
          "extended_master_secret" in session.sh_exts
            ? extendedMasterSecret(key, sha256(...transcript))
            : masterSecret(key, randoms[0], randoms[1]);
        keys = writeKeys(suite, master, randoms[0], randoms[1]);
      }
      protection[from] = {
        suite,
        keys: from === "C" ? keys.client : keys.server,
        encryptThenMac,
        sequence: 0n,
      };
    }
    if (type === ContentType.APPLICATION_DATA) data[from] += fragment.toString("hex");
  }
  assert.equal(master.toString("hex"), session.master_secret, session.name);
  assert.deepEqual(data, { C: session.app_tx, S: session.app_rx }, session.name);
}

function recordsOf({ wire }: Recorded): { from: "C" | "S"; type: number; body: Buffer }[] {
  const records: { from: "C" | "S"; type: number; body: Buffer }[] = [];
  for (const [from, hex] of wire)
    for (let bytes = Buffer.from(hex, "hex"); bytes.length; bytes = bytes.subarray(5 + bytes.readUInt16BE(3)))
      records.push({ from, type: bytes[0], body: bytes.subarray(5, 5 + bytes.readUInt16BE(3)) });
  return records;
}

const recorded = new URL("../../../../shared/vectors/tls/sessions.json", import.meta.url);

test("recorded sessions of TLS 1.2 open with the scripted server's key schedule", {
  skip: existsSync(recorded) ? false : "../shared/vectors is not here",
}, () => {
  const sessions: Recorded[] = JSON.parse(readFileSync(recorded, "utf8"));
  let checked = 0;
  for (const session of sessions.filter(({ version }) => version === "0x303")) {
    replay(session);
    checked += 1;
  }
  assert.ok(checked >= 3);
});

test("PRF of the scripted server gives the published answer for P_SHA256", () => {
  // Known answer posted to the IETF TLS list for the TLS 1.2 PRF with SHA-256.
  const secret = Buffer.from("9bbe436ba940f017b17652849a71db35", "hex");
  const seed = Buffer.from("a0ba9f936cda311827a6f796ffd5198c", "hex");
  const expected =
    "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a" +
    "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab" +
    "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701" +
    "87347b66";
  assert.equal(prf(secret, "test label", seed, 100).toString("hex"), expected);
});
