// Discovery for Home Assistant: messages are held to its schema, lie at a real Mosquitto, and are taken back; and
// a product's code is not run for them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { ProductValues } from "../firmware/product/values";
import { UsageError } from "./lib/cli/exit";
import { discoveryMessage, discoveryTopic, readValues } from "./lib/discovery/discovery";
import { discoveryFault } from "./lib/discovery/schema";
import { randomKey } from "./lib/keys/weak_keys";
import { Broker } from "./lib/ota/broker";
import { PROJECT } from "./lib/project";
import { skipWithout } from "./lib/test/peers/install";
import { start as startMosquitto } from "./lib/test/peers/mosquitto";
import { nodeArguments } from "./lib/test/program";
import { retainedUnder } from "./lib/test/retained";

const folder = mkdtempSync(join(tmpdir(), "discovery-"));
const at = (name: string) => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

const VALUES: ProductValues = {
  temperature: {
    kind: "sensor",
    name: "Temperature",
    topic: "climate",
    member: "t",
    class: "temperature",
    unit: "°C",
  },
  water: {
    kind: "sensor",
    name: "Water",
    topic: "water",
    class: "water",
    unit: "L",
    runs: "total_increasing",
  },
  valve: {
    kind: "valve",
    name: "Valve",
    topic: "valve",
    command: "valve",
    class: "water",
    on: "open",
    off: "closed",
  },
  minutes: { kind: "number", name: "Open for", command: "minutes", min: 1, max: 60, unit: "min" },
  blink: { kind: "button", name: "Blink", command: "blink", on: "1" },
  leak: { kind: "binary_sensor", name: "Leak", topic: "leak", class: "moisture", on: "1", off: "0" },
  pump: { kind: "switch", name: "Pump", topic: "pump", command: "pump", on: "1", off: "0" },
};

/** A product's file, with code that no host can run. */
function product(name: string, values: string): string {
  const path = at(`${name}.ts`);
  writeFileSync(
    path,
    `import { board } from "board";\nimport pins from "hal:pins";\n${values}\n` +
      "export function start(): void {\n  digitalWrite(board.pin, 1);\n  pins();\n}\n",
  );
  return path;
}

describe("messages", () => {
  test("Home Assistant takes a message of every kind of value, with availability on `state`", () => {
    const message = discoveryMessage("climate", "SN1", VALUES);
    assert.equal(discoveryFault(message), undefined);
    assert.deepEqual(message.availability_topic, "climate/SN1/state");
    assert.deepEqual([message.payload_available, message.payload_not_available], ["1", "0"]);
    const components = message.components as Record<string, object>;
    assert.deepEqual(components.temperature, {
      ...{ platform: "sensor", name: "Temperature", unique_id: "climate-SN1_temperature" },
      ...{ device_class: "temperature", unit_of_measurement: "°C", state_class: "measurement" },
      ...{ state_topic: "climate/SN1/up/climate", value_template: "{{ value_json.t }}" },
    });
    assert.deepEqual(components.valve, {
      ...{ platform: "valve", name: "Valve", unique_id: "climate-SN1_valve", device_class: "water" },
      ...{ state_topic: "climate/SN1/up/valve", command_topic: "climate/SN1/down/valve" },
      ...{ payload_open: "open", payload_close: "closed", state_open: "open", state_closed: "closed" },
    });
    assert.deepEqual(Object.keys(components), ["error", "sequence", ...Object.keys(VALUES)]);
  });

  test("what Home Assistant would pass over or refuse is a fault", () => {
    const { temperature, valve } = VALUES;
    for (const [value, fault] of [
      [{ ...temperature, unit: "L" }, /class temperature has the unit L, and may have °C/],
      [{ ...temperature, class: "heat" }, /has a device_class of "heat"/],
      [{ ...temperature, topic: undefined }, /has no state_topic/],
      [{ ...temperature, topic: "a/+" }, /has a state_topic of/],
      [{ ...temperature, command: "set" }, /may have no command_topic/],
      [{ ...valve, command: undefined }, /has no command_topic/],
      [{ ...valve, kind: "lamp" }, /is no sensor, binary_sensor/],
      [{ ...valve, name: undefined }, /has no name/],
    ] as [object, RegExp][])
      assert.match(discoveryFault(discoveryMessage("p", "s", { value } as never)) ?? "none", fault);
  });

  test("a topic holds letters, digits, - and _ only, and no two devices share one", () => {
    const devices = ["p A.1", "p A_2e_1", "p A:1", "p A-1", "p-A 1"].map((device) => device.split(" "));
    const topics = devices.map(([product, serial]) => discoveryTopic("homeassistant", product, serial));
    for (const topic of topics) assert.match(topic, /^homeassistant\/device\/[\w-]+\/config$/);
    assert.equal(new Set(topics).size, devices.length);
  });
});

