// `npm run ota`, its part for new keys: rekey, publish --rekey, clear; and that bad input writes and publishes nothing.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { PROJECT } from "./lib/bundle/build";
import { makeBatch } from "./lib/custody/batch";
import { masterFromBytes } from "./lib/custody/master";
import { makeFactoryKey, sealFactoryKey, sealWithPassphrase } from "./lib/custody/sealed_file";
import { type Gateway, startGateway } from "./lib/gateway/gateway";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey, PURPOSES } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { REKEY_ROW_BYTES } from "./lib/ota/rekey";
import { readManifests, signRows } from "./lib/ota/sign";
import { updateFile } from "./lib/ota/update_file";
import { nodeArguments } from "./lib/test/program";
import { testMasters, testRekeyRows, testRekeys, testUpdate } from "./lib/test/update";

const folder = mkdtempSync(join(tmpdir(), "ota-rekey-"));
const at = (name: string) => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

function run(...args: string[]): Promise<{ code: number | null; output: string; error: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, nodeArguments("scripts/ota.ts", ...args), { cwd: PROJECT });
    let output = "";
    let error = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (error += chunk));
    child.on("close", (code) => resolve({ code, output, error }));
  });
}

const masters = testMasters();
for (const purpose of PURPOSES) writeFileSync(at(`${purpose}-master`), masters[purpose], { mode: 0o600 });
const REKEY = [
  ...["rekey", "--update", at("update"), "--to", "2", "--ota", at("ota-master")],
  ...["--rekey", at("rekey-master"), "--new-psk", at("psk-master"), "--new-console", at("console-master")],
];
const update = testUpdate({ sequence: 13 });
const devices = Array.from({ length: 12 }, (_, i) => `v1.meter.SN${String(i + 1).padStart(2, "0")}`);
const signer = masterFromBytes(Buffer.from(masters.ota), "ota");
writeFileSync(at("update"), updateFile(update));
writeFileSync(at("manifests"), Buffer.concat([...signRows(update, devices.map(parseIdentity), signer)]));

before(async () => {
  const made = await run(...REKEY, "--serials", "SN01..SN12", "--out", at("keys"), "--json");
  assert.deepEqual(JSON.parse(made.output), { out: at("keys"), rows: 12 }, made.error);
});

describe("bad input: a sentence, exit 2, nothing written", { concurrency: 2 }, () => {
  const rekey = (...args: string[]) => [...REKEY, "--out", at("refused"), "--serials", "SN1", ...args];
  const keysOf = (path: string) => ["--update", at("update"), "--rekey", path];
  writeFileSync(at("other"), updateFile(testUpdate({ sequence: 14 })));
  const image = ["--update", at("update"), "--manifests", at("manifests")];
  writeFileSync(at("second"), "SN2\nv2.meter.SN3\n");
  writeFileSync(at("weak"), "000102030405060708090a0b0c0d0e0f", { mode: 0o600 });
  writeFileSync(at("open"), randomKey(), { mode: 0o644 });
  const cases: [title: string, args: string[], sentence: RegExp][] = [
    ["no update", ["rekey"], /--update FILE is missing/],
    ["no devices", [...REKEY, "--out", at("refused")], /no devices/],
    ["no master", [...REKEY.slice(0, -2), ...rekey().slice(REKEY.length)], /--new-console FILE/],
    ["a master that others can read", rekey("--new-psk", at("open")), /chmod 600/],
    ["a weak master", rekey("--new-ota", at("weak")), /published test key/],
    ["a device that has that version", rekey("--list", at("second")), /v2.meter.SN3 has key version 2/],
    ["version 255", rekey("--to", "255"), /from 2 to 254/],
    ["a scheme without versions", rekey("--scheme", "aes-serial"), /are the same/],
    ["a passphrase of nothing", rekey("--passphrase-file", "new-x=a"), /new-psk, new-ota/],
    ["a batch and a master", rekey("--batch", at("keys")), /--batch and --new-psk exclude each other/],
    ["a file that is there", rekey("--out", at("keys")), /is not written over/],
    [
      "keys as manifests",
      ["publish", ...image.with(-1, at("keys"))],
      /holds new keys, and --manifests takes none/,
    ],
    ["the same in a rollout", ["rollout", ...image.with(-1, at("keys"))], /holds new keys, and/],
    [
      "manifests as keys",
      ["publish", ...keysOf(at("manifests"))],
      /holds manifests without keys, and --rekey/,
    ],
    ["both", ["publish", ...image, "--rekey", at("keys")], /--manifests and --rekey exclude each other/],
    [
      "keys of another update",
      ["publish", ...keysOf(at("keys")).with(1, at("other"))],
      /signed for another update/,
    ],
    ["damaged", ["publish", ...keysOf(at("damaged"))], /row 2: the manifest is not the one of this/],
    ["to clear: nothing", ["clear"], /--rekey FILE is missing/],
  ];
  before(() => {
    const damaged = readFileSync(at("keys"));
    damaged[REKEY_ROW_BYTES + 100] ^= 1;
    writeFileSync(at("damaged"), damaged);
  });
  for (const [title, args, sentence] of cases) {
    test(title, async () => {
      const { code, output, error } = await run(...args);
      assert.equal(code, 2, output + error);
      assert.match(error, sentence);
      assert.ok(!readdirSync(folder).some((name) => name.includes("refused")));
    });
  }
});

