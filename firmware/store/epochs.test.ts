/*
 * The profile `epochs` on the whole device, through the gateway: MQTT under a new key each session, and R38, the proof: sessions are recorded,
 * then all of the device's flash is searched for what opens one of them. The same search opens every session under the main profile.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { readBoard } from "../../scripts/lib/bundle/build";
import { treeRoot } from "../../scripts/lib/keys/epoch_tree";
import { parseIdentity, parsePresented } from "../../scripts/lib/keys/identity";
import { deriveDeviceKey, PURPOSES } from "../../scripts/lib/keys/kdf";
import { piecesPrefix } from "../../scripts/lib/ota/manifest";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { bundleOf, type TestDevice } from "../../scripts/lib/test/device";
import { keyOf, keysUnder, RecordedGateway, searchMemory } from "../../scripts/lib/test/epochs";
import { askObject, bootLocked, CONF, recordOf } from "../../scripts/lib/test/factory";
import { openSession, secretsOf } from "../../scripts/lib/test/recordings";
import { testMasters, testRekeys } from "../../scripts/lib/test/update";

const BOARD = "esp32-sim";
const IDENTITY = "v1.meter.SN1";
/** A reconnect as soon as it may be. */
const FAST = { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 0 };
const SESSIONS = 6;

const toStop: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const stop of toStop.reverse()) await stop();
});

async function startGateway(): Promise<RecordedGateway> {
  const gateway = await RecordedGateway.start();
  toStop.push(() => gateway.stop());
  return gateway;
}

async function boot(
  gateway: RecordedGateway,
  profile: string,
  keys = keysUnder(gateway.master, IDENTITY, profile),
): Promise<TestDevice> {
  const conf = { ...JSON.parse(CONF), id: IDENTITY, port: gateway.port };
  const device = await bootLocked(
    BOARD,
    keys,
    { conf: settingsFile((await readBoard(BOARD)) as never, conf) },
    { profile, defines: FAST },
  );
  toStop.push(() => device.powerOff());
  return device;
}

/** Let a device have sessions, ended by the server and by power cuts in turn, until so many have come to their telemetry. */
async function haveSessions(device: TestDevice, gateway: RecordedGateway, many: number): Promise<void> {
  const first = gateway.statuses;
  for (let i = 1; i <= many; i++) {
    await gateway
      .until(() => gateway.statuses >= first + i)
      .catch(() => assert.fail(device.lines.join("\n")));
    if (i === many) break;
    if (i % 2) gateway.cut();
    else device.machine.boot();
  }
}

/** The epochs that were said, in order. */
const epochsOf = ({ sessions }: RecordedGateway) =>
  sessions.map(({ identity }) => parsePresented(identity).epoch);

test("R38 the whole device talks MQTT to the gateway, each session in the next epoch; `status` tells the one after", async () => {
  const gateway = await startGateway();
  const device = await boot(gateway, "epochs");
  await haveSessions(device, gateway, SESSIONS);
  assert.deepEqual(epochsOf(gateway), [...Array(SESSIONS).keys()]);
  assert.equal((await askObject(device, "status")).epoch, SESSIONS);
});

