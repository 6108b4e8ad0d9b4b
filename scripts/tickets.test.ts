// `npm run tickets` as a program: two simulated devices at a Mosquitto that has keys of a table, one commands the other, also beside a flood and when the
// broker was away; the lists read again; and every wrong option and file: a sentence and 2.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey, kbkdf } from "./lib/keys/kdf";
import { brokerKey, ticketKey } from "./lib/keys/peer_keys";
import { randomKey } from "./lib/keys/weak_keys";
import { Broker } from "./lib/ota/broker";
import { TestDevice } from "./lib/test/device";
import { PRODUCT } from "./lib/test/peer/network";
import { skipWithout } from "./lib/test/peers/install";
import * as mosquitto from "./lib/test/peers/mosquitto";
import { freePort, runProgram, waitUntilReady } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";
import { startRelay } from "./lib/test/relay";

const folder = mkdtempSync(join(tmpdir(), "tickets-command-"));
const at = (name: string) => join(folder, name);
const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true });
});

const master = randomKey();
writeFileSync(at("master"), master, { mode: 0o600 });
const us = { identity: "tickets", key: randomKey() };
writeFileSync(at("psk"), us.key, { mode: 0o600 });
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity), "kdf", "peer");

const start = (...args: string[]) =>
  runProgram({ command: process.execPath, args: nodeArguments("scripts/tickets.ts", ...args) });

test("a device's keys for broker and tickets are derived, and none of them is another one", () => {
  const key = keyOf("v1.sensor.A1");
  const all = [key, brokerKey(key), ticketKey(key), deriveDeviceKey(master, parseIdentity("v1.sensor.A1"))];
  assert.equal(new Set(all.map((each) => each.toString("hex"))).size, 4);
  assert.deepEqual(brokerKey(key), kbkdf(key, "psk/tls", ""));
});

test("one device commands the other by the program's tickets; a pair that is taken away gives no other one", {
  skip: skipWithout("mosquitto"),
}, async () => {
  const identities = ["v1.sensor.A1", "v1.sensor.B2"];
  const clients = identities.map((identity) => ({ identity, key: brokerKey(keyOf(identity)) }));
  const broker = await mosquitto.start({ ...us, clients });
  ends.push(() => broker.stop());
  writeFileSync(at("pairs"), "# of the test\nA1 B2\n");
  writeFileSync(at("list"), "v1.sensor.C3\n");
  const relay = await startRelay(broker.port, (_, bytes) => bytes);
  ends.push(() => relay.stop());
  const program = start(
    ...["--master", at("master"), "--broker", `127.0.0.1:${relay.port}`],
    ...["--psk-identity", us.identity, "--psk-file", at("psk"), "--pairs", at("pairs"), "--list", at("list")],
  );
  ends.push(() => program.stop());
  const says = (text: string) =>
    waitUntilReady(program, "the service", () => program.output().includes(text));
  await says("tickets are given at the broker");
  // nobody at all, and at once
  const flood = await Broker.connect({ host: "127.0.0.1", port: broker.port, psk: us });
  ends.push(() => flood.close());
  const message = { topic: "sensor/C3/up/peer/D4", payload: Buffer.from([1]), retain: false };
  await flood.publish(Array.from({ length: 500 }, () => message));
  await says("refused sensor/C3: over 20 messages a second. (");
  const devices: TestDevice[] = [];
  for (const identity of identities) {
    const device = await TestDevice.boot("esp32-sim", {
      ...{ profile: "peer", entry: "firmware/main.ts", product: PRODUCT, identity, port: broker.port },
      key: keyOf(identity),
    });
    ends.push(() => device.powerOff());
    await device.until(() => device.lines.includes("granted"));
    devices.push(device);
  }
  const [a, b] = devices;
  const tell = (device: TestDevice) => device.machine.run("tell") as (...args: string[]) => boolean;
  assert.ok(tell(a)("B2", "valve", "closed"));
  await a.until(() => a.lines.includes("valve=closed"));
  assert.deepEqual(
    b.lines.filter((line) => line.startsWith("obeyed")),
    ["obeyed valve"],
  );
  await says("ticket v1.sensor.A1 commands v1.sensor.B2");
  assert.ok(tell(b)("A1", "valve", "closed"));
  await says("refused sensor/B2: no pair lets v1.sensor.B2 command v1.sensor.A1. (1)");
  writeFileSync(at("pairs"), "nonsense\n");
  program.child.kill("SIGHUP");
  await says("That list stays as it was.");
  writeFileSync(at("pairs"), "* *\n");
  program.child.kill("SIGHUP");
  await says("the lists have been read");
  await b.machine.later(31_000);
  assert.ok(tell(b)("A1", "valve", "open"));
  await b.until(() => b.lines.includes("valve=open"));
  const answered = () => broker.output().split("Sending SUBACK to ota-").length;
  const before = answered();
  relay.cut();
  await says("is away: no ticket is given and nothing is carried until it is back");
  await says(" is back");
  await waitUntilReady(program, "the service", () => answered() > before);
  assert.ok(tell(b)("A1", "valve", "closed"));
  await b.until(() => b.lines.includes("valve=closed"));
});

test("what is wrong is a sentence and 2, and a broker that is not there 1", async () => {
  writeFileSync(at("bad"), "A1 B2 C3\n");
  writeFileSync(at("badlist"), "nobody\n");
  const free = await freePort();
  const given = ["--master", at("master")];
  const rows: [string[], number, RegExp][] = [
    [[], 2, /--master is missing/],
    [["--master", at("none")], 2, /none/],
    [[...given, "--pairs", at("none")], 2, /cannot read the list/],
    [[...given, "--pairs", at("bad")], 2, /"A1 B2 C3" is not two serials/],
    [[...given, "--list", at("badlist")], 2, /line 1/],
    [[...given, "--messages-per-second", "0"], 2, /--messages-per-second/],
    [[...given, "--burst", "many"], 2, /--burst/],
    [[...given, "--broker", "192.0.2.1:1883"], 2, /is not this machine, and plain MQTT/],
    [[...given, "--psk-identity", "x"], 2, /belong together/],
    [[...given, "--broker", `127.0.0.1:${free}`], 1, new RegExp(`the broker 127.0.0.1:${free}`)],
  ];
  for (const [args, code, sentence] of rows) {
    const program = start(...args);
    await program.exited;
    assert.equal(program.child.exitCode, code, `${args}: ${program.output()}`);
    assert.match(program.output(), sentence);
  }
});
