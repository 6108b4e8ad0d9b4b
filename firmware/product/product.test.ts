/*
 * The product in the firmware: what its members are called for, what comes of their answers, and that an exception in one has a
 * code of its own and ends nothing.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { readBoard } from "../../scripts/lib/project";
import { TestBroker } from "../../scripts/lib/test/broker";
import { IDENTITY, KEY, type TestDevice } from "../../scripts/lib/test/device";
import { askObject, bootLocked, newKeys, settled, unlock } from "../../scripts/lib/test/factory";
import { makeMachine, readState, setState } from "../../scripts/lib/test/slots";
import {
  NOT_CONFIRMED,
  PRODUCT_CALLBACK,
  PRODUCT_COMMAND,
  PRODUCT_ONLINE,
  PRODUCT_START,
  PRODUCT_STOP,
  PRODUCT_TIMES,
  PRODUCT_WELL,
  VALUE_REFUSED,
} from "../tls/alert";

const APP = "scripts/lib/test/apps/update_app.ts";
const folder = mkdtempSync(join(tmpdir(), "product-"));
let files = 0;
const machines: Machine[] = [];
after(() => {
  rmSync(folder, { recursive: true });
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

/** Start a product of the tests' own on a board without a network: what it prints, and the words of what it throws. */
async function bootAlone(product: string) {
  const { code } = await buildBundle({ board: "esp32-sim", product });
  const lines: string[] = [];
  const words: string[] = [];
  const machine = new Machine({
    board: (await readBoard("esp32-sim")) as never,
    bundle: code,
    files: {
      conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: 1, ssid: "test", pass: "test" }),
      key: KEY.toString("latin1"),
    },
    onPrint: (line) => void lines.push(line),
    onThrow: (error) => void words.push(String((error as Error).message)),
  });
  machines.push(machine);
  machine.boot();
  return { machine, lines, words };
}

test("an exception in `start` is told, and the device goes on", async () => {
  const { machine, lines } = await bootAlone("scripts/lib/test/products/throwing.ts");
  assert.deepEqual(lines, [`E${PRODUCT_START}`]);
  assert.ok(machine.isOn);
});

test("what a watch or a timer of the product throws has a code, is told once, and the device goes on", async () => {
  const { machine, lines, words } = await bootAlone("scripts/lib/test/products/callbacks.ts");
  machine.clock.hold();
  await machine.clock.later(1000);
  for (let edges = 0; edges < 2; edges++)
    for (const level of [0, 1] as const) {
      machine.pins.set("D5", level);
      await new Promise(setImmediate);
    }
  assert.deepEqual(
    lines.filter((line) => !/^E6$/.test(line)),
    [`E${PRODUCT_CALLBACK}`],
  );
  assert.deepEqual(
    words.filter((word) => /timer|watch/.test(word)),
    ["timer", "watch", "watch"],
  );
  assert.ok(machine.isOn);
});

/** A device that has the main bundle with each of these products in its slots, and what it prints. */
async function withProducts(first: string, second: string, state = {}) {
  const images = await Promise.all(
    [first, second].map(async (product, i) => ({
      code: (await buildBundle({ board: "esp32-sim", product })).code,
      sequence: 5 + i,
    })),
  );
  const keys = newKeys();
  const device = await bootLocked(
    "esp32-sim",
    keys,
    {
      ".slots": (await makeMachine("esp32-sim", { images: [images[0], images[1]], keys })).files[".slots"],
    },
    {
      prepare: (machine) => {
        if (!readState(machine, keys)) setState(machine, keys, { floor: 4, ...state });
      },
    },
  );
  machines.push(device.machine);
  const names = async (product: string) =>
    device.machine.names((await buildBundle({ board: "esp32-sim", product })).names);
  await names(first);
  return { device, keys, machine: device.machine, names };
}

