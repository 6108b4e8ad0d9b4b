/*
 * The products of this project on a simulated board, the main bundle behind its loader with a broker behind real TLS: what they do to
 * pins, what they publish, what they keep. products.engine.test.ts has the interpreter.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Sht3x } from "../../hal/simulator/sht3x";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { readBoard } from "../../scripts/lib/bundle/build";
import { IDENTITY, type TestDevice } from "../../scripts/lib/test/device";
import { ask, askObject, bootLocked, newKeys, unlock } from "../../scripts/lib/test/factory";
import { MqttServer, message } from "../../scripts/lib/test/mqtt_server";
import { REQUEST_UNKNOWN, VALUE_REFUSED } from "../tls/alert";

const BOARD = "esp32-sim";
const open: { device: TestDevice; server: MqttServer }[] = [];
after(async () => {
  for (const { device, server } of open) {
    device.powerOff();
    await server.stop();
  }
});

/** A device with a product, whose broker has granted its subscriptions. */
async function meet(product: string, prepare?: (device: TestDevice["machine"]) => void) {
  const keys = newKeys();
  const server = await MqttServer.start(undefined, keys.psk);
  const conf = { id: IDENTITY, host: "127.0.0.1", port: server.port, ssid: "test", pass: "test" };
  const device = await bootLocked(
    BOARD,
    keys,
    { conf: settingsFile((await readBoard(BOARD)) as never, conf) },
    { product: `firmware/product/${product}.ts`, prepare },
  );
  open.push({ device, server });
  const { machine } = device;
  const told = (name: string) => server.published(name).map(({ text }) => text);
  /** Wait for what comes, also where the clock is held. */
  const come = async (condition: () => boolean) => {
    for (let turns = 0; !(await server.until(condition, 20)); turns++) {
      assert.ok(turns < 3000, `${condition}`);
      await machine.later(1);
    }
  };
  await server.until(() => told("status").length > 0);
  return {
    ...{ device, machine, server, keys, told, come },
    /** Send a command and wait for what comes on a topic. */
    command: async (name: string, payload: string, answer = name) => {
      const before = told(answer).length;
      server.send(message(`sensor/0001/down/${name}`, payload));
      await come(() => told(answer).length > before);
      return told(answer)[before];
    },
    /** Let time pass second by second, so that the broker keeps up. */
    pass: async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        await machine.later(1000);
        await turn();
      }
    },
    level: (pin: string) => machine.pins.level(pin),
  };
}

describe("valve", { concurrency: true }, () => {
  test("opens for a time, closes by itself, and what it is lies retained at the broker", async () => {
    const { server, told, command, come, pass, level, machine } = await meet("valve");
    await server.until(() => told("valve").length > 0);
    assert.deepEqual([told("valve"), level("D5")], [["closed"], 0]);
    machine.clock.hold();
    assert.equal(await command("valve", "20"), "open");
    assert.equal(level("D5"), 1);
    await pass(15);
    assert.equal(level("D5"), 1);
    await pass(7);
    assert.equal(level("D5"), 0);
    await come(() => told("valve").length === 3);
    assert.deepEqual(told("valve"), ["closed", "open", "closed"]);
    for (const packet of server.of("publish"))
      if (packet.cmd === "publish" && packet.topic.endsWith("/valve"))
        assert.deepEqual([packet.qos, packet.retain], [1, true]);
  });

  test("takes no time beyond its setting, no nonsense, and no other command", async () => {
    const { command, level, server, told } = await meet("valve");
    await server.until(() => told("valve").length > 0);
    for (const payload of ["601", "-1", "soon", ""])
      assert.equal(await command("valve", payload), `{"err":${VALUE_REFUSED}}`, payload);
    assert.equal(await command("tap", "open"), `{"err":${REQUEST_UNKNOWN}}`);
    assert.equal(level("D5"), 0);
    assert.equal(await command("valve", "open"), "open");
    assert.equal(await command("valve", "closed"), "closed");
    assert.equal(level("D5"), 0);
  });

  test("closes where the broker is gone for longer than its setting, and not before", async () => {
    const { command, come, device, keys, machine, pass, level, server, told } = await meet("valve");
    await server.until(() => told("valve").length > 0);
    await unlock(device, keys.console);
    assert.equal(await ask(device, "conf set lostS 10"), '{"err":0}');
    assert.equal(await command("valve", "open"), "open");
    machine.clock.hold();
    await pass(30);
    assert.equal(level("D5"), 1);
    await server.stop();
    await come(() => !machine.value("stands"));
    await pass(8);
    assert.equal(level("D5"), 1);
    await pass(4);
    assert.equal(level("D5"), 0);
  });

  test("is closed before a restart and after it", async () => {
    const { command, device, keys, machine, level, server, told } = await meet("valve");
    await server.until(() => told("valve").length > 0);
    assert.equal(await command("valve", "open"), "open");
    const changes: [string, number][] = [];
    machine.pins.onChange = (pin, value) => void changes.push([pin, value]);
    await unlock(device, keys.console);
    device.machine.type("reboot\n");
    await server.until(() => server.connections === 2);
    assert.deepEqual(changes, [["D5", 0]]);
    await server.until(() => told("valve").length === 3);
    assert.deepEqual([told("valve")[2], level("D5")], ["closed", 0]);
  });
});

