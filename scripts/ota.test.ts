// `npm run ota`: its words, its exits, what it prints; and that bad input writes and publishes nothing.
// Leaves out: new keys (ota.rekey.test.ts).
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { NOT_CONFIRMED } from "../firmware/tls/alert";
import { PROJECT } from "./lib/bundle/build";
import { masterFromBytes } from "./lib/custody/master";
import { type Gateway, startGateway } from "./lib/gateway/gateway";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import type { DeviceStatus } from "./lib/ota/fleet";
import { skipWithout } from "./lib/test/peers/install";
import { start as startMosquitto } from "./lib/test/peers/mosquitto";
import { nodeArguments } from "./lib/test/program";
import { testImage } from "./lib/test/update";

const folder = mkdtempSync(join(tmpdir(), "ota-"));
const at = (name: string) => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

const master = randomKey();
const operator = { identity: "operator", key: randomKey() };
writeFileSync(at("master"), master, { mode: 0o600 });
writeFileSync(at("operator"), operator.key, { mode: 0o600 });
writeFileSync(at("image"), testImage(3000));
writeFileSync(at("long"), testImage(32_561));
writeFileSync(at("empty"), "");

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

const BUILD = ["build", "--product", "meter", "--board", "esp32", "--version", "1.2.3", "--sequence", "12"];

before(async () => {
  assert.equal((await run(...BUILD, "--image", at("image"), "--heatshrink", "--out", at("update"))).code, 0);
  const sign = ["sign", "--update", at("update"), "--master", at("master"), "--serials", "SN01..SN12"];
  const { code, output } = await run(...sign, "--out", at("manifests"), "--json");
  assert.equal(code, 0);
  assert.equal(JSON.parse(output).rows, 12);
  assert.ok(JSON.parse(output).perSecond > 0);
});

describe("bad input: a sentence, exit 2, nothing written", { concurrency: 2 }, () => {
  const build = (...args: string[]) => [...BUILD, "--image", at("image"), "--out", at("refused"), ...args];
  const sign = (...args: string[]) => [
    ...["sign", "--update", at("update"), "--master", at("master"), "--out", at("refused")],
    ...args,
  ];
  const publish = (...args: string[]) => [
    ...["publish", "--update", at("update"), "--manifests", at("manifests"), ...args],
  ];
  writeFileSync(at("twice"), "SN1\n# a comment\nSN2\nSN1\n");
  const cases: [title: string, args: string[], sentence: RegExp][] = [
    ["no word", [], /which COMMAND/],
    ["another word", ["give"], /none of build, sign, rekey, publish/],
    ["an option missing", ["build"], /--product NAME is missing/],
    ["sequence 0", build("--sequence", "0"), /not a whole number from 1/],
    ["an image too long", build("--image", at("long")), /32561 bytes, and an image has 1 to 32560/],
    ["an empty image", build("--image", at("empty")), /0 bytes/],
    ["no image", build("--image", at("nowhere")), /there is no such file/],
    ["a long product", build("--product", "seventeen_letters"), /1 to 16 printable/],
    ["a long version", build("--version", "a-version-too-long"), /1 to 16 printable/],
    ["a version that is not ASCII", build("--version", "1.0–2"), /1 to 16 printable/],
    ["an unknown board", build("--board", "abacus"), /none of/],
    ["a file that is there", build("--out", at("image")), /is not written over/],
    ["no devices", sign(), /no devices/],
    ["a serial of 30", sign("--serials", "A-SERIAL-OF-30-CHARACTERS-0000"), /a manifest holds 29/],
    ["a serial twice", sign("--list", at("twice")), /SN1 is named twice/],
    ["another product's device", sign("--list", at("other-product")), /another product/],
    ["no update", sign("--update", at("image"), "--serials", "SN1"), /no whole update/],
    [
      "an unknown scheme",
      sign("--master", at("operator"), "--serials", "SN1", "--scheme", "none"),
      /none of/,
    ],
    ["plain MQTT over the network", publish("--broker", "192.0.2.1:1883"), /not this machine/],
    ["half a key", publish("--psk-identity", "operator"), /belong together/],
    ["no port", publish("--broker", "localhost"), /HOST:PORT/],
  ];
  writeFileSync(at("other-product"), "v1.valve.SN1\n");
  for (const [title, args, sentence] of cases) {
    test(title, async () => {
      const { code, output, error } = await run(...args);
      assert.equal(code, 2, output + error);
      assert.match(error, sentence);
      assert.ok(!readdirSync(folder).some((name) => name.includes("refused")));
    });
  }

  test("manifests of another update", async () => {
    assert.equal((await run(...BUILD, "--image", at("image"), "--out", at("plain"))).code, 0);
    const { code, error } = await run(...publish("--update", at("plain")));
    assert.equal(code, 2);
    assert.match(error, /signed for another update/);
  });
});

