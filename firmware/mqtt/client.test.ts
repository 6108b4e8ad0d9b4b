/*
 * The MQTT client against what brokers may and may not send (MQTT 3.1.1, OASIS), without TLS and without time: the
 * application on a simulated board, its bytes read and answered here.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { generate, type Packet, parser } from "mqtt-packet";
import type { Machine } from "../../hal/simulator/machine";
import { bundleOf } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";
import { makeMachine } from "../../scripts/lib/test/slots";
import { MQTT_PROTOCOL, MQTT_REFUSED, MQTT_SILENT } from "../tls/alert";

const CONNACK = "20020000";
let machine: Machine;

before(async () => {
  const { code } = await bundleOf("esp32-sim", "scripts/lib/test/apps/update_app.ts");
  machine = await makeMachine("esp32-sim", { images: [{ code, sequence: 5 }, undefined], keys: newKeys() });
});
after(() => machine.powerOff());

/** A device that has just sent CONNECT. */
async function begin(): Promise<void> {
  machine.boot();
  for (let turns = 0; turns < 6; turns++) await turn();
  machine.run("device.begin()");
  sent();
}

/** Give it bytes, in hex, or a packet. Returns the code that ended the session, or 0. */
function give(what: string | Packet): number {
  const bytes = typeof what === "string" ? Buffer.from(what, "hex") : generate(what);
  machine.run(`device.take(${JSON.stringify(bytes.toString("latin1"))})`);
  return machine.run("device.error()") as number;
}

function sent(): Packet[] {
  const packets: Packet[] = [];
  const reader = parser().on("packet", (packet) => packets.push(packet));
  reader.parse(Buffer.from(machine.run("device.outgoing()") as string, "latin1"));
  return packets;
}

function publish(topic: string, payload = "x", more: object = {}): Packet {
  return { cmd: "publish", topic, payload, qos: 0, dup: false, retain: false, ...more } as Packet;
}

/** What is refused behind a CONNACK: what it is, the bytes. */
const REFUSED: readonly [string, string][] = [
  ["a second CONNACK (3.2)", CONNACK],
  ["a CONNACK with flags (2.2.2)", "21020000"],
  ["a SUBACK with flags (2.2.2)", "9f03020101"],
  ["a PUBACK with flags (2.2.2)", "42020101"],
  ["a PINGRESP with flags (2.2.2)", "d100"],
  ["a PINGRESP with a body", "d00100"],
  ["a SUBACK that grants more than was asked for (3.9.3)", "9003020102"],
  ["a SUBACK with a reserved code (3.9.3)", "9003020103"],
  ["a SUBACK without a code", "90020201"],
  ["a PUBLISH of QoS 3 (3.3.1.2)", "36070001610001616a"],
  ["a PUBLISH of QoS 2, for which nobody asked", "34070001610001616a"],
  ["a PUBLISH of QoS 0 that is sent again (3.3.1.1)", "38040001616a"],
  ["a PUBLISH without a topic (4.7.3)", "3003000061"],
  ["a PUBLISH that is shorter than its topic", "300300ff61"],
  ["a PUBREC, of QoS 2", "50020001"],
  ["a packet for servers", "c000"],
  ["a length of five bytes (2.2.3)", "30ffffffff01"],
];

for (const [what, hex] of REFUSED)
  test(`refused: ${what}`, async () => {
    await begin();
    assert.equal(give(CONNACK), 0);
    assert.equal(give(hex), MQTT_PROTOCOL);
  });

test("before the CONNACK nothing else is taken (3.2)", async () => {
  for (const packet of [publish("sensor/0001/down/x"), "d000", "9003020101", "40020101"]) {
    await begin();
    assert.equal(give(packet), MQTT_PROTOCOL);
    assert.deepEqual(sent(), []);
  }
});

test("a CONNACK that tells of a session (3.2.2.2), or of a reserved code (3.2.2.3), is none", async () => {
  for (const hex of ["20020100", "20020006", "200200ff"]) {
    await begin();
    assert.equal(give(hex), MQTT_PROTOCOL);
  }
  for (let code = 1; code <= 5; code++) {
    await begin();
    assert.equal(give(`200200${code.toString(16).padStart(2, "0")}`), MQTT_REFUSED + code);
  }
});

test("commands are what comes on <product>/<serial>/down/, and nothing else", async () => {
  await begin();
  give(CONNACK);
  sent();
  const others = [
    "id/x",
    "sensor/0001/dangerous",
    "sensor/0001/d",
    "/down/x",
    "sensor/0002/down/x",
    "down/x",
    "a",
  ];
  for (const topic of others) assert.equal(give(publish(topic, "not for us")), 0);
  assert.deepEqual(sent(), []);
  assert.equal(give(publish("sensor/0001/down/x", "for us")), 0);
  const [answer, ...rest] = sent();
  assert.deepEqual(rest, []);
  assert.deepEqual(answer.cmd === "publish" && [answer.topic, answer.payload.toString()], [
    "sensor/0001/up/x",
    "for us",
  ]);
});

test("a message of QoS 1 is acknowledged, one that is too long as well", async () => {
  await begin();
  give(CONNACK);
  sent();
  give(publish("sensor/0001/down/x", "y", { qos: 1, messageId: 770 }));
  give(publish("sensor/0001/down/x", "y".repeat(2000), { qos: 1, messageId: 771 }));
  give(publish("sensor/0001/down/x", "z", { qos: 1, messageId: 772 }));
  const packets = sent();
  assert.deepEqual(
    packets.flatMap((packet) => (packet.cmd === "puback" ? [packet.messageId] : [])),
    [770, 771, 772],
  );
  assert.deepEqual(
    packets.flatMap((packet) => (packet.cmd === "publish" ? [packet.payload.toString()] : [])),
    ["y", "z"],
  );
});

test("what was asked at one tick and has no answer at the next ends the session, what came between does not", async () => {
  await begin();
  give(CONNACK);
  const first = sent();
  assert.deepEqual(
    first.map((packet) => packet.cmd),
    ["publish", "subscribe", "subscribe", "publish"],
  );
  // the first tick may come at once: nothing is overdue yet
  machine.run("device.tick()");
  assert.equal(machine.run("device.error()"), 0);
  for (const packet of [...first, ...sent()]) {
    if (packet.cmd === "publish" && packet.qos) give({ cmd: "puback", messageId: packet.messageId });
    if (packet.cmd === "subscribe") give({ cmd: "suback", messageId: packet.messageId, granted: [1] });
    if (packet.cmd === "pingreq") give({ cmd: "pingresp" });
  }
  machine.run("device.tick()");
  assert.equal(machine.run("device.error()"), 0);
  const again = sent();
  assert.deepEqual(
    again.map((packet) => packet.cmd),
    ["publish", "pingreq"],
  );
  // the ping is answered, the telemetry is not
  give({ cmd: "pingresp" });
  machine.run("device.tick()");
  assert.equal(machine.run("device.error()"), MQTT_SILENT);
});

test("messages that keep coming are a sign of life: a PINGRESP may come behind them", async () => {
  await begin();
  give(CONNACK);
  machine.run("device.tick()");
  for (let ticks = 0; ticks < 3; ticks++) {
    assert.equal(give(publish("sensor/0001/down/x")), 0);
    machine.run("device.tick()");
    assert.equal(machine.run("device.error()"), 0);
  }
  machine.run("device.tick()");
  assert.equal(machine.run("device.error()"), MQTT_SILENT);
});
