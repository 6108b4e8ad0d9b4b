/*
 * No broker silences a device (R34): what brokers refuse, lose and close, met by the main bundle on a simulated board, with
 * the code that it tells and that it comes back.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Packet } from "mqtt-packet";
import type { Machine } from "../../hal/simulator/machine";
import { type DeviceOptions, KEY, TestDevice } from "../../scripts/lib/test/device";
import { ask, bootFactory, CONF, recordOf, settled } from "../../scripts/lib/test/factory";
import { type Answer, MqttServer, message } from "../../scripts/lib/test/mqtt_server";
import { KEEP_ALIVE_S } from "../profile";
import {
  MANIFEST_FORMAT,
  MQTT_CLOSED,
  MQTT_PROTOCOL,
  MQTT_REFUSED,
  MQTT_SILENT,
  MQTT_SUBSCRIPTION,
} from "../tls/alert";

/** A reconnect as soon as it may be. */
const FAST = { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 0 };
/** Half a keep-alive, which no test waits for: it lets it pass. */
const TICK_MS = KEEP_ALIVE_S * 500;
const PATIENCE_MS = 60_000;

const open: { device: TestDevice; server: MqttServer }[] = [];
after(async () => {
  for (const { device, server } of open) {
    device.powerOff();
    await server.stop();
  }
});

/** The key record of a device whose key for the broker is the tests' own. */
const withAllKeys = () => recordOf([KEY, ...[1, 2, 3].map(() => randomBytes(16))]).record;

async function meet(answer?: Parameters<typeof MqttServer.start>[0], options: Partial<DeviceOptions> = {}) {
  const server = await MqttServer.start(answer);
  let pass: () => void = () => {};
  const device = await TestDevice.boot("esp32-sim", {
    entry: "firmware/main.ts",
    defines: FAST,
    port: server.port,
    ...options,
    prepare(machine) {
      options.prepare?.(machine);
      const own = machine.run("setTimeout") as (...args: unknown[]) => unknown;
      const replace = machine.run("(function(f){setTimeout=f})") as (f: typeof own) => void;
      replace((callback, delay, ...rest) => {
        if (delay !== TICK_MS) return own(callback, delay, ...rest);
        pass = callback as () => void;
        return own(callback, 2 ** 30);
      });
    },
  });
  open.push({ device, server });
  return {
    server,
    device,
    lines: () => device.lines.filter((line) => /^E\d/.test(line)),
    /** Half a keep-alive passes. */
    tick: () => pass(),
    /** Wait for the nth status that the device publishes. */
    status: async (nth: number) => {
      const all = () => server.published("status");
      assert.ok(await server.until(() => all().length >= nth, PATIENCE_MS), device.lines.join());
      return { ...JSON.parse(all()[nth - 1].text), connection: all()[nth - 1].connection };
    },
    /** Wait until the device has heard all that was sent so far: until it answers what is sent behind it. */
    settled: async () => {
      const before = server.published("echo").length;
      server.send(message("sensor/0001/down/echo", ""));
      assert.ok(
        await server.until(() => server.published("echo").length > before, PATIENCE_MS),
        device.lines.join(),
      );
    },
  };
}