const NAMESPACE = ["-rm"]; // mounts of its own
const hasTmpfs = spawnSync("unshare", [...NAMESPACE, "mount", "-t", "tmpfs", "none", folder]).status === 0;
describe("R29 a full disk: a sentence, and no file left", {
  skip: !hasTmpfs && "no tmpfs can be mounted here",
}, () => {
  mkdirSync(at("small"));
  writeFileSync(at("large"), testImage(12_000));
  for (const args of [
    [...BUILD, "--image", at("large")],
    ["sign", "--update", at("update"), "--master", at("master"), "--serials", "SN0001..SN1000"],
  ]) {
    test(args[0], () => {
      const command = [process.execPath, ...nodeArguments("scripts/ota.ts", ...args)];
      const script = `mount -t tmpfs -o size=4k none ${at("small")} && "$@"; code=$?; ls -A ${at("small")}; exit $code`;
      const { status, stdout, stderr } = spawnSync(
        "unshare",
        [...NAMESPACE, "sh", "-c", script, "sh", ...command, "--out", at("small/out")],
        { cwd: PROJECT, encoding: "utf8" },
      );
      assert.ok(status === 1 || status === 2, stderr);
      assert.match(stderr, /^ota: cannot write .*small\/out: the disk is full; nothing was written\.$/m);
      assert.equal(stdout, "");
    });
  }
});

