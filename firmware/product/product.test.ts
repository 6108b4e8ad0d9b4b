/*
 * The product in the firmware: what its members are called for, what comes of their answers, and that an exception in one has a
 * code of its own and ends nothing.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { readBoard } from "../../scripts/lib/project";
import { TestBroker } from "../../scripts/lib/test/broker";
import { IDENTITY, KEY } from "../../scripts/lib/test/device";
import { newKeys } from "../../scripts/lib/test/factory";
import { makeMachine } from "../../scripts/lib/test/slots";
import { PRODUCT_COMMAND, PRODUCT_ONLINE, PRODUCT_START, PRODUCT_WELL } from "../tls/alert";

const APP = "scripts/lib/test/apps/update_app.ts";
const machines: Machine[] = [];
after(() => {
  for (const machine of machines) machine.powerOff();
});

/** A device with a product, behind a broker. */
async function device(product?: string): Promise<TestBroker> {
  const { code } = await buildBundle({ board: "esp32-sim", entry: APP, product });
  const machine = await makeMachine("esp32-sim", {
    images: [{ code, sequence: 5 }, undefined],
    keys: newKeys(),
  });
  machines.push(machine);
  const broker = new TestBroker(machine);
  broker.lasts = 0;
  machine.boot();
  await broker.serve();
  return broker;
}

async function command(broker: TestBroker, name: string, payload: string): Promise<string[]> {
  broker.published = [];
  broker.send(`sensor/0001/down/${name}`, Buffer.from(payload));
  await broker.serve();
  return broker.published;
}

test("the default product answers a command with its payload", async () => {
  const broker = await device();
  assert.deepEqual(await command(broker, "x", "hello"), ["sensor/0001/up/x hello"]);
});

test("an answer is published, a code is told, and nothing is nothing; telemetry has the product's members", async () => {
  const broker = await device("scripts/lib/test/products/counting.ts");
  assert.deepEqual(await command(broker, "x", "hello"), ["sensor/0001/up/x x 5"]);
  assert.deepEqual(await command(broker, "refused", ""), ['sensor/0001/up/refused {"err":30}']);
  assert.deepEqual(await command(broker, "silent", ""), []);
  broker.published = [];
  broker.machine.run("device.tick()");
  await broker.serve();
  const [status] = broker.published.flatMap((line) => /up\/status (.*)/.exec(line)?.[1] ?? []);
  const { commands, sessions } = JSON.parse(status);
  assert.deepEqual({ commands, sessions }, { commands: 3, sessions: 1 });
});

test("exceptions have codes of their own, are told, and end neither the session nor the device", async () => {
  const broker = await device("scripts/lib/test/products/throwing.ts");
  const told = async () => {
    broker.published = [];
    broker.machine.run("device.tick()");
    await broker.serve();
    return JSON.parse(/up\/status (.*)/.exec(broker.published.join("\n"))?.[1] ?? "").err;
  };
  assert.equal(await told(), PRODUCT_ONLINE);
  for (let times = 0; times < 3; times++) assert.deepEqual(await command(broker, "x", "hello"), []);
  assert.equal(await told(), PRODUCT_COMMAND);
  // the third tick asks whether it is well, before it makes telemetry
  assert.equal(await told(), PRODUCT_WELL);
  assert.equal(broker.machine.run("device.error()"), 0);
});

test("an exception in `start` is told, and the device goes on", async () => {
  const { code } = await buildBundle({
    board: "esp32-sim",
    product: "scripts/lib/test/products/throwing.ts",
  });
  const lines: string[] = [];
  const machine = new Machine({
    board: (await readBoard("esp32-sim")) as never,
    bundle: code,
    files: {
      conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: 1, ssid: "test", pass: "test" }),
      key: KEY.toString("latin1"),
    },
    onPrint: (line) => void lines.push(line),
  });
  machines.push(machine);
  machine.boot();
  assert.deepEqual(lines, [`E${PRODUCT_START}`]);
  assert.ok(machine.isOn);
});
