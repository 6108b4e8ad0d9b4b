// IPsec on the real interpreter: a device as people have it, with loader, slots, four keys and console, under each transform: telemetry, then ten commands
// and answers of 505 bytes through the tunnel, and after a kill at any moment a second start that goes on behind its numbers. Needs ESPRUINO_BIN.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { associationsOf, TRANSFORM_NAMES } from "../../scripts/lib/keys/esp_keys";
import { parseIdentity } from "../../scripts/lib/keys/identity";
import { IDENTITY, KEY, Watch } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { deviceFiles, RECORDS } from "../../scripts/lib/test/engine_run";
import { Counters } from "../../scripts/lib/tunnel/counters";
import { Tunnel, type TunnelEvent } from "../../scripts/lib/tunnel/tunnel";

const PAYLOAD = 505; // bytes: with `down/x ` a datagram of 512

/** A turn of a 32-bit interpreter in an emulator takes long. */
const TIMEOUT_MS = 240_000;

for (const transform of TRANSFORM_NAMES)
  test(`R5 R15 the interpreter talks ESP under ${transform}, and after a kill goes on behind its numbers`, {
    skip: ENGINE ? false : "ESPRUINO_BIN names no interpreter",
  }, async () => {
    const watch = new Watch();
    const consumer = createSocket("udp4");
    await new Promise<void>((resolve) => consumer.bind(0, "127.0.0.1", resolve));
    const said: string[] = [];
    consumer.on("message", (datagram) => {
      said.push(datagram.toString("latin1"));
      watch.wake();
    });
    const events: TunnelEvent[] = [];
    const counters = new Counters();
    const any = { host: "127.0.0.1", port: 0 };
    const tunnel = new Tunnel({
      ...{ listen: any, udp: any, to: { host: "127.0.0.1", port: consumer.address().port }, counters },
      devices: [{ identity: parseIdentity(IDENTITY), associations: associationsOf(KEY, transform) }],
      onEvent: (event) => events.push(event),
    });
    await tunnel.start();
    const { code } = await buildBundle({ board: "linux", profile: transform === "ccm" ? "esp" : "esp-cbc" });
    const { port, udpPort } = tunnel.places;
    let engine = new Engine(await deviceFiles(code, port));
    const until = async (condition: () => boolean) =>
      assert.ok(
        await watch.until(condition, TIMEOUT_MS),
        [...engine.lines, JSON.stringify(events)].join("\n"),
      );
    const statuses = () => said.filter((text) => text.startsWith("sensor/0001/up/status {"));
    try {
      for (let start = 1; start <= 2; start++) {
        await until(() => statuses().length === start);
        for (let i = 0; i < RECORDS; i++) {
          const payload = `${start} ${i}`.padEnd(PAYLOAD, "m");
          consumer.send(`sensor/0001/down/x ${payload}`, udpPort, "127.0.0.1");
          await until(() => said.includes(`sensor/0001/up/x ${payload}`));
        }
        if (start === 2) break;
        await engine.stop();
        engine = new Engine(engine.flash);
      }
      assert.deepEqual(
        events.filter(({ event }) => event === "refused"),
        [],
      );
      console.log(`${transform}: telemetry says ${/"mem":(\d+)/.exec(statuses()[0])?.[1]} variables`);
    } finally {
      await engine.stop();
      await tunnel.stop();
      counters.close();
      consumer.close();
    }
  });