describe("R34 no broker silences a device", { concurrency: true }, () => {
  test("R34 one PUBACK lost: the session ends with MQTT_SILENT, the next one begins with telemetry made anew", async () => {
    const { server, lines, tick, status, settled } = await meet((packet, { connections }) =>
      packet.cmd === "publish" && packet.qos && connections === 1 ? [] : undefined,
    );
    await status(1);
    // the first tick may come at once; pings are answered, the line is not silent
    tick();
    assert.ok(await server.until(() => server.of("pingreq").length >= 1, PATIENCE_MS));
    await settled();
    assert.deepEqual(lines(), []);
    tick();
    const { connection, err } = await status(2);
    assert.deepEqual([connection, err, lines()], [2, MQTT_SILENT, [`E${MQTT_SILENT}`]]);
    assert.ok(server.of("publish").every((packet) => packet.cmd === "publish" && !packet.dup));
  });

  test("R34 answers amid a burst: the PINGRESP of two ticks ago is no proof that a later PUBACK is lost", async () => {
    const held: Packet[] = [];
    const { server, lines, tick, status, settled } = await meet((packet) => {
      if (packet.cmd === "pingreq") held.push({ cmd: "pingresp" });
      else if (packet.cmd === "publish" && packet.qos && held.length > 0)
        held.push({ cmd: "puback", messageId: packet.messageId });
      else return undefined;
      return [];
    });
    const pings = async (count: number) => {
      tick();
      assert.ok(await server.until(() => server.of("pingreq").length >= count, PATIENCE_MS), lines().join());
      await settled();
    };
    await status(1);
    await settled();
    await pings(1);
    await status(2);
    await pings(2);
    // the status of the second tick is not acknowledged yet, and its PINGREQ is behind it
    assert.deepEqual(
      held.map(({ cmd }) => cmd),
      ["pingresp", "puback", "pingresp"],
    );
    server.send(...held.splice(0, 1));
    await settled();
    await pings(3);
    server.send(...held.splice(0));
    await settled();
    await pings(4);
    assert.deepEqual([lines(), server.connections], [[], 1]);
  });

  test("R34 no PINGRESP: MQTT_SILENT", async () => {
    const { server, lines, tick, status } = await meet((packet) =>
      packet.cmd === "pingreq" ? [] : undefined,
    );
    await status(1);
    tick();
    assert.ok(await server.until(() => server.of("pingreq").length >= 1, PATIENCE_MS));
    tick();
    assert.equal((await status(2)).err, MQTT_SILENT);
    assert.equal(lines()[0], `E${MQTT_SILENT}`);
  });

  for (const returnCode of [1, 2, 3, 4, 5])
    test(`R34 a CONNACK that refuses with ${returnCode} and the end in the same segment: its code, and again`, async () => {
      const refusal: Answer = [{ cmd: "connack", returnCode, sessionPresent: false }, "close"];
      const { server, lines } = await meet((packet, { connections }) =>
        packet.cmd === "connect" && connections === 1 ? refusal : undefined,
      );
      assert.ok(await server.until(() => server.published("status").length >= 1, PATIENCE_MS));
      assert.deepEqual(lines(), [`E${MQTT_REFUSED + returnCode}`]);
      assert.equal(JSON.parse(server.published("status")[0].text).err, MQTT_REFUSED + returnCode);
    });

  test("R34 a broker that closes and does not say why: MQTT_CLOSED", async () => {
    const { server, lines } = await meet((packet, { connections }) =>
      packet.cmd === "subscribe" && connections === 1 ? ["close"] : undefined,
    );
    assert.ok(await server.until(() => server.published("status").length >= 2, PATIENCE_MS));
    assert.deepEqual(lines(), [`E${MQTT_CLOSED}`]);
  });

  test("R34 a subscription that is refused: MQTT_SUBSCRIPTION once, in telemetry too, and asked for until it is granted", async () => {
    let refusals = 3;
    const { server, lines, tick, status, settled } = await meet((packet) =>
      packet.cmd === "subscribe" && packet.subscriptions[0].topic.endsWith("/down/#") && refusals-- > 0
        ? [{ cmd: "suback", messageId: packet.messageId, granted: [0x80] }]
        : undefined,
    );
    const asked = () =>
      server
        .of("subscribe")
        .filter((each) => each.cmd === "subscribe" && /down/.test(each.subscriptions[0].topic)).length;
    await status(1);
    await settled();
    for (let ticks = 1; ticks <= 4; ticks++) {
      tick();
      assert.equal((await status(1 + ticks)).err, MQTT_SUBSCRIPTION);
      await settled();
      assert.equal(asked(), Math.min(4, 1 + ticks));
    }
    assert.deepEqual(lines(), [`E${MQTT_SUBSCRIPTION}`]);
    assert.equal(server.connections, 1);
  });

  test("each subscription has a packet identifier of its own", async () => {
    const { server } = await meet();
    assert.ok(await server.until(() => server.of("subscribe").length >= 2, PATIENCE_MS));
    const identifiers = server.of("subscribe").map((packet) => (packet as { messageId?: number }).messageId);
    assert.equal(new Set(identifiers).size, identifiers.length);
  });

  test("R34 a second word that the network is up, or is not, is nothing to a session that stands", async () => {
    const twice = `(function(){var w=require("Wifi"),c=w.connect;w.connect=function(s,o,f){again=f;c.call(w,s,o,f)}})()`;
    const { server, device, lines, status, settled } = await meet(undefined, {
      prepare: (machine: Machine) => void machine.run(twice),
    });
    await status(1);
    for (const error of ["undefined", "'lost'"]) {
      device.machine.run(`again(${error})`);
      await settled();
    }
    assert.deepEqual(lines(), []);
    assert.equal(server.connections, 1);
  });

  test("R34 forty commands in one segment: the session stands, the last one is answered, who was not is told", async () => {
    const { server, lines, tick, status } = await meet((packet) =>
      packet.cmd === "subscribe" && packet.subscriptions[0].topic.endsWith("/down/#")
        ? [
            { cmd: "suback", messageId: packet.messageId, granted: [1] },
            ...Array.from({ length: 40 }, (_, i) =>
              message(`sensor/0001/down/c${i}`, `${i}`.padEnd(200, "r")),
            ),
          ]
        : undefined,
    );
    assert.ok(await server.until(() => server.published("c39").length >= 1, PATIENCE_MS));
    await status(1);
    tick();
    const { drop } = await status(2);
    const answered = server.packets.filter((each) => each.cmd === "publish" && /up\/c\d/.test(each.topic));
    assert.equal(answered.length + drop, 40);
    assert.deepEqual(lines(), []);
  });

  test("R34 a last message in the segment of the broker's close is taken: a manifest that is none stands in the log", async () => {
    const server = await MqttServer.start((packet, { connections }) =>
      packet.cmd === "subscribe" && packet.subscriptions[0].topic.endsWith("/ota") && connections === 1
        ? [
            { cmd: "suback", messageId: packet.messageId, granted: [1] },
            message("sensor/0001/ota", "no manifest"),
            "close",
          ]
        : undefined,
    );
    const conf = JSON.stringify({ ...JSON.parse(CONF), port: server.port });
    const device = await bootFactory("esp32-sim", { key: withAllKeys().toString("latin1"), conf });
    open.push({ device, server });
    assert.ok(await server.until(() => server.connections >= 1, PATIENCE_MS));
    const codes = async () => {
      await ask(device, "log");
      await settled();
      return device.lines.map((line) => JSON.parse(line).err as number);
    };
    while (!(await codes()).includes(MQTT_CLOSED)) await delay(20);
    assert.deepEqual((await codes()).slice(0, 2), [MQTT_CLOSED, MANIFEST_FORMAT]);
  });

  test("telemetry counts the starts: `boots` is one more after each", async () => {
    const { server, device, status } = await meet(undefined, { key: withAllKeys() });
    const { boots } = await status(1);
    for (const more of [1, 2]) {
      const before = server.published("status").length;
      device.machine.boot();
      assert.equal((await status(before + 1)).boots, boots + more);
    }
  });

  test("telemetry's `up` counts from the start of the device, whatever the clock says", async () => {
    const { server } = await meet();
    assert.ok(await server.until(() => server.published("status").length >= 1, PATIENCE_MS));
    assert.ok(JSON.parse(server.published("status")[0].text).up < 20);
  });

  test("a client identifier without a dot: <product>-<serial>", async () => {
    const { server } = await meet();
    assert.ok(await server.until(() => server.of("connect").length >= 1, PATIENCE_MS));
    assert.equal((server.of("connect")[0] as { clientId?: string }).clientId, "sensor-0001");
  });

  test("R34 what is no MQTT ends the session with MQTT_PROTOCOL, and the device comes back", async () => {
    const { server, lines } = await meet((packet, { connections }) =>
      packet.cmd === "connect" && connections === 1 ? [Buffer.from("f000", "hex")] : undefined,
    );
    assert.ok(await server.until(() => server.published("status").length >= 1, PATIENCE_MS));
    assert.deepEqual(lines(), [`E${MQTT_PROTOCOL}`]);
  });
});
