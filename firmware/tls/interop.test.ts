/*
 * The built bundle on the simulated boards against real servers on 127.0.0.1: every server, every suite that it takes
 * (scripts/lib/test/peers/table.ts), payloads around the fragment limit both ways; keys that do not fit; and the main
 * bundle's MQTT through Mosquitto, watched and answered by Mosquitto's own clients.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { generate, type Packet, parser } from "mqtt-packet";
import {
  type DeviceSocket,
  IDENTITY,
  KEY,
  powerOffShared,
  SIMULATED_BOARDS,
  sharedDevice,
  TestDevice,
  Watch,
} from "../../scripts/lib/test/device";
import { assertEchoes, PAYLOADS, payload } from "../../scripts/lib/test/echo";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as mosquitto from "../../scripts/lib/test/peers/mosquitto";
import { freePort, type Peer, runProgram } from "../../scripts/lib/test/peers/process";
import { PEERS, type PeerRow, REFUSAL } from "../../scripts/lib/test/peers/table";
import { EVERY_SUITE, profileWith, SUITES, type Suite } from "../../scripts/lib/test/tls12/suites";
import { NO_SERVER, RECEIVED, TRUNCATED } from "./alert";

/** The profile's names of the suites, for bundles that offer one alone. */
const PROFILE_NAMES = SUITES.map((suite) => suite.name);

/** A device of the profile that has the suite, which offers all of the profile's suites, or `only` this one. */
function deviceOf(board: string, suite: Suite = SUITES[0], only = false): Promise<TestDevice> {
  const profile = profileWith(suite);
  const defines =
    only && profile === "main"
      ? Object.fromEntries(PROFILE_NAMES.map((each) => [each, each === suite.name]))
      : undefined;
  return sharedDevice(board, { profile, defines });
}

after(powerOffShared);

function title(peer: PeerRow): string {
  return peer.defaults ? `${peer.name} as it comes` : peer.name;
}

/** The same payloads through an MQTT broker: published by us to a topic that we subscribe to. */
async function assertPublishes(socket: DeviceSocket, peer: Peer): Promise<void> {
  const packets: Packet[] = [];
  const reader = parser().on("packet", (packet) => packets.push(packet));
  const send = (packet: Packet) => socket.write(generate(packet));
  const wait = async (cmd: string) => {
    let found: Packet | undefined;
    await socket.until(() => {
      reader.parse(socket.received);
      socket.received = Buffer.alloc(0);
      found = packets.find((packet) => packet.cmd === cmd);
      return found !== undefined || socket.closed;
    }, 10_000);
    assert.ok(found, `no ${cmd}, error ${socket.error}\n${peer.output()}`);
    packets.length = 0;
    return found;
  };
  send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clientId: "interop",
    clean: true,
    keepalive: 0,
  });
  await wait("connack");
  send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "echo", qos: 0 }] });
  await wait("suback");
  for (const length of PAYLOADS) {
    const sent = payload(length);
    send({ cmd: "publish", topic: "echo", payload: sent, qos: 0, dup: false, retain: false });
    const packet = await wait("publish");
    assert.ok(packet.cmd === "publish" && sent.equals(packet.payload as Buffer), `${length} bytes`);
  }
}

for (const board of SIMULATED_BOARDS)
  for (const peer of PEERS.filter((row) => !row.defaults))
    for (const suite of EVERY_SUITE) {
      if (!peer.takes.includes(suite.code) || (board === "mdbt42q-w5500-sim" && suite.kind === "cbc"))
        continue;
      test(`R5 ${board} talks to ${title(peer)} with ${suite.name}`, { skip: peer.skip }, async () => {
        const server = await peer.start({ suite: suite.code, identity: IDENTITY, key: KEY });
        try {
          const device = await deviceOf(board, suite);
          const socket = device.connect(server.port);
          await socket.until(() => socket.connected || socket.closed);
          assert.ok(socket.connected, `error ${socket.error}\n${server.output()}`);
          await (peer.answers === "MQTT" ? assertPublishes : assertEchoes)(socket, server);
          socket.end();
          assert.ok(await socket.until(() => socket.closed));
          assert.equal(socket.error, 0);
        } finally {
          await server.stop();
        }
      });
    }

for (const peer of PEERS.filter((row) => row.defaults))
  test(`R5 a device with one suite meets ${title(peer)} as its row says`, { skip: peer.skip }, async () => {
    const server = await peer.start({ identity: IDENTITY, key: KEY, defaults: true });
    try {
      for (const suite of EVERY_SUITE) {
        const device = await deviceOf("esp32-sim", suite, true);
        const socket = device.connect(server.port);
        await socket.until(() => socket.connected || socket.closed);
        const takes = peer.takes.includes(suite.code);
        assert.equal(socket.connected, takes, `${suite.name}: error ${socket.error}\n${server.output()}`);
        assert.equal(socket.error, takes ? 0 : RECEIVED + REFUSAL, suite.name);
        if (takes && peer.answers !== "MQTT") await assertEchoes(socket, server);
        socket.end();
      }
    } finally {
      await server.stop();
    }
  });