test("R25 the file holds no key", () => {
  const bytes = readFileSync(at("keys"));
  for (const purpose of PURPOSES) {
    assert.equal(bytes.indexOf(masters[purpose]), -1);
    for (const identity of ["v1.meter.SN01", "v2.meter.SN01"]) {
      const key = deriveDeviceKey(masters[purpose], parseIdentity(identity), "kdf", purpose);
      assert.equal(bytes.indexOf(key), -1);
      assert.equal(bytes.indexOf(key.toString("hex")), -1);
    }
  }
});

describe("at the gateway", () => {
  let gateway: Gateway;
  let telemetry: MqttClient;
  let place: string[];
  before(async () => {
    gateway = await startGateway({ master: masterFromBytes(randomKey()), operatorPort: 0 });
    const operatorPort = gateway.operatorPort as number;
    telemetry = await connectAsync({ host: "127.0.0.1", port: operatorPort });
    place = ["--broker", `127.0.0.1:${operatorPort}`];
  });
  after(async () => {
    await telemetry.endAsync();
    await gateway.close();
  });
  /** Topics of what is retained, of the product's manifests and pieces. */
  async function retained(): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    const listener = (topic: string, payload: Buffer) => void found.set(topic, payload);
    telemetry.on("message", listener);
    await telemetry.subscribeAsync(["meter/+/ota", "fw/#"]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await telemetry.unsubscribeAsync(["meter/+/ota", "fw/#"]);
    telemetry.off("message", listener);
    return found;
  }

  const publish = (path: string) => ["publish", "--update", at("update"), "--rekey", path, ...place];

  test("R22 published, and again; taken back from those who have them, and from all", async () => {
    const args = [...publish(at("keys")), "--json"];
    const first = await run(...args);
    const pieces = update.pieces.length;
    const all = { pieces: { written: pieces, found: 0 }, manifests: { written: 12, found: 0 } };
    assert.deepEqual(JSON.parse(first.output), all, first.error);
    const there = { pieces: { written: 0, found: pieces }, manifests: { written: 0, found: 12 } };
    assert.deepEqual(JSON.parse((await run(...args)).output), there);
    const file = readManifests(at("keys"), "rekey");
    const found = await retained();
    assert.equal(found.size, pieces + 12);
    for (let row = 0; row < file.count; row++)
      assert.deepEqual(found.get(`meter/${file.identity(row).serial}/ota`), file.manifest(row));
    const telling = setInterval(() => {
      for (const [serial, seq] of [
        ["SN01", 13],
        ["SN02", 12],
        ["SN03", 13],
        ["SN99", 13],
      ] as const)
        void telemetry.publishAsync(
          `meter/${serial}/up/status`,
          JSON.stringify({ up: 1, err: 0, seq, rev: 0 }),
        );
    }, 200);
    const clear = ["clear", "--rekey", at("keys"), ...place];
    const some = await run(...clear, "--seconds", "2", "--json").finally(() => clearInterval(telling));
    const open = devices.filter((device) => !/SN0[13]$/.test(device));
    assert.deepEqual(JSON.parse(some.output), { cleared: 2, open }, some.error);
    assert.equal((await retained()).size, pieces + 10);
    assert.equal((await run(...clear, "--all")).output, "10 taken away, 0 open\n");
    assert.equal((await retained()).size, pieces);
  });

  test("R28 ring by ring, as any update", async () => {
    const telling = setInterval(() => {
      for (let n = 1; n <= 12; n++)
        void telemetry.publishAsync(
          `meter/SN${String(n).padStart(2, "0")}/up/status`,
          JSON.stringify({ up: 1, err: 0, seq: 13, rev: 0 }),
        );
    }, 200);
    const { code, output, error } = await run(
      ...["rollout", ...publish(at("keys")).slice(1), "--state", at("state"), "--rings", "10,100"],
    ).finally(() => clearInterval(telling));
    assert.equal(code, 0, error);
    assert.match(output, /^ring 2: 10 confirmed, 0 failed, 0 silent$/m);
    const found = await retained();
    const file = readManifests(at("keys"), "rekey");
    for (let row = 0; row < file.count; row++)
      assert.deepEqual(found.get(`meter/${file.identity(row).serial}/ota`), file.manifest(row));
  });

  test("R35 other new keys with the same sequence: neither made nor published, offered or not; exit 2", async () => {
    const others = REKEY.with(REKEY.indexOf("--new-psk") + 1, at("console-master"));
    const refused = /SN12 has got other new keys with sequence 13 \(.*meter-13.rekeyed\)/;
    const made = await run(...others, "--serials", "SN12..SN13", "--out", at("others"));
    assert.deepEqual([made.code, existsSync(at("others"))], [2, false]);
    assert.match(made.error, refused);
    // signed elsewhere, where there is no such note; not offered any more
    const rows = await testRekeyRows({ identities: devices.slice(11), update, masters: testMasters() });
    writeFileSync(at("others"), rows);
    assert.equal((await run("clear", "--rekey", at("keys"), ...place, "--all")).code, 0);
    const before = await retained();
    const { code, error } = await run(...publish(at("others")));
    assert.equal(code, 2);
    assert.match(error, refused);
    assert.deepEqual(await retained(), before);
    // the same again is the same
    const again = await run(...REKEY, "--serials", "SN01..SN12", "--out", at("again"));
    assert.equal(again.code, 0, again.error);
    assert.deepEqual(readFileSync(at("again")), readFileSync(at("keys")));
  });

  test("R35 no note, and other new keys are offered: exit 2, nothing published", async () => {
    assert.equal((await run(...publish(at("keys")))).code, 0);
    rmSync(at("meter-13.rekeyed"));
    const before = await retained();
    const { code, error } = await run(...publish(at("others")));
    rmSync(at("meter-13.rekeyed"));
    assert.equal(code, 2);
    assert.match(error, /meter\/SN12\/ota offers sequence 13 already, and 13 is not newer/);
    assert.deepEqual(await retained(), before);
  });

  test("key versions of a list; masters of their own, sealed, with passphrases by name", async () => {
    writeFileSync(at("listed"), "v2.meter.A\nv3.meter.B\nC\n");
    const next = testMasters();
    for (const purpose of PURPOSES) {
      const bytes = next[purpose];
      const passphrase = Buffer.from(`${purpose}: clip rust onyx eel mango`);
      writeFileSync(at(`${purpose}-phrase`), passphrase, { mode: 0o600 });
      const contents = { holds: "master", purpose, scheme: "kdf", key: bytes.toString("hex") } as const;
      const sealed = await sealWithPassphrase(contents, passphrase, 10);
      writeFileSync(at(`${purpose}-sealed`), sealed, { mode: 0o600 });
    }
    const { code, error } = await run(
      ...[...REKEY, "--to", "4", "--list", at("listed")],
      ...PURPOSES.flatMap((purpose) => [`--new-${purpose}`, at(`${purpose}-sealed`)]),
      ...PURPOSES.flatMap((purpose) => ["--passphrase-file", `new-${purpose}=${at(`${purpose}-phrase`)}`]),
      ...["--out", at("listed-keys")],
    );
    assert.equal(code, 0, error);
    const file = readManifests(at("listed-keys"), "rekey");
    const identities = ["v2.meter.A", "v3.meter.B", "v1.meter.C"];
    const wanted = await testRekeys({ identities, update, to: 4, masters, next });
    for (let row = 0; row < 3; row++) {
      assert.deepEqual(file.identity(row), wanted.identity(row));
      assert.deepEqual(file.manifest(row), wanted.manifest(row));
    }
  });

  test("R1 the new keys out of a batch, of which each holder of masters has made a part", async () => {
    const { privateKey, publicKey } = await makeFactoryKey();
    const passphrase = Buffer.from("clip rust onyx eel mango tidy");
    const factory = await sealFactoryKey(privateKey, passphrase, 10);
    writeFileSync(at("station"), factory, { mode: 0o600 });
    writeFileSync(at("station-phrase"), passphrase, { mode: 0o600 });
    const next = testMasters();
    const range = { product: "meter", keyVersion: 2, first: "SN01", count: 12 };
    const digests: string[] = [];
    for (const purposes of [["psk"], ["console"], ["ota", "rekey"]] as const) {
      const some = purposes.map((purpose) => masterFromBytes(Buffer.from(next[purpose]), purpose));
      const { bytes, digest } = await makeBatch(range, some, publicKey);
      writeFileSync(at(`${purposes[0]}-part`), bytes, { mode: 0o600 });
      digests.push("--digest", digest);
    }
    const { code, error } = await run(
      ...[...REKEY.slice(0, -4), "--serials", "SN01..SN12", "--out", at("batch-keys")],
      ...["psk", "console", "ota"].flatMap((name) => ["--batch", at(`${name}-part`)]),
      ...digests,
      ...["--factory-key", at("station"), "--passphrase-file", `factory-key=${at("station-phrase")}`],
    );
    assert.equal(code, 0, error);
    const file = readManifests(at("batch-keys"), "rekey");
    const wanted = await testRekeys({ identities: devices, update, masters, next });
    for (let row = 0; row < 12; row++) assert.deepEqual(file.manifest(row), wanted.manifest(row));
  });
});