test("R39 a rollout's file that somebody else wrote is shown, not obeyed", async () => {
  const evil = "1\x1b[2J\u009b2J";
  const plan = { product: "meter", sequence: 7, version: evil, digest: "", stopAt: 5, waitMinutes: 1 };
  const lines = [
    { rollout: 1, ...plan, rings: [[`SN1${evil}`]] },
    { at: "2026-01-01T00:00:00Z", serial: `SN1${evil}`, result: "silent" },
    { at: "2026-01-01T00:00:00Z", stopped: evil },
  ];
  writeFileSync(at("evil"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  for (const more of [[], ["--json"]]) {
    const { code, output } = await run("status", "--state", at("evil"), ...more);
    assert.equal(code, 0);
    assert.match(output, /1\\u001b\[2J\\u009b2J/);
    assert.doesNotMatch(output, /[\x1b\x80-\x9f]/);
  }
});

test("R25 neither files nor outputs hold a key", async () => {
  const device = deriveDeviceKey(master, parseIdentity("v1.meter.SN01"), "kdf", "ota");
  for (const name of ["update", "manifests"]) {
    const bytes = readFileSync(at(name));
    for (const key of [master, device]) {
      assert.equal(bytes.indexOf(key), -1);
      assert.equal(bytes.indexOf(key.toString("hex")), -1);
    }
  }
});

describe("publish", () => {
  const args = ["publish", "--update", at("update"), "--manifests", at("manifests"), "--json"];

  test("to Mosquitto over TLS-PSK, and again", { skip: skipWithout("mosquitto") }, async (t) => {
    const peer = await startMosquitto(operator);
    t.after(() => peer.stop());
    const place = ["--broker", `127.0.0.1:${peer.port}`, "--psk-identity", operator.identity];
    const first = await run(...args, ...place, "--psk-file", at("operator"));
    assert.equal(first.code, 0, first.error);
    const all = { pieces: { written: 6, found: 0 }, manifests: { written: 12, found: 0 } };
    assert.deepEqual(JSON.parse(first.output), all);
    const second = await run(...args, ...place, "--psk-file", at("operator"));
    assert.deepEqual(JSON.parse(second.output), {
      pieces: { written: 0, found: 6 },
      manifests: { written: 0, found: 12 },
    });
  });

  test("to the gateway, where a later sequence is offered already: exit 2, nothing published", async (t) => {
    const gateway: Gateway = await startGateway({ master: masterFromBytes(randomKey()), operatorPort: 0 });
    t.after(() => gateway.close());
    const place = ["--broker", `127.0.0.1:${gateway.operatorPort}`];
    assert.equal((await run(...args, ...place)).code, 0);
    const older = BUILD.with(-1, "11");
    assert.equal((await run(...older, "--image", at("image"), "--out", at("older"))).code, 0);
    const sign = ["sign", "--update", at("older"), "--master", at("master"), "--serials", "SN12..SN13"];
    assert.equal((await run(...sign, "--out", at("older-manifests"))).code, 0);
    const { code, error } = await run(
      ...["publish", "--update", at("older"), "--manifests", at("older-manifests"), ...place],
    );
    assert.equal(code, 2);
    assert.match(error, /meter\/SN12\/ota offers sequence 12 already, and 11 is not newer/);
  });
});

describe("rollout, status, stop", () => {
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
  const say = (serial: string, line: object) =>
    telemetry.publishAsync(`meter/${serial}/up/status`, JSON.stringify(line), { qos: 1 });
  const rollout = (...more: string[]) => [
    ...["rollout", "--update", at("update"), "--manifests", at("manifests"), "--state", at("state")],
    ...[...place, "--rings", "10,100", ...more],
  ];
  const serials = Array.from({ length: 12 }, (_, i) => `SN${String(i + 1).padStart(2, "0")}`);

  for (const [title, more, sentence] of [
    ["shares that do not rise", ["--rings", "10,5,100"], /must rise and end with 100/],
    ["shares that are none", ["--rings", "a few"], /no list of percents/],
    ["a ring with a stranger", ["--ring", "stranger"], /SNX of a ring has no manifest/],
    ["a limit that is none", ["--stop-at", "101"], /from 0 to 100/],
    ["no broker's port", ["--broker", "127.0.0.1:0"], /is not a port/],
  ] as const) {
    test(`${title}: a sentence, exit 2, no state`, async () => {
      writeFileSync(at("stranger"), "SNX\n");
      const { code, error } = await run(
        ...rollout(...more.map((each) => (each === "stranger" ? at(each) : each))),
      );
      assert.equal(code, 2, error);
      assert.match(error, sentence);
      assert.ok(!readdirSync(folder).includes("state"));
    });
  }

  test("a rollout to its end; its state; the same again with other rings is refused", async () => {
    const telling = setInterval(() => {
      for (const serial of serials) void say(serial, { up: 1, mem: 300, err: 0, seq: 12, rev: 0 });
    }, 200);
    const { code, output, error } = await run(...rollout()).finally(() => clearInterval(telling));
    assert.equal(code, 0, error);
    assert.match(output, /^ring 1: 2 devices$/m);
    assert.match(output, /^ring 2: 10 confirmed, 0 failed, 0 silent$/m);
    const status = await run("status", "--state", at("state"), "--json");
    const { done, rings } = JSON.parse(status.output);
    assert.equal(done, true);
    assert.deepEqual(
      rings.map(({ devices, confirmed }: { devices: number; confirmed: number }) => [devices, confirmed]),
      [
        [2, 2],
        [10, 10],
      ],
    );
    const other = await run(...rollout("--rings", "50,100"));
    assert.equal(other.code, 2);
    assert.match(other.error, /other devices, rings or limits/);
    assert.equal((await run("stop", "--state", at("state"), ...place)).code, 2);
  });

  test("a rollout that fails: exit 1 with the reason, and it stays stopped", async () => {
    const args = rollout().map((arg) => (arg === at("state") ? at("failing") : arg));
    const telling = setInterval(() => {
      for (const serial of serials) void say(serial, { up: 0, err: 0, seq: 11, rev: NOT_CONFIRMED });
    }, 200);
    const { code, error } = await run(...args).finally(() => clearInterval(telling));
    assert.equal(code, 1);
    assert.match(error, /[12] failed of 2 devices of ring 1, more than 5 %: the rollout is stopped/);
    assert.match(error, new RegExp(`x E${NOT_CONFIRMED}: The new image was started as often`));
    const again = await run(...args);
    assert.equal(again.code, 1);
    assert.match(again.error, /is stopped/);
    const status = await run("status", "--state", at("failing"));
    assert.match(status.output, /^ +1 +2 +stopped +0 +[12] +0 +[01]$/m);
  });

  test("who runs what", async () => {
    const telling = setInterval(() => {
      void say("SN01", { up: 90, mem: 300, err: 0, seq: 12, rev: 0 });
      void say("SN02", { up: 8, mem: 300, err: 0, seq: 11, rev: NOT_CONFIRMED });
    }, 200);
    const args = ["status", "--product", "meter", "--seconds", "2", ...place];
    const [table, machine] = await Promise.all([run(...args), run(...args, "--json")]).finally(() =>
      clearInterval(telling),
    );
    assert.match(table.output, /^SN01 +\? +12 +90 +- +- +-$/m);
    assert.match(table.output, new RegExp(`^SN02 +\\? +11 +8 +- +E${NOT_CONFIRMED} +-$`, "m"));
    assert.deepEqual(
      JSON.parse(machine.output).map(({ serial, sequence }: DeviceStatus) => [serial, sequence]),
      [
        ["SN01", 12],
        ["SN02", 11],
      ],
    );
  });
});
