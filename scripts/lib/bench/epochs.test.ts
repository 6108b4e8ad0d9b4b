// The bench under the profile epochs (firmware/README.md 13): a unit gets its tree's root, proves it, also when its first session is over and the
// root is gone, and is not reworked into the same tree once more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RECORD_LENGTH } from "../../../firmware/store/key_record";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { treeRoot } from "../keys/epoch_tree";
import { PURPOSES } from "../keys/kdf";
import { BOARD, imageOf, TestBench } from "../test/bench";
import { RecordedGateway } from "../test/epochs";
import { testMasters } from "../test/update";

const SERIAL = "SN0000001";
const IDENTITY = `v1.meter.${SERIAL}`;

test("R38 a unit of the profile epochs: root, proof, sessions, once more, and a rework under new keys alone", async () => {
  const masters = testMasters();
  const gateway = await RecordedGateway.start(masters.psk, 2);
  const keys = keySourceOfMasters(
    PURPOSES.map((purpose) => masterFromBytes(Buffer.from(masters[purpose]), purpose)),
    "psk/tree",
  );
  const { bytes: image, digest: imageDigest } = await imageOf(BOARD, "epochs");
  const settings = { host: "127.0.0.1", port: gateway.port, ssid: "simulated", pass: "simulated" };
  const bench = await TestBench.start([{}], { keys, image, imageDigest, settings });
  try {
    await bench.ready();
    // it may have its first session before it is asked for its proof
    assert.equal((await bench.run(SERIAL)).result, "pass", bench.states());
    const [board] = bench.boards;
    assert.ok(await gateway.until(() => gateway.statuses > 0));
    const [first] = gateway.sessions;
    assert.equal(first.identity, `${IDENTITY}.e0`);
    const record = Buffer.from(board.machine.files.key, "latin1");
    assert.equal(record.length, RECORD_LENGTH);
    assert.ok(
      record.subarray(0, 16).every((byte) => byte === 0),
      "the root is gone",
    );
    assert.equal(board.machine.flash.bytes.indexOf(treeRoot(masters.psk, IDENTITY)), -1);

    const { entries } = bench;
    assert.equal((await bench.run(SERIAL)).result, "pass", `once more: ${bench.states()}`);
    assert.equal(bench.entries, entries, "and nothing changed");

    bench.bench.command({ command: "operation", operation: "rework" });
    const { failure } = await bench.run(SERIAL);
    assert.match(
      failure?.text ?? "",
      /sessions under its keys of version 1: a rework takes .*--key-version 2/,
    );
    bench.bench.options.keyVersion = 2;
    assert.equal((await bench.run(SERIAL)).result, "pass", bench.states());
    const before = gateway.statuses;
    assert.ok(await gateway.until(() => gateway.statuses > before || gateway.sessions.some(isNew)));
    assert.ok(gateway.sessions.some(isNew));
  } finally {
    await bench.stop();
    await gateway.stop();
  }
});

const isNew = ({ identity }: { identity: string }) => identity === `v2.meter.${SERIAL}.e0`;
