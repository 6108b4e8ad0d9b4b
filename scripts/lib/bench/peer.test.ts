// The bench under the profile peer (firmware/README.md 15): a unit gets its key of the label peer, proves it, and its broker knows it by the key
// that is derived from that one, and from nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, PURPOSES } from "../keys/kdf";
import { brokerKey } from "../keys/peer_keys";
import { BOARD, imageOf, TestBench } from "../test/bench";
import { skipWithout } from "../test/peers/install";
import * as mosquitto from "../test/peers/mosquitto";
import { waitUntil } from "../test/peers/process";
import { testMasters } from "../test/update";

const SERIAL = "SN0000001";
const IDENTITY = `v1.meter.${SERIAL}`;

test("R1 a unit of the profile peer: its key, proof, and a session with a broker that has the key derived from it", {
  skip: skipWithout("mosquitto"),
}, async () => {
  const masters = testMasters();
  const key = deriveDeviceKey(masters.psk, parseIdentity(IDENTITY), "kdf", "peer");
  const broker = await mosquitto.start({ identity: IDENTITY, key: brokerKey(key) });
  const keys = keySourceOfMasters(
    PURPOSES.map((purpose) => masterFromBytes(Buffer.from(masters[purpose]), purpose)),
    "peer",
  );
  const { bytes: image, digest: imageDigest } = await imageOf(BOARD, "peer");
  const settings = { host: "127.0.0.1", port: broker.port, ssid: "simulated", pass: "simulated" };
  const bench = await TestBench.start([{}], { keys, image, imageDigest, settings });
  try {
    await bench.ready();
    assert.equal((await bench.run(SERIAL)).result, "pass", bench.states());
    const [board] = bench.boards;
    assert.ok(Buffer.from(board.machine.files.key, "latin1").includes(key));
    await waitUntil("telemetry at the broker", async () =>
      broker.output().includes(`meter/${SERIAL}/up/status`),
    );
  } finally {
    await bench.stop();
    await broker.stop();
  }
});