describe("a product's file", () => {
  test("its table is read, its code is not run", async () => {
    const path = product("climate", `export const values = ${JSON.stringify(VALUES)};`);
    assert.deepEqual(await readValues(path), VALUES);
  });

  test("one without a table, or with one that nobody takes: a sentence", async () => {
    for (const [text, sentence] of [
      ["", /no table of its values/],
      ["export const values = 5;", /no table of its values/],
      ["export const values = {", /no table of its values/],
      ['export const values = { "a b": {} };', /is not named by letters/],
      ['export const values = { a: { kind: "lamp", name: "x" } };', /a is no sensor/],
    ] as const)
      await assert.rejects(
        readValues(product("bad", text)),
        (error) => error instanceof UsageError && sentence.test(error.message),
        text,
      );
    await assert.rejects(readValues(at("nowhere.ts")), /there is no product/);
  });
});

describe("at Mosquitto", { skip: skipWithout("mosquitto") }, () => {
  function run(...args: string[]): Promise<{ code: number | null; output: string; error: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, nodeArguments("scripts/discovery.ts", ...args), { cwd: PROJECT });
      let output = "";
      let error = "";
      child.stdout.on("data", (chunk) => (output += chunk));
      child.stderr.on("data", (chunk) => (error += chunk));
      child.on("close", (code) => resolve({ code, output, error }));
    });
  }

  test("published, again, and taken back; what is of others stays", async (t) => {
    const operator = { identity: "operator", key: randomKey() };
    writeFileSync(at("key"), operator.key, { mode: 0o600 });
    const peer = await startMosquitto(operator);
    const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: operator });
    t.after(async () => {
      await broker.close();
      await peer.stop();
    });
    const foreign = {
      topic: "homeassistant/device/climate-SN3/config",
      payload: Buffer.from('{"origin":{"name":"x"}}'),
    };
    const path = product("climate", `export const values = ${JSON.stringify(VALUES)};`);
    const args = [
      ...["--product", "climate", "--module", path, "--serials", "SN1..SN3", "--json"],
      ...["--broker", `127.0.0.1:${peer.port}`, "--psk-identity", "operator", "--psk-file", at("key")],
    ];
    const first = await run(...args);
    assert.equal(first.output, '{"written":3,"found":0}\n', first.error);
    assert.equal((await run(...args)).output, '{"written":0,"found":3}\n');
    const found = await retainedUnder(broker, "homeassistant/#");
    for (const serial of ["SN1", "SN2", "SN3"])
      assert.deepEqual(
        JSON.parse(String(found.get(`homeassistant/device/climate-${serial}/config`))),
        discoveryMessage("climate", serial, VALUES),
      );
    await broker.publish([foreign]);
    assert.equal((await run(...args, "--remove")).output, '{"removed":2}\n');
    assert.deepEqual([...(await retainedUnder(broker, "homeassistant/#")).keys()], [foreign.topic]);
  });

  test("bad input: a sentence, exit 2", async () => {
    const { code, error } = await run(
      "--product",
      "climate",
      "--module",
      at("nowhere.ts"),
      "--serials",
      "SN1",
    );
    assert.deepEqual([code, /there is no product/.test(error)], [2, true], error);
  });
});
