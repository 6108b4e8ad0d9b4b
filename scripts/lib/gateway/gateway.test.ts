// The gateway against clients that are not ours: `openssl s_client`, mosquitto_pub, Node's tls, and raw bytes where a
// library would not send what an attacker would. Rows 1, 4, 11, 12 and 25; what every front door does is in doors.test.ts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { masterFromBytes, openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { createTokenKey, parseTokenUri } from "../custody/token";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, SCHEME_NAMES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { knock, mqttClient, rawKnock, run, sClient, WRONG_KEY, WRONG_KEY_ALERT } from "../test/psk_client";
import { makeTokens, skipWithoutToken, tokenUri } from "../test/token";
import { type Gateway, type GatewayEvent, startGateway } from "./gateway";
import { mayPublish, maySubscribe } from "./topics";

const master = randomKey();
const DEVICE = "v7.meter.SN1";
const REVOKED = "v7.meter.SN666";
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));

describe("the gateway", () => {
  let gateway: Gateway;
  let events: GatewayEvent[] = [];
  before(async () => {
    gateway = await startGateway({
      master: masterFromBytes(master),
      keyVersion: 7,
      revoked: [REVOKED],
      onEvent: (event) => events.push(event),
    });
  });
  after(() => gateway.close());

  const SUITES = [
    "PSK-AES128-CCM8",
    "PSK-AES128-CCM",
    "PSK-AES128-CBC-SHA",
    "PSK-AES128-CBC-SHA256",
    "PSK-AES128-GCM-SHA256",
  ];
  for (const suite of SUITES) {
    test(`s_client is let in with ${suite}`, async () => {
      const { output } = await sClient(gateway, DEVICE, keyOf(DEVICE), ["-cipher", `${suite}:@SECLEVEL=0`]);
      assert.match(output, new RegExp(`Cipher is ${suite}\n`));
      assert.match(output, /Extended master secret: yes/);
    });
  }

  test("no session is resumed: every connection is a whole handshake with keys of its own", async () => {
    const folder = mkdtempSync(join(tmpdir(), "gateway-"));
    const suite = ["-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"];
    const first = await sClient(gateway, DEVICE, keyOf(DEVICE), [
      ...suite,
      "-sess_out",
      join(folder, "session"),
    ]);
    const second = await sClient(gateway, DEVICE, keyOf(DEVICE), [
      ...suite,
      "-sess_in",
      join(folder, "session"),
    ]);
    rmSync(folder, { recursive: true });
    const masterSecrets = [first, second].map(({ output }) => /Master-Key: (\w+)/.exec(output)?.[1]);
    assert.match(second.output, /^New, /m);
    assert.notEqual(masterSecrets[0], masterSecrets[1]);
  });

  test("R4 nothing below TLS 1.2: 1.1 alone meets protocol_version", async () => {
    const { output } = await sClient(gateway, DEVICE, keyOf(DEVICE), [
      "-tls1_1",
      "-cipher",
      "PSK:@SECLEVEL=0",
    ]);
    assert.match(output, /alert number 70/);
  });

  test("R11 unknown, revoked and wrong meet the same alert after the same work", async () => {
    const cases: Record<string, [string, Buffer]> = {
      wrong: [DEVICE, randomKey()],
      revoked: [REVOKED, keyOf(REVOKED)],
      unknown: ["v9.other.SN1", randomKey()],
      malformed: ["who is it?", randomKey()],
    };
    for (const [name, [identity, key]] of Object.entries(cases)) {
      const { derivations } = gateway.counters;
      assert.equal(await knock(gateway, identity, key), WRONG_KEY, name);
      assert.equal(gateway.counters.derivations - derivations, 2, name);
    }
  });

  test("R11 R12 on the wire: NUL, colon, UTF-8, empty, longest and too long an identity get the same seven bytes", async () => {
    const identities: Record<string, Buffer> = {
      "unknown and well formed": Buffer.from("v7.meter.SN9"),
      "a good one, a NUL and more": Buffer.from(`${DEVICE}\0x`),
      "NUL first": Buffer.from(`\0${DEVICE}`),
      colon: Buffer.from("v7.meter:SN1"),
      "UTF-8": Buffer.from("v7.mètre.SN1"),
      empty: Buffer.alloc(0),
      "64 bytes": Buffer.from(`v7.m.${"S".repeat(59)}`),
      "65 bytes": Buffer.from(`v7.m.${"S".repeat(60)}`),
      "255 bytes": Buffer.alloc(255, 0x41),
    };
    for (const [name, identity] of Object.entries(identities)) {
      const derivations = gateway.counters.derivations;
      assert.equal((await rawKnock(gateway, identity)).toString("hex"), WRONG_KEY_ALERT, name);
      assert.equal(gateway.counters.derivations - derivations, 2, name);
    }
    // What is not UTF-8 Node refuses by itself, before we are asked: no device's identity is among that.
    assert.equal(
      (await rawKnock(gateway, Buffer.from([0x76, 0x37, 0xff, 0xfe, 0x80]))).toString("hex"),
      "15030300020273",
    );
  });

  test("revoke() ends the living session and shuts the door", async () => {
    const identity = "v7.meter.SN21";
    const client = await mqttClient(gateway, identity, keyOf(identity));
    gateway.revoke(identity);
    await client.ended;
    assert.equal(await knock(gateway, identity, keyOf(identity)), WRONG_KEY);
  });

  test("R25 no event shows a key", () => {
    const shown = JSON.stringify(events).toLowerCase();
    for (const identity of [DEVICE, REVOKED]) assert.ok(!shown.includes(keyOf(identity).toString("hex")));
    assert.ok(!shown.includes(master.toString("hex")));
    events = [];
  });

  test("the rules by themselves", () => {
    const identity = parseIdentity(DEVICE);
    assert.ok(mayPublish(identity, "meter/SN1/up/a/b"));
    assert.ok(!mayPublish(identity, "meter/SN1"));
    assert.ok(maySubscribe(identity, "meter/SN1/#"));
    assert.ok(maySubscribe(identity, "meter/SN1/ota"));
    assert.ok(maySubscribe(identity, "fw/meter/abc/1"));
    assert.ok(maySubscribe(identity, "fw/meter/#"));
    assert.ok(!maySubscribe(identity, "meter/SN2/ota"));
    assert.ok(!maySubscribe(identity, "meter/+/ota"));
    assert.ok(!maySubscribe(identity, "fw/+/abc/1"));
    assert.ok(!maySubscribe(identity, "meter/SN1/"));
  });

  test("mosquitto_pub speaks to it", { skip: skipWithout("mosquitto_pub", "mosquitto_sub") }, async () => {
    const heard = new Promise<string>((resolve) => {
      gateway.broker.subscribe(
        "meter/SN30/up/t",
        ({ payload }, done) => (resolve(payload.toString()), done()),
        () => {},
      );
    });
    const identity = "v7.meter.SN30";
    const args = ["-h", "127.0.0.1", "-p", `${gateway.port}`, "-i", "meter-SN30", "--psk-identity", identity];
    const { code, output } = await run("mosquitto_pub", [
      ...args,
      "--psk",
      keyOf(identity).toString("hex"),
      "-q",
      "1",
      "-t",
      "meter/SN30/up/t",
      "-m",
      "hello",
    ]);
    assert.equal(code, 0, output);
    assert.equal(await heard, "hello");
  });
});

