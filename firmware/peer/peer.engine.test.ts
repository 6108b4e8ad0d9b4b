// Two devices of the profile `peer` on the real interpreter, each as people have it, with loader, slots, four keys and console: one commands the other
// ten times with 200 bytes, over Mosquitto and the ticket service. Needs ESPRUINO_BIN.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { board } from "../../boards/linux";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { buildBundle, ECHO, LOADER } from "../../scripts/lib/bundle/build";
import { EMPTY_LIST } from "../../scripts/lib/gateway/fleet_list";
import { parseIdentity } from "../../scripts/lib/keys/identity";
import { deriveDeviceKey } from "../../scripts/lib/keys/kdf";
import { brokerKey } from "../../scripts/lib/keys/peer_keys";
import { Broker } from "../../scripts/lib/ota/broker";
import { storageFiles } from "../../scripts/lib/ota/layout";
import { Watch } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { interpreter } from "../../scripts/lib/test/engine_run";
import { recordOf } from "../../scripts/lib/test/factory";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as mosquitto from "../../scripts/lib/test/peers/mosquitto";
import { carry } from "../../scripts/lib/tickets/carrier";

const COMMANDS = 10;
/** Variables of the smallest board that it is for. */
const ENOUGH = 500;
/** A turn of a 32-bit interpreter in an emulator takes long. */
const TIMEOUT_MS = 240_000;

test("R5 the interpreter commands the interpreter by a ticket, ten times with 200 bytes, in one session", {
  skip: ENGINE ? skipWithout("mosquitto") : "ESPRUINO_BIN names no interpreter",
}, async (t) => {
  const { total } = await interpreter();
  if (total < ENOUGH) return t.skip(`${total} variables are too few`);
  const master = randomBytes(16);
  const us = { identity: "tickets", key: randomBytes(16) };
  const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity), "kdf", "peer");
  const devices = [
    { identity: "v1.sensor.B2", product: ECHO },
    {
      identity: "v1.sensor.A1",
      product: "scripts/lib/test/products/telling.ts",
    },
  ];
  const clients = devices.map(({ identity }) => ({ identity, key: brokerKey(keyOf(identity)) }));
  const peer = await mosquitto.start({ ...us, clients });
  const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: us });
  const watch = new Watch();
  const said: string[] = [];
  await broker.listen(["+/+/up/status", "+/+/up/valve"], (topic, payload) => {
    said.push(`${topic} ${payload.toString("latin1")}`);
    watch.wake();
  });
  const carrier = await carry(broker, {
    keys: { deviceKey: (identity, label) => deriveDeviceKey(master, identity, "kdf", label) },
    rules: { list: EMPTY_LIST },
    onEvent: (event) => said.push(JSON.stringify(event)),
  });
  const { code: loader } = await buildBundle({ board: "linux", entry: LOADER });
  const engines: Engine[] = [];
  try {
    for (const { identity, product } of devices) {
      const { code } = await buildBundle({ board: "linux", profile: "peer", product });
      const conf = { id: identity, host: "127.0.0.1", port: peer.port };
      engines.push(
        new Engine({
          ...storageFiles(board, code, loader, { sequence: 1 }),
          key: recordOf([keyOf(identity), ...[1, 2, 3].map(() => randomBytes(16))]).record.toString("latin1"),
          conf: settingsFile(board, conf),
        }),
      );
    }
    const answers = () => said.filter((text) => text.startsWith("sensor/A1/up/valve "));
    assert.ok(
      await watch.until(() => answers().length >= COMMANDS, TIMEOUT_MS),
      [...said, ...engines.flatMap(({ lines }) => lines)].join("\n"),
    );
    assert.deepEqual(
      answers().slice(0, COMMANDS),
      Array.from({ length: COMMANDS }, (_, i) => `sensor/A1/up/valve ${`${i}`.padEnd(200, "v")}`),
    );
    // nobody ran out of memory: one ticket, and of each device one telemetry of one start
    assert.equal(said.filter((text) => text.includes('"event":"ticket"')).length, 1);
    for (const text of said.filter((text) => text.includes("/up/status "))) assert.match(text, /"err":0,/);
    for (const name of ["A1", "B2"])
      console.log(
        `${name}: telemetry says ${/"mem":(\d+)/.exec(said.find((text) => text.startsWith(`sensor/${name}/up/status`)) ?? "")?.[1]} variables`,
      );
  } finally {
    for (const engine of engines) await engine.stop();
    await carrier.stop();
    await broker.close();
    await peer.stop();
  }
});