test("R20 R38 an image with new keys over the air is a new tree, of which the gateway derives the keys by the new identity", async () => {
  const masters = testMasters();
  const gateway = await RecordedGateway.start(masters.psk, 2);
  toStop.push(() => gateway.stop());
  const { code } = await bundleOf(BOARD, "firmware/main.ts", FAST, {}, "epochs");
  const keys = PURPOSES.map((purpose) =>
    deriveDeviceKey(
      masters[purpose],
      parseIdentity(IDENTITY),
      "kdf",
      purpose === "psk" ? "psk/tree" : purpose,
    ),
  );
  const device = await boot(gateway, "epochs", recordOf(keys));
  await haveSessions(device, gateway, 2);
  const fields = { product: "meter", board: BOARD, hardware: 1, version: "2", sequence: 6 } as const;
  const update = makeUpdate(Buffer.from(code, "latin1"), { ...fields, encoding: "none" });
  const rekeys = await testRekeys({ identities: [IDENTITY], update, masters, pskLabel: "psk/tree" });
  for (const [n, piece] of update.pieces.entries())
    await gateway.retain(`${piecesPrefix(update)}${n}`, piece);
  await gateway.retain("meter/SN1/ota", rekeys.manifest(0));
  const isNew = ({ identity }: { identity: string }) => identity.startsWith("v2.meter.SN1.e");
  await gateway.until(() => gateway.sessions.some(isNew)).catch(() => assert.fail(device.lines.join("\n")));
  gateway.cut();
  await gateway.until(() => gateway.sessions.filter(isNew).length > 1);
  // the slot whose root is gone starts as before
  device.machine.boot();
  await gateway.until(() => gateway.sessions.filter(isNew).length > 2);
  const said = gateway.sessions.filter(isNew).map(({ identity }) => identity);
  assert.deepEqual(said.slice(0, 3), ["v2.meter.SN1.e0", "v2.meter.SN1.e1", "v2.meter.SN1.e2"]);
  assert.equal(device.machine.flash.bytes.indexOf(treeRoot(masters.psk, "v2.meter.SN1")), -1);
  assert.equal(device.machine.flash.bytes.indexOf(treeRoot(masters.psk, IDENTITY)), -1);
  // nothing that was said under either tree
  assert.deepEqual([...searchMemory(device.machine.flash.bytes, gateway.sessions, masters.psk)], []);
});

test("R38 nothing in the flash after session n opens a session up to it; the same search opens all of them under the main profile", async () => {
  for (const profile of ["main", "epochs"]) {
    const gateway = await startGateway();
    const device = await boot(gateway, profile);
    await haveSessions(device, gateway, SESSIONS);
    const { sessions, master } = gateway;
    assert.equal(sessions.length, SESSIONS);
    for (const session of sessions)
      assert.match(
        openSession(session, keyOf(master, session)) ?? "",
        /up\/status/,
        "the gateway's key opens it",
      );
    const opened = searchMemory(device.machine.flash.bytes, sessions, master);
    if (profile === "epochs") assert.deepEqual([...opened], []);
    else {
      assert.deepEqual([...opened.keys()], [...sessions.keys()]);
      for (const data of opened.values()) assert.match(data, /up\/status/);
    }
  }
});

describe("R38 what it does not give", () => {
  test("R38 a restored image of the flash opens the sessions since, goes on from its own epoch, and the server lets it in again", async () => {
    const gateway = await startGateway();
    const device = await boot(gateway, "epochs");
    const { flash } = device.machine;
    await haveSessions(device, gateway, 2);
    const image = Buffer.from(flash.bytes);
    device.machine.boot();
    await haveSessions(device, gateway, 2);
    assert.deepEqual(epochsOf(gateway), [0, 1, 2, 3]);
    assert.deepEqual([...searchMemory(image, gateway.sessions, gateway.master).keys()], [2, 3]);
    device.powerOff();
    flash.load(image);
    device.machine.boot();
    await haveSessions(device, gateway, 1);
    assert.deepEqual(epochsOf(gateway), [0, 1, 2, 3, 2]);
    // the same key, and yet no record of one is one of the other
    const [first, again] = [gateway.sessions[2], gateway.sessions[4]];
    const secrets = [first, again].map((session) => secretsOf(session, keyOf(gateway.master, session)));
    assert.deepEqual(secrets[0].get("key"), secrets[1].get("key"));
    assert.notDeepEqual(secrets[0].get("key block"), secrets[1].get("key block"));
  });

  test("R38 two devices of one identity take the same epochs, and one opens the other's sessions from its own epoch on", async () => {
    const gateway = await startGateway();
    const keys = keysUnder(gateway.master, IDENTITY, "epochs");
    const one = await boot(gateway, "epochs", keys);
    await haveSessions(one, gateway, 2);
    one.powerOff();
    const other = await boot(gateway, "epochs", keys);
    await haveSessions(other, gateway, 4);
    assert.deepEqual(epochsOf(gateway), [0, 1, 0, 1, 2, 3]);
    assert.deepEqual(
      [...searchMemory(one.machine.flash.bytes, gateway.sessions, gateway.master).keys()],
      [4, 5],
    );
  });
});
