/*
 * No pair of key and nonce twice, over any power cut (RFC 6655, 3; RFC 5116, 3.1): 100,000 boots of generator and record
 * layer against a server that always sends the same random, each cut after some records; and randomness at power-on,
 * which must not come from a source that is not running yet.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Machine } from "../../hal/simulator/machine";
import { readBoard } from "../../scripts/lib/bundle/build";
import { bundleOf, IDENTITY, KEY, SIMULATED_BOARDS, TestDevice } from "../../scripts/lib/test/device";
import { startScriptedServer } from "../../scripts/lib/test/scripted_server";
import { masterSecret, writeKeys } from "../../scripts/lib/test/tls12/key_schedule";
import { suiteOf } from "../../scripts/lib/test/tls12/suites";

const SESSIONS = 100_000;
const RECORD_APP = "scripts/lib/test/apps/record_app.ts";
const CHANGE_CIPHER_SPEC = 20;
const APPLICATION_DATA = 23;

interface Records {
  startRandom(): void;
  random(length: number): string;
  agree(macLength: number, tagLength: number): void;
  setKeys(keyBlock: string): void;
  send(transport: { write(bytes: string): void }, type: number, data: string): void;
}

for (const suiteCode of [0xc0a8, 0x008c])
  test(`R15 no key and nonce twice in ${SESSIONS / 2} sessions with power cuts, suite ${suiteCode.toString(16)}`, async () => {
    const suite = suiteOf(suiteCode);
    const { code } = await bundleOf("esp32-sim", RECORD_APP);
    // every call is a power-on: the bundle runs anew, with nothing kept
    const machine = new Machine({ board: await readBoard("esp32-sim"), bundle: code });
    machine.boot();
    const powerOn = () => machine.run('eval(require("Storage").read(".slots"));records') as Records;
    const serverRandom = Buffer.alloc(32, 7);
    const pairs = new Set<string>();
    let records = 0;
    for (let session = 0; session < SESSIONS / 2; session++) {
      const { startRandom, random, agree, setKeys, send } = powerOn();
      startRandom();
      const clientRandom = Buffer.from(random(32), "latin1");
      const master = masterSecret(KEY, clientRandom, serverRandom);
      const { client, server } = writeKeys(suite, master, clientRandom, serverRandom);
      const block = [client.mac, server.mac, client.key, server.key, client.fixedIv, server.fixedIv];
      const cbc = suite.kind === "cbc";
      agree(cbc ? suite.macLength : 0, cbc ? 0 : suite.macLength);
      setKeys(Buffer.concat(block).toString("latin1"));
      send({ write: () => {} }, CHANGE_CIPHER_SPEC, "\x01");
      // the power goes after one to three records
      for (let sent = 0; sent <= session % 3; sent++) {
        let record = "";
        send({ write: (bytes) => void (record += bytes) }, APPLICATION_DATA, "x");
        assert.equal(record.length, cbc ? 5 + 16 + 16 + suite.macLength : 5 + 8 + 1 + suite.macLength);
        const nonce = record.slice(5, cbc ? 21 : 13);
        pairs.add(client.key.toString("latin1") + client.fixedIv.toString("latin1") + nonce);
        records += 1;
      }
    }
    machine.powerOff();
    assert.equal(pairs.size, records);
  });

/** Sessions of whole devices, each cut from power. */
const STARTS = 150;
const RECORD_HEADER = 5;

for (const suiteCode of [0xc0a8, 0x008c])
  test(`R15 nor in ${STARTS} sessions of a whole device that power is cut from in their midst, against a server of one random, suite ${suiteCode.toString(16)}`, async () => {
    const suite = suiteOf(suiteCode);
    const server = await startScriptedServer({
      key: () => KEY,
      suites: [suiteCode],
      random: Buffer.alloc(32, 7),
    });
    let sent = Buffer.alloc(0);
    const device = await TestDevice.boot("esp32-sim", {
      machine: { onWire: (direction, bytes) => direction === "out" && (sent = Buffer.concat([sent, bytes])) },
    });
    const pairs = new Set<string>();
    let records = 0;
    try {
      for (let start = 0; start < STARTS; start++) {
        sent = Buffer.alloc(0);
        device.machine.boot();
        const socket = device.connect(server.port);
        assert.ok(await socket.until(() => socket.connected));
        // the power goes after one to three records
        for (let nth = 0; nth <= start % 3; nth++) {
          const before = sent.length;
          socket.write(Buffer.from("x"));
          while (sent.length === before) await nextTurn();
        }
        const { session } = await server.connection(start);
        const keys = session.keys?.client;
        assert.ok(keys);
        device.machine.powerOff();
        for (let at = 0, isProtected = false; at < sent.length; ) {
          const length = sent.readUInt16BE(at + 3);
          const nonce = sent.subarray(
            at + RECORD_HEADER,
            at + RECORD_HEADER + (suite.kind === "cbc" ? 16 : 8),
          );
          if (isProtected) {
            pairs.add(Buffer.concat([keys.key, keys.fixedIv, nonce]).toString("latin1"));
            records += 1;
          }
          isProtected ||= sent[at] === CHANGE_CIPHER_SPEC;
          at += RECORD_HEADER + length;
        }
      }
    } finally {
      device.powerOff();
      await server.stop();
    }
    assert.ok(records >= 3 * STARTS, `${records} records`);
    assert.equal(pairs.size, records);
  });

for (const board of SIMULATED_BOARDS)
  test(`R15 early-boot entropy: the first ClientHello of ${board} is another after every power-on`, async () => {
    const server = await startScriptedServer({
      key: (identity) => (identity.toString() === IDENTITY ? KEY : undefined),
    });
    try {
      const randoms = new Set<string>();
      for (let boot = 0; boot < 10; boot++) {
        const device = await TestDevice.boot(board, { entry: "firmware/main.ts", port: server.port });
        const { session } = await server.connection(boot);
        for (let wait = 0; wait < 400 && !session.seen.clientHello; wait++)
          await new Promise((resolve) => setTimeout(resolve, 5));
        assert.ok(session.seen.clientHello, device.lines.join("\n"));
        randoms.add(session.seen.clientHello.random.toString("hex"));
        device.powerOff();
      }
      assert.equal(randoms.size, 10);
    } finally {
      await server.stop();
    }
  });