for (const scheme of SCHEME_NAMES) {
  test(`R1 scheme ${scheme}: its key is let in, another scheme's key is not`, async () => {
    const gateway = await startGateway({ master: masterFromBytes(master, "psk", scheme) });
    try {
      const identity = parseIdentity("v1.meter.SN0001");
      for (const other of SCHEME_NAMES) {
        const outcome = await knock(gateway, identity.text, deriveDeviceKey(master, identity, other));
        assert.equal(outcome, other === scheme ? "in" : WRONG_KEY, other);
      }
      // A serial that the scheme cannot take is unknown like any other.
      const derivations = gateway.counters.derivations;
      assert.equal(await knock(gateway, `v1.m.${"S".repeat(40)}`, randomKey()), WRONG_KEY);
      assert.equal(gateway.counters.derivations - derivations, 2);
    } finally {
      await gateway.close();
    }
  });
}

test("R11 the master in a token: its devices are let in; a token that is gone refuses all alike, and the gateway says so and lives", {
  skip: skipWithoutToken(),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-"));
  await makeTokens(folder, { gateway: "73519-pin" });
  const uri = parseTokenUri(tokenUri("gateway", "psk"));
  const pin = Buffer.from("73519-pin");
  (await createTokenKey(uri, pin, "psk", "kdf", master)).key.close();
  writeFileSync(join(folder, "pin"), pin, { mode: 0o600 });
  const secrets = new Secrets({ "passphrase-file": [join(folder, "pin")] }, ["master"]);
  const inToken = await openMaster(tokenUri("gateway", "psk"), { purpose: "psk", secrets, name: "master" });
  const events: GatewayEvent[] = [];
  const gateway = await startGateway({ master: inToken, onEvent: (event) => events.push(event) });
  try {
    const key = keyOf("v1.meter.SN1");
    assert.equal(await knock(gateway, "v1.meter.SN1", key), "in");
    assert.equal(await knock(gateway, "v1.meter.SN1", randomKey()), WRONG_KEY);
    inToken.close();
    for (const identity of ["v1.meter.SN1", "v9.meter.SN1", "nonsense"])
      assert.equal(await knock(gateway, identity, key), WRONG_KEY);
    const faults = events.filter(({ kind }) => kind === "fault");
    assert.equal(faults.length, 3);
    assert.match(JSON.stringify(faults[0]), /the token .*gateway.* cannot be used: its session has ended/);
  } finally {
    rmSync(folder, { recursive: true });
    await gateway.close();
  }
});

test("an operator on this machine sees all devices and commands them, in plain MQTT", {
  skip: skipWithout("mosquitto_pub", "mosquitto_sub"),
}, async (t) => {
  const gateway = await startGateway({ master: masterFromBytes(master), operatorPort: 0 });
  t.after(() => gateway.close());
  const identity = "v1.meter.SN40";
  const device = await mqttClient(gateway, identity, keyOf(identity));
  device.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "meter/SN40/down/#", qos: 0 }] });
  await device.next();
  const local = ["-h", "127.0.0.1", "-p", `${gateway.operatorPort}`];
  const listening = run("mosquitto_sub", [...local, "-t", "meter/+/up/#", "-C", "1", "-W", "5"]);
  await run("mosquitto_pub", [...local, "-t", "meter/SN40/down/led", "-m", "on"]);
  const command = await device.next();
  assert.equal(command.cmd === "publish" && command.payload.toString(), "on");
  device.send({
    cmd: "publish",
    topic: "meter/SN40/up/led",
    payload: "on",
    qos: 0,
    dup: false,
    retain: true, // mosquitto_sub may come later than this
  });
  assert.equal((await listening).output, "on\n");
});

test("a port that is taken is a sentence", async () => {
  const gateway = await startGateway({ master: masterFromBytes(master) });
  await assert.rejects(
    startGateway({ master: masterFromBytes(master), port: gateway.port }),
    (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /another program listens there/);
      return true;
    },
  );
  await gateway.close();
});
