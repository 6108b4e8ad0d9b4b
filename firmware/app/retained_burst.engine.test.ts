// What a broker has kept for a device comes all at once when it subscribes, faster than it can be worked through (R34): on the real
// interpreter, whose sockets read on whatever the program does. Needs ESPRUINO_BIN and Mosquitto; skipped without.
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { Broker } from "../../scripts/lib/ota/broker";
import { IDENTITY, KEY, Watch } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { deviceFiles } from "../../scripts/lib/test/engine_run";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as mosquitto from "../../scripts/lib/test/peers/mosquitto";
import { profileWith, SUITES } from "../../scripts/lib/test/tls12/suites";

const COMMANDS = 500;
const LONGEST = 200;
const PATIENCE_MS = 240_000;

const skip = ENGINE ? skipWithout("mosquitto") : "ESPRUINO_BIN names no interpreter";
for (const suite of SUITES)
  test(`R34 ${COMMANDS} retained commands of up to ${LONGEST} bytes with ${suite.name}: one session, the last is answered, who was not is told`, {
    skip,
  }, async () => {
    const operator = { identity: "watcher", key: Buffer.from("00112233445566778899aabbccddeefe", "hex") };
    const peer = await mosquitto.start({ identity: IDENTITY, key: KEY, clients: [operator] });
    const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: operator });
    const seen = new Watch();
    const answers: string[] = [];
    const telemetry: string[] = [];
    await broker.listen(["sensor/0001/up/#"], (topic, payload) => {
      (topic.endsWith("/status") ? telemetry : answers).push(`${topic.slice(15)} ${payload}`);
      seen.wake();
    });
    await broker.publish(
      Array.from({ length: COMMANDS }, (_, nth) => ({
        topic: `sensor/0001/down/${nth}`,
        payload: Buffer.from(String(nth).padEnd(1 + ((nth * 37) % LONGEST), "m")),
      })),
    );
    const { code } = await buildBundle({
      board: "linux",
      profile: profileWith(suite),
      // telemetry, which counts what was dropped, comes every half of it
      defines: { KEEP_ALIVE_S: 40 },
    });
    const engine = new Engine(await deviceFiles(code, peer.port));
    try {
      const last = `${COMMANDS - 1} ${COMMANDS - 1}`;
      await seen.until(() => answers.some((line) => line.startsWith(last)), PATIENCE_MS);
      const told = `${answers.length} answers, ${telemetry.join("\n")}\n${engine.lines.join("\n")}`;
      assert.ok(
        answers.some((line) => line.startsWith(last)),
        `the last one has no answer: ${told}`,
      );
      const drop = (line: string) => Number(/"drop":(\d+)/.exec(line)?.[1]);
      await seen.until(() => drop(telemetry.at(-1) as string) + answers.length >= COMMANDS, 60_000);
      console.log(`${answers.length} answers; ${telemetry.at(-1)}`);
      assert.equal(drop(telemetry.at(-1) as string) + answers.length, COMMANDS, told);
      assert.equal(peer.output().match(/New client connected .* as sensor-0001/g)?.length, 1, told);
    } finally {
      await engine.stop();
      await broker.close();
      await peer.stop();
    }
  });