/** The codes that the log has, the newest first. */
async function logged(device: TestDevice): Promise<number[]> {
  device.lines = [];
  device.machine.type("\nlog\n");
  await settled();
  return device.lines.flatMap((line) => /\berr"?:(\d+)/.exec(line)?.[1] ?? []).map(Number);
}

const PRODUCTS = "scripts/lib/test/products";

test("three starts that throw on an image that is not confirmed: the old one is back, and the log has why", async () => {
  const { device, keys, machine } = await withProducts(
    "firmware/product/echo.ts",
    `${PRODUCTS}/throwing.ts`,
    { active: 1, attempts: 1 },
  );
  // each start ends in the next one
  for (let turns = 0; machine.run("slot") !== 0 && turns < 100; turns++) await settled();
  const { active, attempts, reason } = readState(machine, keys) ?? {};
  assert.deepEqual({ active, attempts, reason }, { active: 0, attempts: 0, reason: NOT_CONFIRMED });
  assert.equal(machine.run("slot"), 0);
  const codes = await logged(device);
  assert.equal(codes.filter((code) => code === PRODUCT_START).length, 3, `${codes}`);
});

test("a confirmed image whose `start` throws goes on", async () => {
  const { device, machine } = await withProducts(`${PRODUCTS}/throwing.ts`, "firmware/product/echo.ts");
  await settled();
  assert.equal(machine.run("slot"), 0);
  assert.ok((await logged(device)).includes(PRODUCT_START));
});

test("its own times come without a session, and what they and `stop` throw has a code", async () => {
  const { device, keys, machine } = await withProducts(`${PRODUCTS}/throwing.ts`, "firmware/product/echo.ts");
  await machine.later(61_000);
  assert.ok((await logged(device)).includes(PRODUCT_TIMES));
  await unlock(device, keys.console);
  machine.type("reboot\n");
  await settled();
  assert.ok((await logged(device)).includes(PRODUCT_STOP));
});

test("settings: there with their defaults, within their limits, kept by name while another image runs that does not know them", async () => {
  const { device, keys, machine, names } = await withProducts(
    "firmware/product/valve.ts",
    "firmware/product/echo.ts",
  );
  const own = async () => {
    const { openS, lostS } = await askObject(device, "conf");
    return { openS, lostS };
  };
  assert.deepEqual(await own(), { openS: 600, lostS: 120 });
  const { err } = await askObject(device, "conf set openS 5");
  assert.notEqual(err, 0, "locked");
  await unlock(device, keys.console);
  for (const [name, value, code] of [
    ["openS", "5", 0],
    ["lostS", "0", 0],
    ["openS", "0", VALUE_REFUSED],
    ["openS", "86401", VALUE_REFUSED],
    ["openS", "ten", VALUE_REFUSED],
    ["openS", "07", VALUE_REFUSED],
    ["closeS", "5", VALUE_REFUSED],
    ["toString", "5", VALUE_REFUSED],
    ["port", "2", 0],
  ])
    assert.equal((await askObject(device, `conf set ${name} ${value}`)).err, code, `${name} ${value}`);
  assert.deepEqual(await own(), { openS: 5, lostS: 0 });
  assert.equal((await askObject(device, "conf")).port, 2);
  const restart = async (active: number, number: number) => {
    await names(active ? "firmware/product/echo.ts" : "firmware/product/valve.ts");
    machine.powerOff();
    setState(machine, keys, { active, number, floor: 4 });
    machine.boot();
    await settled();
  };
  // the other image does not show them, and changes its own
  await restart(1, 40);
  assert.deepEqual(await own(), { openS: undefined, lostS: undefined });
  await unlock(device, keys.console);
  assert.equal((await askObject(device, "conf set openS 7")).err, VALUE_REFUSED);
  assert.equal((await askObject(device, "conf set port 3")).err, 0);
  await restart(0, 41);
  assert.deepEqual(await own(), { openS: 5, lostS: 0 });
  assert.equal((await askObject(device, "conf")).port, 3);
});

test("R23 the store keeps its numbers over power cuts at every byte, and over a turn of the journal", async () => {
  const { keys, machine } = await withProducts(`${PRODUCTS}/storing.ts`, "firmware/product/echo.ts");
  const write = (value: number) => machine.run(`keeping.store(2,${value});keeping.keep(true)`);
  const read = () => machine.run("keeping.stored(2)");
  assert.equal(read(), 0);
  for (const value of [1, 99_999_999_999, 0.25, -3.5, 12]) {
    write(value);
    machine.powerOff();
    machine.boot();
    assert.equal(read(), value);
  }
  // a half of the journal is 128 places: all of it is written anew twice
  machine.run("keeping.store(0,7);keeping.keep(true)");
  for (let value = 100; value < 400; value++) write(value);
  machine.powerOff();
  machine.boot();
  assert.deepEqual([read(), machine.run("keeping.stored(0)")], [399, 7]);
  const before = Buffer.from(machine.flash.bytes);
  machine.cutPower(undefined);
  write(400);
  const operations = [...machine.flash.operations];
  machine.cutPower(undefined);
  assert.ok(operations.length > 0);
  let old = 0;
  for (const [operation, { length }] of operations.entries())
    for (let at = 0; at < length; at++) {
      machine.powerOff();
      machine.flash.load(before);
      machine.boot();
      machine.cutPower({ operation, byte: at });
      assert.throws(() => write(400), /the power is cut/);
      machine.cutPower(undefined);
      machine.boot();
      assert.ok([399, 400].includes(read() as number), `byte ${at}: ${read()}`);
      old += Number(read() === 399);
      assert.equal(machine.run("keeping.stored(0)"), 7);
    }
  assert.ok(old > 0);
  assert.ok(keys);
});

test("R33 what a product stores as often as it likes is written once in five minutes", async () => {
  const { machine } = await withProducts(`${PRODUCTS}/storing.ts`, "firmware/product/echo.ts");
  machine.clock.hold();
  machine.cutPower(undefined);
  let value = 0;
  const writesIn = async (seconds: number) => {
    const before = machine.flash.operations.length;
    for (let second = 0; second < seconds; second += 30) {
      machine.run(`keeping.store(1,${++value})`);
      await machine.later(30_000);
    }
    return machine.flash.operations.length - before;
  };
  await writesIn(6 * 3600);
  const writes = await writesIn(6 * 3600);
  // and its own events: one an hour
  assert.ok(writes >= 6 * 12 && writes <= 6 * 12 + 12, `${writes}`);
});

for (const [what, state, step] of [
  ["an alias of it", "const state = { n: 0 };", "const s = state; s.n++; return s.n;"],
  [
    "handed to a function",
    "const state = { n: 0 };\nfunction inc(s: any) { return ++s.n; }",
    "return inc(state);",
  ],
  [
    "a list that is gone through",
    "const list = [{ n: 0 }];",
    "for (const one of list) one.n++; return list[0].n;",
  ],
  ["what was made at the start", "const made = [getTime(), 0];", "const m = made; m[1]++; return m[1];"],
  ["a function that remembers", "const next = (() => { let n = 0; return () => ++n; })();", "return next();"],
  ["in a short property", "const state = { n: 0 };", "const s = { state }; return ++s.state.n;"],
] as const)
  test(`what a product keeps lasts between its events, for one member and for several: ${what}`, async () => {
    for (const others of ["", "export function telemetry() { return ',\"n\":' + bump(); }"]) {
      const product = join(folder, `kept${files++}.ts`);
      const member = 'export function command() { return "n" + bump(); }';
      writeFileSync(product, `${state}\nfunction bump(): number { ${step} }\n${member}\n${others}\n`);
      const broker = await device(product);
      const [first] = await command(broker, "x", "");
      const n = Number(first.replace("sensor/0001/up/x n", ""));
      assert.deepEqual(await command(broker, "x", ""), [`sensor/0001/up/x n${n + 1}`]);
      assert.deepEqual(await command(broker, "x", ""), [`sensor/0001/up/x n${n + 2}`]);
    }
  });
