// The profiles `small` on the real interpreter with 341 variables of 12 bytes, 4,092 bytes: boot from flash, handshake, CONNECT, ten messages of 128 bytes each
// way. TLS against Mosquitto, AKEP2 against the scripted server; and sessions that the server ends. Needs ESPRUINO_BIN; a build with more variables
// has them taken by ballast, one whose heap grows is skipped.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import {
  type Broker,
  ballast,
  bootFiles,
  hasFixedHeap,
  interpreter,
  RECORDS,
  run,
  startMosquitto,
} from "../../scripts/lib/test/engine_run";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import { waitUntil } from "../../scripts/lib/test/peers/process";
import { AKEP2, MQTT } from "../../scripts/lib/test/profile_peers";
import { startRelay } from "../../scripts/lib/test/relay";
import { suiteOf } from "../../scripts/lib/test/tls12/suites";

/** Variables that the chip has. */
const VARIABLES = 341;
/** Bytes of a command as MQTT has it. */
const MESSAGE_BYTES = 128;
/** Sessions, one after the other. */
const SESSIONS = 4;

const noEngine = ENGINE ? false : "ESPRUINO_BIN names no interpreter";
const withoutMosquitto = noEngine || skipWithout("mosquitto", "mosquitto_sub", "mosquitto_pub");
let ballastVariables = 0;
let grows = "";

before(async () => {
  if (!ENGINE) return;
  ballastVariables = (await interpreter()).total - VARIABLES;
  if (!(await hasFixedHeap())) grows = "its heap grows";
});

const CASES: { profile: string; start(): Promise<Broker>; skip: string | false }[] = [
  { profile: "small", start: () => startMosquitto(suiteOf(0xc0a8)), skip: withoutMosquitto },
  { profile: "small-cbc", start: () => startMosquitto(suiteOf(0x008c)), skip: withoutMosquitto },
  { profile: "small-akep2", start: () => AKEP2.start(), skip: noEngine },
];

for (const { profile, start, skip } of CASES)
  test(`the profile ${profile} boots, shakes hands and takes ten messages each way on ${VARIABLES} variables`, {
    skip,
  }, async (t) => {
    if (grows) return t.skip(grows);
    const { code } = await buildBundle({ board: "linux", profile });
    const broker = await start();
    try {
      const payload = MQTT.payloadOf(MESSAGE_BYTES);
      const { failure, idle } = await run(
        code,
        undefined,
        broker,
        Math.max(0, ballastVariables),
        payload,
        bootFiles,
      );
      assert.equal(failure, "", broker.output());
      console.log(`${profile}: ${RECORDS} messages each way, telemetry says ${idle} variables`);
    } finally {
      await broker.stop();
    }
  });

test(`a device of the profile small whose server ends the session is back by itself, and answers, on ${VARIABLES} variables`, {
  skip: withoutMosquitto,
}, async (t) => {
  if (grows) return t.skip(grows);
  const { code } = await buildBundle({ board: "linux", profile: "small" });
  const broker = await startMosquitto(suiteOf(0xc0a8));
  const relay = await startRelay(broker.port, (_, bytes) => bytes);
  const engine = new Engine({
    ...(await bootFiles(code, relay.port)),
    ...ballast(Math.max(0, ballastVariables)),
  });
  const payload = "r".repeat(MQTT.payloadOf(MESSAGE_BYTES));
  const said = (start: string) => broker.published().filter((line) => line.startsWith(start)).length;
  try {
    for (let session = 1; session <= SESSIONS; session++) {
      await waitUntil(
        `telemetry of session ${session}`,
        async () => said("sensor/0001/up/status {") === session,
      );
      broker.publish("sensor/0001/down/x", payload);
      await waitUntil("an answer", async () => said(`sensor/0001/up/x ${payload}`) === session);
      relay.cut();
    }
  } finally {
    await engine.stop();
    await relay.stop();
    await broker.stop();
  }
});
