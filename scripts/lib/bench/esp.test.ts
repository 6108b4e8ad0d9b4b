// The bench under the profile esp (firmware/README.md 14): a unit gets its key of the label esp, proves it, talks under it, and is not reworked
// under the same key, under which its sequence numbers would come again from the first.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { associationsOf } from "../keys/esp_keys";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, PURPOSES } from "../keys/kdf";
import { BOARD, imageOf, TestBench } from "../test/bench";
import { EspPeer } from "../test/esp/peer";
import { testMasters } from "../test/update";

const SERIAL = "SN0000001";

test("R1 R15 a unit of the profile esp: its key, proof, telemetry, and a rework under new keys alone", async () => {
  const masters = testMasters();
  const keyOf = (version: number) =>
    deriveDeviceKey(masters.psk, parseIdentity(`v${version}.meter.${SERIAL}`), "kdf", "esp");
  const peer = await EspPeer.start(keyOf(1), "ccm");
  const keys = keySourceOfMasters(
    PURPOSES.map((purpose) => masterFromBytes(Buffer.from(masters[purpose]), purpose)),
    "esp",
  );
  const { bytes: image, digest: imageDigest } = await imageOf(BOARD, "esp");
  const settings = { host: "127.0.0.1", port: peer.port, ssid: "simulated", pass: "simulated" };
  const bench = await TestBench.start([{}], { keys, image, imageDigest, settings });
  try {
    await bench.ready();
    assert.equal((await bench.run(SERIAL)).result, "pass", bench.states());
    await peer.until(() => peer.datagrams("up/status").length > 0);
    bench.bench.command({ command: "operation", operation: "rework" });
    const { failure } = await bench.run(SERIAL);
    assert.match(failure?.text ?? "", /under its keys of version 1: a rework takes .*--key-version 2/);
    bench.bench.options.keyVersion = 2;
    assert.equal((await bench.run(SERIAL)).result, "pass", bench.states());
    await peer.until(() => peer.strangers.length > 0);
    assert.equal(peer.strangers[0].readUInt32BE(0), associationsOf(keyOf(2), "ccm").up.spi);
    assert.ok(!bench.boards[0].machine.flash.bytes.includes(keyOf(1)));
  } finally {
    await bench.stop();
    await peer.stop();
  }
});