/** What servers say to a key or an identity that does not fit: one of these, and the device makes no more of it. */
const REFUSALS = [RECEIVED + 20, RECEIVED + 51, RECEIVED + 115, RECEIVED + REFUSAL, RECEIVED + 47, TRUNCATED];

for (const peer of PEERS.filter((row) => !row.defaults))
  test(`R11 ${title(peer)} refuses a wrong key and an unknown identity`, { skip: peer.skip }, async () => {
    const device = await deviceOf("esp32-sim");
    for (const { identity, key } of [
      { identity: IDENTITY, key: Buffer.alloc(16, 0x33) },
      { identity: "v1.sensor.9999", key: KEY },
    ]) {
      // s_server warns of another identity and goes on
      if (identity !== IDENTITY && peer.ignoresIdentity) continue;
      const server = await peer.start({ identity, key });
      try {
        const socket = device.connect(server.port);
        await socket.until(() => socket.closed);
        assert.ok(!socket.connected);
        assert.ok(REFUSALS.includes(socket.error), `error ${socket.error}\n${server.output()}`);
      } finally {
        await server.stop();
      }
    }
  });

test("R29 no server at the port is an error of its own", async () => {
  const device = await deviceOf("esp32-sim");
  const socket = device.connect(await freePort());
  await socket.until(() => socket.closed);
  assert.equal(socket.error, NO_SERVER);
});

// --- MQTT of the main bundle --------------------------------------------------------------------------------

const WATCHER = { identity: "watcher", key: Buffer.from("00112233445566778899aabbccddeefe", "hex") };

/** Run mosquitto_sub on every topic; `lines` are "topic payload". */
function watch(port: number, suite: Suite) {
  const seen = Object.assign(new Watch(), { lines: [] as string[] });
  const program = runProgram({
    command: "mosquitto_sub",
    args: [
      "-h",
      "127.0.0.1",
      "-p",
      String(port),
      "--psk-identity",
      WATCHER.identity,
      "--psk",
      WATCHER.key.toString("hex"),
      "--ciphers",
      `${suite.openssl}:@SECLEVEL=0`,
      "--tls-version",
      "tlsv1.2",
      "-t",
      "#",
      "-v",
    ],
  });
  program.child.stdout?.on("data", () => {
    seen.lines = program.output().split("\n");
    seen.wake();
  });
  return { program, seen };
}

async function publish(port: number, suite: Suite, topic: string, text: string): Promise<void> {
  const program = runProgram({
    command: "mosquitto_pub",
    args: [
      "-h",
      "127.0.0.1",
      "-p",
      String(port),
      "--psk-identity",
      WATCHER.identity,
      "--psk",
      WATCHER.key.toString("hex"),
      "--ciphers",
      `${suite.openssl}:@SECLEVEL=0`,
      "--tls-version",
      "tlsv1.2",
      "-t",
      topic,
      "-m",
      text,
    ],
  });
  assert.equal(await program.exited, 0, program.output());
}

for (const board of SIMULATED_BOARDS)
  for (const suite of EVERY_SUITE) {
    if (board !== "esp32-sim" && suite.kind === "cbc") continue; // no AES decryption there, or no room
    if (board === "esp32-idf4-sim" && suite.kind === "gcm") continue; // no room
    test(`the main bundle on ${board} talks MQTT through Mosquitto with ${suite.name}`, {
      skip: skipWithout("mosquitto", "mosquitto_sub", "mosquitto_pub"),
    }, async () => {
      const broker = await mosquitto.start({
        suite: suite.code,
        identity: IDENTITY,
        key: KEY,
        clients: [WATCHER],
      });
      const { program, seen } = watch(broker.port, suite);
      let device: TestDevice | undefined;
      try {
        assert.ok(await waitForWatcher(broker), broker.output());
        device = await TestDevice.boot(board, {
          entry: "firmware/main.ts",
          profile: profileWith(suite),
          port: broker.port,
        });
        const report = () => `${device?.lines.join("\n")}\n${seen.lines.join("\n")}\n${broker.output()}`;
        assert.ok(await seen.until(() => seen.lines.includes("sensor/0001/state 1")), report());
        assert.ok(
          await seen.until(() =>
            seen.lines.some((line) => /^sensor\/0001\/up\/status \{"up":\d+/.test(line)),
          ),
          report(),
        );
        await publish(broker.port, suite, "sensor/0001/down/echo", "hello device");
        assert.ok(await seen.until(() => seen.lines.includes("sensor/0001/up/echo hello device")), report());
        device.powerOff();
        assert.ok(await seen.until(() => seen.lines.includes("sensor/0001/state 0")), report());
      } finally {
        device?.powerOff();
        await program.stop();
        await broker.stop();
      }
    });
  }

/** Wait until the broker's log tells of the watcher's subscription. */
async function waitForWatcher(broker: Peer): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    if (/Sending SUBACK/.test(broker.output())) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}
