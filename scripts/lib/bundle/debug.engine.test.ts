// The readable bundle (`make debug`) on the real interpreter: it is several times as long as the slot of a minified one, and runs all the
// same. Needs ESPRUINO_BIN, a Linux build of Espruino with room for its long names; skipped without.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { loneBundle } from "../../../hal/simulator/lone_bundle";
import { IDENTITY, KEY } from "../test/device";
import { ENGINE, Engine } from "../test/engine";
import { interpreter, startOpenssl } from "../test/engine_run";
import { skipWithout } from "../test/peers/install";
import { SUITES } from "../test/tls12/suites";
import { buildBundle } from "./build";
import { SIZE_LIMIT } from "./sizes";

const ENOUGH_VARIABLES = 2000;
/** Times of 20 ms in which it is a defect. */
const PATIENCE = 1500;

const skip = ENGINE ? skipWithout("openssl") : "ESPRUINO_BIN names no interpreter";

test("the interpreter runs the readable bundle: a handshake, telemetry, a command and its answer", {
  skip,
}, async (t) => {
  if ((await interpreter()).total < ENOUGH_VARIABLES)
    return t.skip(`fewer than ${ENOUGH_VARIABLES} variables`);
  const { code } = await buildBundle({ board: "linux", debug: true });
  assert.ok(code.length > 2 * SIZE_LIMIT);
  const broker = await startOpenssl(SUITES[0]);
  const engine = new Engine({
    ...loneBundle(code),
    key: KEY.toString("latin1"),
    conf: JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: broker.port }),
  });
  const says = async (start: string) => {
    const isThere = () => broker.published().some((line) => line.startsWith(start));
    for (let i = 0; i < PATIENCE && !isThere(); i++) await delay(20);
    assert.ok(isThere(), `${start}: ${engine.lines.join("\n")}`);
  };
  try {
    await says('sensor/0001/up/status {"up":');
    broker.publish("sensor/0001/down/x", "words");
    await says("sensor/0001/up/x words");
  } finally {
    await engine.stop();
    await broker.stop();
  }
});