describe("meter", { concurrency: true }, () => {
  const pulse = async (device: { machine: TestDevice["machine"] }, times: number) => {
    for (let i = 0; i < times; i++)
      for (const level of [0, 1]) {
        device.machine.pins.set("D4", level);
        await device.machine.later(20);
        await turn();
      }
  };
  const litres = (told: (name: string) => string[]) => JSON.parse(told("status").at(-1) ?? "{}").litres;

  test("counts pulses, tells litres, and no contact that bounces", async () => {
    const { device, machine, pass, server, told, keys } = await meet("meter");
    assert.equal(litres(told), 0);
    await pulse(device, 7);
    // a loaded machine would make a pulse of it
    machine.clock.hold();
    for (const level of [0, 1, 0, 1]) {
      machine.pins.set("D4", level);
      await machine.later(2);
    }
    machine.clock.release();
    // a minute's message may find the one before it still unanswered
    const tells = async (value: number) => {
      for (let minute = 0; minute < 20 && litres(told) !== value; minute++) {
        await pass(61);
        await server.until(() => litres(told) === value, 1000);
      }
      assert.equal(litres(told), value);
    };
    await tells(7);
    await unlock(device, keys.console);
    assert.equal(await ask(device, "conf set perLitre 2"), '{"err":0}');
    await tells(3.5);
  });

  test("keeps its count over a restart and, but for the last minute's, over a power cut; it is never torn and never too high", async () => {
    const { device, machine, pass, keys, server, told, command } = await meet("meter");
    await pulse(device, 5);
    await unlock(device, keys.console);
    machine.type("reboot\n");
    await server.until(() => server.connections === 2);
    await server.until(() => litres(told) === 5);
    await pulse(device, 3);
    await pass(62);
    await pulse(device, 2);
    machine.powerOff();
    machine.boot();
    await server.until(() => server.connections === 3 && litres(told) === 8);
    assert.equal(await command("litres", "12345"), "12345");
    assert.equal(await command("litres", "many"), `{"err":${VALUE_REFUSED}}`);
    await pass(62);
    machine.powerOff();
    machine.boot();
    await server.until(() => server.connections === 4 && litres(told) === 12345);
  });
});

describe("climate", { concurrency: true }, () => {
  const withSensor = async (sensor: Sht3x) => {
    const met = await meet("climate", (machine) => void machine.pins.i2c.set(0x44, sensor));
    const faults = () => JSON.parse(met.told("status").at(-1) ?? "{}").faults as number;
    return { ...met, faults };
  };

  test("measures, publishes what it has measured, retained, and then each sixth time", async () => {
    const sensor = new Sht3x(21.5, 40.25);
    const { pass, server, told, machine } = await withSensor(sensor);
    await pass(25);
    await server.until(() => told("climate").length === 1);
    assert.equal(told("climate")[0], '{"temperature":21.50,"humidity":40.3}');
    sensor.temperature = -12.25;
    await pass(60);
    await server.until(() => told("climate").length === 2);
    assert.match(told("climate")[1], /"temperature":-12\.2[45],/);
    assert.ok(machine.isOn);
  });

  test("a false CRC and a sensor that is not there are counted, told, and never published; it is reset and comes back", async () => {
    const sensor = new Sht3x();
    sensor.damage = 4;
    const { pass, server, told, faults } = await withSensor(sensor);
    await pass(90);
    await server.until(() => faults() > 0);
    assert.ok(sensor.resets > 0);
    sensor.isThere = false;
    sensor.damage = 0;
    const before = faults();
    await pass(61);
    await server.until(() => faults() > before);
    assert.deepEqual(told("climate"), []);
    sensor.isThere = true;
    await pass(80);
    await server.until(() => told("climate").length > 0 && faults() === 0);
    assert.deepEqual(
      await askObject({ ...open.at(-1) }.device as TestDevice, "status").then(({ step }) => step),
      8,
    );
  });
});
