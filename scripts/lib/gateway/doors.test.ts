// One suite for every front door of the fleet: the gateway with its broker inside, the gateway before brokers of others, and
// Mosquitto with the plugin. What a device and an attacker meet is the same, whichever the operator has chosen.
// Rows 2, 3, 4, 11, 12, 25 and 37. Where a door may do the same thing in two ways that MQTT allows, the test says so.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { leafOf, treeRoot } from "../keys/epoch_tree";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { DOORS, type Door } from "../test/doors";
import {
  knock,
  type MqttClient,
  mqttClient,
  mqttOver,
  operatorClient,
  rawKnock,
  sClient,
  secure,
  WRONG_KEY,
  WRONG_KEY_ALERT,
} from "../test/psk_client";

const master = randomKey();
const LIST = "key-version 7\nv7.meter.SN666\n";
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));

for (const [name, row] of Object.entries(DOORS)) {
  describe(name, { skip: row.skip }, () => {
    let door: Door;
    let operator: MqttClient;
    before(async () => {
      door = await row.start(master, LIST);
      operator = await operatorClient(door.operatorPort);
      await operator.subscribe("meter/#", "fw/#", "valve/#");
    });
    after(async () => {
      operator?.end();
      await door?.stop();
    });
    const device = (identity: string, connect: object = {}) =>
      mqttClient(door, identity, keyOf(identity), connect);

    test("key versions n and n-1 are let in, n+1 and n-2 look unknown", async () => {
      for (const [identity, expected] of [
        ["v7.meter.SN2", "in"],
        ["v6.meter.SN2", "in"],
        ["v8.meter.SN2", WRONG_KEY],
        ["v5.meter.SN2", WRONG_KEY],
      ])
        assert.equal(await knock(door, identity, keyOf(identity)), expected, identity);
    });

    test("R3 one device's key opens no other device's door", async () => {
      assert.equal(await knock(door, "v7.meter.SN3", keyOf("v7.meter.SN4")), WRONG_KEY);
      assert.equal(await knock(door, "v7.valve.SN3", keyOf("v7.meter.SN3")), WRONG_KEY);
    });

    test("R4 the key of TLS 1.2 opens nothing under 1.3: protocol_version, or as any false key there", async () => {
      const identity = "v7.meter.SN1";
      const { output } = await sClient(door, identity, keyOf(identity), ["-tls1_3"]);
      // illegal_parameter is what OpenSSL makes of a binder that is not right
      assert.match(output, /alert number (70|47)/);
    });

    test("R11 R12 unknown, revoked, malformed and longest: the same seven bytes for a wrong key", async () => {
      const identities: Record<string, Buffer> = {
        "well formed": Buffer.from("v7.meter.SN9"),
        revoked: Buffer.from("v7.meter.SN666"),
        "another version": Buffer.from("v9.meter.SN1"),
        "a good one, a NUL and more": Buffer.from("v7.meter.SN1\0x"),
        colon: Buffer.from("v7.meter:SN1"),
        slash: Buffer.from("v7.meter.SN/1"),
        "no serial": Buffer.from("v7.meter."),
        "a version of zero": Buffer.from("v07.meter.SN1"),
        "a product with a hyphen": Buffer.from("v7.meter-a.1"),
        "UTF-8": Buffer.from("v7.mètre.SN1"),
        empty: Buffer.alloc(0),
        "64 bytes": Buffer.from(`v7.m.${"S".repeat(59)}`),
        "65 bytes": Buffer.from(`v7.m.${"S".repeat(60)}`),
        "128 bytes": Buffer.alloc(128, 0x41),
      };
      for (const [what, identity] of Object.entries(identities))
        assert.equal((await rawKnock(door, identity)).toString("hex"), WRONG_KEY_ALERT, what);
      assert.equal(await knock(door, "v7.meter.SN666", keyOf("v7.meter.SN666")), WRONG_KEY);
    });

    test("R12 the longest identity, 64 bytes, is let in", async () => {
      const longest = `v7.m.${"S".repeat(59)}`;
      assert.equal(await knock(door, longest, keyOf(longest)), "in");
    });

    test("R38 an identity with an epoch has the key of its leaf, and stays one device on the list, in topics and name", async () => {
      const epochKey = (identity: string, epoch: number) => leafOf(treeRoot(master, identity), epoch);
      const identity = "v7.meter.SN70";
      for (const epoch of [0, 0x2f0, 0xffffff, 0x2f0]) {
        const shown = `${identity}.e${epoch.toString(16)}`;
        // one that it has seen it takes again: it keeps nothing of epochs
        assert.equal(await knock(door, shown, epochKey(identity, epoch)), "in", shown);
        assert.equal(await knock(door, shown, epochKey(identity, epoch ^ 1)), WRONG_KEY, shown);
        assert.equal(await knock(door, shown, keyOf(identity)), WRONG_KEY, "the key without an epoch");
      }
      const connect = { clientId: "meter-SN70" };
      const first = await mqttClient(door, `${identity}.e7`, epochKey(identity, 7), connect);
      await first.publish("meter/SN70/up/x", "1", { qos: 1 });
      assert.equal(await operator.heard(), "meter/SN70/up/x 1");
      // two devices of one identity: the later one ends the earlier one, whichever has the higher epoch
      const second = await mqttClient(door, `${identity}.e3`, epochKey(identity, 3), connect);
      await first.ended;
      await door.setList(`${LIST}${identity}\n`);
      await second.ended;
      assert.equal(await knock(door, `${identity}.e8`, epochKey(identity, 8)), WRONG_KEY, "denied");
      await door.setList(LIST);
      for (const malformed of ["e", "e08", "e1000000", "E8", "8", "e8.e8"])
        assert.equal(
          (await rawKnock(door, Buffer.from(`${identity}.${malformed}`))).toString("hex"),
          WRONG_KEY_ALERT,
          malformed,
        );
    });

    test("R2 no two identities make one client id: a product with a hyphen has no key here", async () => {
      const collided = { ...parseIdentity("v7.meter.a-1"), text: "v7.meter-a.1" };
      assert.equal(await knock(door, collided.text, deriveDeviceKey(master, collided)), WRONG_KEY);
      (await device("v7.meter.a-1")).end();
    });

    test("R2 one key, one client: its name is its identity's, and a second connection ends the first", async () => {
      for (const clientId of ["meter-SN21", "meter-SN2", "v7.meter.SN20", "meter-SN20x", "x"])
        await assert.rejects(device("v7.meter.SN20", { clientId }), /return code|closed/, clientId);
      const first = await device("v7.meter.SN20");
      const second = await device("v6.meter.SN20"); // the same device under its key before
      await first.ended;
      second.send({ cmd: "pingreq" });
      assert.equal((await second.next()).cmd, "pingresp");
      second.end();
    });

    test("a session that outlives it, no keep-alive and one of more than 20 minutes are refused", async () => {
      for (const connect of [{ clean: false }, { keepalive: 0 }, { keepalive: 1201 }])
        await assert.rejects(
          device("v7.meter.SN22", connect),
          /return code [25]|closed/,
          JSON.stringify(connect),
        );
      const good = await device("v7.meter.SN22", { keepalive: 1200 });
      good.end();
    });

    test("its own topics, both ways, and the images of its product", async () => {
      const client = await device("v7.meter.SN1");
      assert.deepEqual(await client.subscribe("meter/SN1/down/#"), [1]);
      assert.deepEqual(await client.subscribe("fw/meter/0a1b/1"), [1]);
      await client.publish("meter/SN1/up/status", "22.5", { qos: 1 });
      assert.equal(await operator.heard(), "meter/SN1/up/status 22.5");
      await operator.publish("meter/SN1/down/valve", "open", { qos: 1 });
      assert.equal(await client.heard(), "meter/SN1/down/valve open");
      await operator.publish("fw/meter/0a1b/1", "piece", { qos: 1 });
      assert.equal(await client.heard(), "fw/meter/0a1b/1 piece");
      assert.equal(await operator.heard(), "meter/SN1/down/valve open");
      assert.equal(await operator.heard(), "fw/meter/0a1b/1 piece");
      client.end();
    });

    test("no filter that is another's: each is refused, the connection lives", async () => {
      const client = await device("v7.meter.SN1");
      const FOREIGN = [
        "#",
        "+/+/up/#",
        "meter/SN2/down/#",
        "meter/#",
        "meter/SN1",
        "meter/+/down/x",
        "$SYS/#",
      ];
      for (const filter of [...FOREIGN, "fw/valve/#", "fw/#", "meter/SN11/x", "$share/g/meter/SN2/up"])
        assert.deepEqual(await client.subscribe(filter), [128], filter);
      client.send({ cmd: "pingreq" });
      assert.equal((await client.next()).cmd, "pingresp");
      client.end();
    });

    test("nothing on a topic that is another's, nor its own manifest: not delivered, whether it is cut off or not", async () => {
      const FOREIGN = [
        "meter/SN2/up/x",
        "meter/SN2/down/valve",
        "meter/SN1/ota",
        "fw/meter/0a1b/0",
        "meter/SN11/up/x",
      ];
      for (const topic of [...FOREIGN, "meter/SN1/", "valve/SN1/up/x"]) {
        const client = await device("v7.meter.SN1");
        client.send({ cmd: "publish", topic, payload: "x", qos: 0, dup: false, retain: true });
        const other = await device("v7.meter.SN31");
        await other.publish("meter/SN31/up/marker", topic, { qos: 1 });
        assert.equal(await operator.heard(), `meter/SN31/up/marker ${topic}`);
        client.socket.destroy();
        other.end();
      }
    });

    test("its will is its own, or there is none", async () => {
      const will = (topic: string) => ({ will: { topic, payload: Buffer.from("0"), qos: 0, retain: false } });
      await device("v7.meter.SN1", will("meter/SN2/state")).then(
        ({ socket }) => socket.destroy(),
        (error: Error) => assert.match(error.message, /return code 5/), // refused at once, or not published
      );
      const good = await device("v7.meter.SN1", will("meter/SN1/state"));
      good.socket.destroy();
      assert.equal(await operator.heard(), "meter/SN1/state 0");
    });

    test("what it retains is there for who comes later", async () => {
      const client = await device("v7.meter.SN40");
      await client.publish("meter/SN40/state", "on", { qos: 1, retain: true });
      assert.equal(await operator.heard(), "meter/SN40/state on");
      const later = await operatorClient(door.operatorPort, "later");
      await later.subscribe("meter/SN40/state");
      assert.equal(await later.heard(), "meter/SN40/state on");
      later.end();
      client.end();
    });

    test("a packet over the limit, and bytes that are no MQTT, end the connection", async () => {
      for (const bytes of ["30ffffff7f", "f000", "0000", "30ffffffffff"]) {
        const client = await device("v7.meter.SN1");
        client.socket.write(Buffer.from(bytes, "hex"));
        await client.ended;
      }
      assert.equal(await knock(door, "v7.meter.SN1", keyOf("v7.meter.SN1")), "in");
    });

    test("R37 who is denied is out at once: before TLS, between TLS and CONNECT, connected; and in again when the list lets it", async () => {
      const [denied, other] = ["v7.meter.SN50", "v7.meter.SN51"];
      const connected = await device(denied);
      const untouched = await device(other);
      const waiting = await secure(door, denied, keyOf(denied));
      await door.setList(`${LIST}${denied}\n`);
      await connected.ended;
      await assert.rejects(mqttOver(waiting, { clientId: "meter-SN50" }), /return code 5|closed/);
      assert.equal(await knock(door, denied, keyOf(denied)), WRONG_KEY);
      untouched.send({ cmd: "pingreq" });
      assert.equal((await untouched.next()).cmd, "pingresp");
      await door.setList(LIST);
      (await device(denied)).end();
      untouched.end();
    });

    test("R37 the key version goes both ways: who is too old is out at once", async () => {
      const old = await device("v6.meter.SN52");
      await door.setList("key-version 8\n");
      await old.ended;
      assert.equal(await knock(door, "v8.meter.SN52", keyOf("v8.meter.SN52")), "in");
      const ahead = await device("v8.meter.SN52");
      await door.setList(LIST);
      await ahead.ended;
      assert.equal(await knock(door, "v6.meter.SN52", keyOf("v6.meter.SN52")), "in");
    });

    test("a list with a bad line changes nothing", async () => {
      const client = await device("v7.meter.SN53");
      await door.setList(`${LIST}v7.meter.SN53\nwho?\n`).catch((error: Error) => {
        assert.match(error.message, /line 4: the identity "who\?" is not v<key version>/);
      });
      client.send({ cmd: "pingreq" });
      assert.equal((await client.next()).cmd, "pingresp");
      client.end();
    });

    test("an operator on the list may do all, with a key derived like a device's", async () => {
      await door.setList(`${LIST}operator v7.operator.alice\n`);
      const alice = await device("v7.operator.alice");
      assert.deepEqual(await alice.subscribe("meter/+/up/#"), [1]);
      const client = await device("v7.meter.SN60");
      await client.publish("meter/SN60/up/x", "1", { qos: 1 });
      assert.equal(await alice.heard(), "meter/SN60/up/x 1");
      assert.equal(await operator.heard(), "meter/SN60/up/x 1");
      await door.setList(LIST);
      await client.publish("meter/SN60/up/x", "2", { qos: 1 });
      assert.equal(await operator.heard(), "meter/SN60/up/x 2");
      alice.end();
      client.end();
    });

    test("R25 nothing that it says shows a key", () => {
      const shown = door.output().toLowerCase();
      assert.ok(shown.length > 0);
      for (const secret of [master, keyOf("v7.meter.SN1"), keyOf("v7.meter.SN50")])
        assert.ok(!shown.includes(secret.toString("hex")));
    });
  });
}
