// What is quickly looked at comes first, in every command: before a build, before a passphrase, before a board is asked. Each command
// of the table gets one thing wrong, and has a master that needs a passphrase where it takes one; nobody is there to type it, so that a
// command that asked would say so; and its bundles are counted, of which none may be begun (lib/test/build_count.cjs). Commands that do
// neither are not in the table: explain, ledger, sheet, console-page.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { masterFromBytes } from "./lib/custody/master";
import { makeFactoryKey, sealFactoryKey, sealWithPassphrase } from "./lib/custody/sealed_file";
import { writeSecret } from "./lib/files/private_file";
import { rememberDevice } from "./lib/home/devices";
import { parseIdentity } from "./lib/keys/identity";
import { PURPOSES } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { RolloutState } from "./lib/ota/rollout_state";
import { signRows } from "./lib/ota/sign";
import { updateFile } from "./lib/ota/update_file";
import { PROJECT } from "./lib/project";
import { BOARD } from "./lib/test/bench";
import { freePort } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";
import { run } from "./lib/test/psk_client";
import { testImage, testMasters, testRekeyRows, testUpdate } from "./lib/test/update";

const folder = mkdtempSync(join(tmpdir(), "cheap-"));
const at = (...names: string[]) => join(folder, ...names);
let server: Server;
let taken: string;
let free: number;
before(async () => {
  for (const purpose of PURPOSES) {
    const contents = { holds: "master", purpose, scheme: "kdf", key: randomKey().toString("hex") } as const;
    writeFileSync(at(purpose), await sealWithPassphrase(contents, Buffer.from("grape lunar oxide 7"), 10), {
      mode: 0o600,
    });
  }
  const factory = await makeFactoryKey();
  writeFileSync(at("factory.pub"), `${factory.publicKey}\n`);
  writeFileSync(
    at("factory"),
    await sealFactoryKey(factory.privateKey, Buffer.from("grape lunar oxide 7"), 10),
  );
  const update = testUpdate();
  writeFileSync(at("update"), updateFile(update));
  mkdirSync(at("noted"));
  writeFileSync(at("noted", "update"), updateFile(update));
  writeFileSync(at("noted", "meter-7.rekeyed"), "{}");
  const signer = masterFromBytes(randomKey(), "ota");
  writeFileSync(
    at("manifests"),
    Buffer.concat([...signRows(update, [parseIdentity("v1.meter.SN1")], signer)]),
  );
  writeFileSync(at("rekeys"), await testRekeyRows({ identities: ["v1.meter.SN1"], update }));
  const plan = { product: "meter", sequence: 7, version: "1", digest: "", stopAt: 5, waitMinutes: 1 };
  RolloutState.create(at("state"), { ...plan, rings: [["SN1"]] }).close();
  writeFileSync(at("image"), testImage(2700));
  writeFileSync(at("file"), "");
  mkdirSync(at("farm"));
  writeFileSync(at("farm", "board-1.flash"), "");
  // a key folder with one device
  mkdirSync(at("home"), { mode: 0o700 });
  for (const [purpose, key] of Object.entries(testMasters())) writeSecret(at("home", purpose), key);
  rememberDevice(at("home"), "SN1", { identity: "v1.demo.SN1", board: BOARD });
  server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  free = await freePort();
  taken = String((server.address() as AddressInfo).port);
});
after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const TAKEN = /cannot listen on 127\.0\.0\.1:\d+: another program listens there already/;
const NO_FOLDER = /cannot write .*nowhere.*: there is no such file or folder/;
const NO_PORT = /there is no such port/;
const BELOW_FILE = /cannot make the folder .*: part of its path is a file/;
const NO_FILE = /nowhere.*: there is no such file/;
const NO_MODULE = /the PKCS#11 module \/nowhere\.so cannot be used/;
const NOBODY = /nothing listens there/;
const TOKEN = "pkcs11:token=Keys;object=psk?module-path=/nowhere.so";
const nowhere = () => at("nowhere", "x");
const below = () => at("file", "x");
const masters = () => PURPOSES.flatMap((purpose) => ["--master", `${purpose}=${at(purpose)}`]);
const bench = (...more: string[]) => [
  ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", ...masters(), ...more],
];
const rekey = (...more: string[]) => [
  ...["rekey", "--update", at("update"), "--serials", "SN1..SN3", "--to", "2"],
  ...["--ota", at("ota"), "--rekey", at("rekey"), "--new-psk", at("psk"), "--new-console", at("console")],
  ...more,
];
const signed = () => ["--update", at("update"), "--manifests", at("manifests")];
const broker = () => ["--broker", `127.0.0.1:${free}`];
const operator = () => [...broker(), "--psk-identity", "operator", "--psk-file", nowhere()];
const serials = ["--product", "meter", "--serials", "SN1..SN9"];

/** A script of scripts/, what it is given, and what it says. */
const COMMANDS: Record<string, () => [script: string, args: string[], sentence: RegExp, code?: number]> = {
  "bench: the page's port": () => ["bench", bench("--ledger", at("l.sqlite"), "--page", taken), TAKEN],
  "bench: the ledger's folder": () => ["bench", bench("--ledger", nowhere(), "--labels", folder), NO_FOLDER],
  "bench: the labels' folder": () => [
    "bench",
    bench("--ledger", at("l.sqlite"), "--labels", below()),
    BELOW_FILE,
  ],
  "bench: a ledger that is none": () => [
    "bench",
    bench("--ledger", at("update")),
    /cannot be opened as a ledger/,
  ],
  "bench: a passphrase's file": () => [
    "bench",
    bench("--ledger", at("l.sqlite"), "--passphrase-file", `rekey=${nowhere()}`),
    NO_FILE,
  ],
  "bench: the last master": () => [
    "bench",
    [...bench().slice(0, -1), `rekey=${nowhere()}`, "--ledger", at("l.sqlite")],
    NO_FILE,
  ],
  "bench: a master that is not given": () => [
    "bench",
    [...bench().slice(0, -2), "--ledger", at("l.sqlite")],
    /all four masters; missing: rekey/,
  ],
  "bench: the factory's key": () => [
    "bench",
    [
      ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", "--ledger", at("l.sqlite")],
      ...["--batch", at("update"), "--digest", "0".repeat(32), "--factory-key", nowhere()],
    ],
    NO_FILE,
  ],
  "flash: the port": () => ["flash", ["--board", BOARD, "--port", "/dev/nowhere"], NO_PORT, 1],
  "flash: the bundle": () => [
    "flash",
    ["--board", BOARD, "--port", `tcp://127.0.0.1:${taken}`, "--bundle", nowhere()],
    /there is no bundle/,
  ],
  "image: the folder": () => ["image", ["--board", BOARD, "--out", below()], /cannot make the folder/],
  "console: the port": () => ["console", ["--port", "/dev/nowhere", "--master", at("console")], NO_PORT, 1],
  "console: the master": () => ["console", ["--port", at("file"), "--master", nowhere()], NO_FILE],
  "console: the passphrase's file": () => [
    "console",
    ["--port", at("file"), "--master", at("console"), "--passphrase-file", nowhere()],
    NO_FILE,
  ],
  "console: the page's port": () => ["console", ["--page", taken], TAKEN],
  "setup: the port": () => ["setup", ["--port", "/dev/nowhere", "--server", "127.0.0.1:8883"], /nowhere/, 1],
  "doctor: the port": () => ["doctor", ["--port", "/dev/nowhere"], NO_PORT, 1],
  "doctor: the report's folder": () => [
    "doctor",
    ["--port", "/dev/nowhere", "--drivers", "--report", nowhere()],
    NO_FOLDER,
  ],
  "gateway: its port": () => ["gateway", ["--master", at("psk"), "--listen", `127.0.0.1:${taken}`], TAKEN],
  "gateway: the port of AKEP2": () => [
    "gateway",
    ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--akep2-port", taken],
    TAKEN,
  ],
  "gateway: the operators' port": () => [
    "gateway",
    ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--operator-port", taken],
    TAKEN,
  ],
  "gateway: the metrics' port": () => [
    "gateway",
    ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--metrics-port", taken],
    TAKEN,
  ],
  "gateway: the store's folder": () => [
    "gateway",
    ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--store", nowhere()],
    NO_FOLDER,
  ],
  "gateway: the credentials": () => [
    "gateway",
    ["--master", at("psk"), "--upstream", "mqtt://127.0.0.1", "--upstream-credentials", nowhere()],
    /nowhere.*there is no such file/,
  ],
  "gateway: the list": () => [
    "gateway",
    ["--master", at("psk"), "--list", nowhere()],
    /cannot read the list/,
  ],
  "gateway: the passphrase's file": () => [
    "gateway",
    ["--master", at("psk"), "--listen", `127.0.0.1:${free}`, "--passphrase-file", nowhere()],
    NO_FILE,
  ],
  "tunnel: its port": () => [
    "tunnel",
    [
      ...[
        "--master",
        at("psk"),
        "--devices",
        at("file"),
        "--counters",
        at("counters"),
        "--to",
        "127.0.0.1:9",
      ],
      ...["--listen", `127.0.0.1:${taken}`],
    ],
    TAKEN,
  ],
  "tunnel: the numbers' folder": () => [
    "tunnel",
    ["--master", at("psk"), "--devices", at("file"), "--counters", nowhere(), "--to", "127.0.0.1:9"],
    NO_FOLDER,
  ],
  "tunnel: the list": () => [
    "tunnel",
    [
      ...["--master", at("psk"), "--devices", nowhere(), "--counters", at("counters"), "--to", "127.0.0.1:9"],
      ...["--listen", `127.0.0.1:${free}`],
    ],
    /cannot read the list/,
  ],
  "tickets: the pairs": () => [
    "tickets",
    ["--master", at("psk"), "--pairs", nowhere()],
    /cannot read the list/,
  ],
  "tickets: the broker's key": () => [
    "tickets",
    ["--master", at("psk"), "--psk-identity", "us", "--psk-file", nowhere()],
    NO_FILE,
  ],
  "keys new: the folder": () => ["keys", ["new", "--out", below()], BELOW_FILE],
  "keys new: a token's module": () => [
    "keys",
    ["new", "--out", at("new"), "--token", `psk=${TOKEN}`],
    NO_MODULE,
  ],
  "keys generate: the token's module": () => [
    "keys",
    ["generate", "--purpose", "psk", "--token", TOKEN],
    NO_MODULE,
  ],
  "keys import: the token's module": () => [
    "keys",
    ["import", "--master", at("psk"), "--token", TOKEN],
    NO_MODULE,
  ],
  "keys batch: the last master": () => [
    "keys",
    [
      ...["batch", "--master", `psk=${at("psk")}`, "--master", `console=${nowhere()}`, "--product", "meter"],
      ...["--first", "SN1", "--count", "2", "--for", at("factory.pub"), "--out", at("batch")],
    ],
    NO_FILE,
  ],
  "keys factory-key: the folder": () => ["keys", ["factory-key", "--out", below()], BELOW_FILE],
  "keys import: the folder": () => [
    "keys",
    ["import", "--master", at("psk"), "--purpose", "psk", "--out", nowhere()],
    NO_FOLDER,
  ],
  "keys batch: the folder": () => [
    "keys",
    [
      ...["batch", ...masters(), "--product", "meter", "--first", "SN1", "--count", "2"],
      ...["--for", at("factory.pub"), "--out", nowhere()],
    ],
    NO_FOLDER,
  ],
  "keys export: the folder": () => [
    "keys",
    ["export", "--master", at("psk"), "--format", "stunnel", ...serials, "--out", nowhere()],
    NO_FOLDER,
  ],
  "ota build: the folder": () => [
    "ota",
    [
      ...["build", "--product", "meter", "--board", BOARD, "--image", at("image")],
      ...["--version", "1", "--sequence", "7", "--out", nowhere()],
    ],
    NO_FOLDER,
  ],
  "ota sign: the folder": () => [
    "ota",
    ["sign", "--update", at("update"), "--master", at("ota"), "--serials", "SN1..SN9", "--out", nowhere()],
    NO_FOLDER,
  ],
  "ota rekey: the folder": () => ["ota", rekey("--out", nowhere()), NO_FOLDER],
  "ota rekey: the last master": () => ["ota", rekey("--out", at("keys"), "--new-ota", nowhere()), NO_FILE],
  "ota rekey: a passphrase's file": () => [
    "ota",
    rekey("--out", at("keys"), "--passphrase-file", `new-console=${nowhere()}`),
    NO_FILE,
  ],
  "ota rekey: the key version": () => [
    "ota",
    rekey("--out", at("keys"), "--key-version", "2"),
    /v2\.meter\.SN1 has key version 2 and 2 is not greater/,
  ],
  "ota rekey: the note": () => [
    "ota",
    [...rekey("--out", at("keys")), "--update", at("noted", "update")],
    /is no note of this update's new keys/,
  ],
  "ota rekey: the factory's key": () => [
    "ota",
    [
      ...["rekey", "--update", at("update"), "--serials", "SN1", "--to", "2", "--out", at("keys")],
      ...["--ota", at("ota"), "--rekey", at("rekey"), "--batch", at("update"), "--digest", "0".repeat(32)],
      ...["--factory-key", nowhere()],
    ],
    NO_FILE,
  ],
  "ota rekey: the batch": () => [
    "ota",
    [
      ...["rekey", "--update", at("update"), "--serials", "SN1", "--to", "2", "--out", at("keys")],
      ...["--ota", at("ota"), "--rekey", at("rekey"), "--batch", nowhere(), "--digest", "0".repeat(32)],
      ...["--factory-key", at("factory")],
    ],
    NO_FILE,
  ],
  "ota publish: the manifests": () => [
    "ota",
    ["publish", "--update", at("update"), "--manifests", nowhere()],
    NO_FILE,
  ],
  "ota publish: the broker": () => ["ota", ["publish", ...signed(), ...broker()], NOBODY, 1],
  "ota publish: the operator's key": () => ["ota", ["publish", ...signed(), ...operator()], NO_FILE],
  "ota rollout: the state's folder": () => ["ota", ["rollout", ...signed(), "--state", nowhere()], NO_FOLDER],
  "ota rollout: the broker": () => [
    "ota",
    ["rollout", ...signed(), "--state", at("never"), ...broker()],
    NOBODY,
    1,
  ],
  "ota rollout: the operator's key": () => [
    "ota",
    ["rollout", ...signed(), "--state", at("never"), ...operator()],
    NO_FILE,
  ],
  "ota rollout: a ring's list": () => [
    "ota",
    ["rollout", ...signed(), "--state", at("never"), "--ring", nowhere()],
    /cannot read the list .*: there is no such file/,
  ],
  "ota clear: the manifests": () => ["ota", ["clear", "--rekey", nowhere()], NO_FILE],
  "ota clear: the broker": () => ["ota", ["clear", "--rekey", at("rekeys"), ...broker()], NOBODY, 1],
  "ota status: the broker": () => ["ota", ["status", "--product", "meter", ...broker()], NOBODY, 1],
  "ota stop: the state": () => ["ota", ["stop", "--state", nowhere()], /there is no rollout/],
  "ota stop: the broker": () => ["ota", ["stop", "--state", at("state"), ...broker()], NOBODY, 1],
  "label: the folder": () => ["label", [...serials, "--out", below()], BELOW_FILE],
  "label: the sheet's folder": () => ["label", [...serials, "--sheet", nowhere()], NO_FOLDER],
  "unlock: the challenge": () => [
    "unlock",
    ["--master", at("console"), "--challenge", "UNLOCK me"],
    /challenge/i,
  ],
  "setup: the serial": () => [
    "setup",
    [...["--port", at("file"), "--ssid", "home", "--server", "127.0.0.1:8883"], "--serial", "SN 1"],
    /the identity "v1\.demo\.SN 1" is not/,
  ],
  "setup: the password's file": () => [
    "setup",
    [
      ...["--port", at("file"), "--ssid", "home", "--server", "127.0.0.1:8883"],
      ...["--passphrase-file", `wifi=${nowhere()}`],
    ],
    NO_FILE,
  ],
  "setup: the key folder": () => [
    "setup",
    ["--port", at("file"), "--ssid", "home", "--server", "127.0.0.1:8883", "--keys", below()],
    BELOW_FILE,
  ],
  "push: the key folder": () => ["push", ["SN1", "--keys", at("nobody")], /there is no key folder/],
  "push: the device": () => ["push", ["SN2", "--keys", at("home")], /knows no device "SN2"; it knows SN1\./],
  "push: the product": () => [
    "push",
    ["SN1", "--keys", at("home"), "--product", nowhere()],
    /there is no product/,
  ],
  "push: the broker": () => [
    "push",
    ["SN1", "--keys", at("home"), "--product", "valve", "--broker", `127.0.0.1:${free}`],
    /nothing listens there/,
    1,
  ],
  "start: the key": () => ["start", ["--key-file", nowhere()], /there is no such file/],
  "start: the master": () => ["start", ["--master", nowhere()], /there is no such file/],
  "start: a value": () => ["start", ["--set", "requireEncryptThenMac=maybe"], /none of true, false/],
  "start: the product": () => ["start", ["--product", nowhere()], /there is no product/],
  "start: the product and the key": () => [
    "start",
    ["--product", "valve", "--key-file", nowhere()],
    /--product has a gateway, keys and images of its own/,
  ],
  "simulate: the bundle": () => ["simulate", ["--bundle", nowhere()], /there is no bundle/],
  "simulate: the device": () => ["simulate", ["--bundle", at("file"), "--device", nowhere()], /there is no/],
  "farm: the folder": () => ["farm", ["--folder", below()], BELOW_FILE],
  "farm: a folder where none can be": () => ["farm", ["--folder", "/proc/farm"], /cannot make the folder/],
  "farm: another board's flash": () => [
    "farm",
    ["--boards", "1", "--folder", at("farm")],
    /board-1\.flash has 0 bytes, .* it is another board's/,
  ],
  "product new: the folder": () => ["product", ["new", below()], BELOW_FILE],
  "product new: a file": () => ["product", ["new", at("file")], BELOW_FILE],
  "product new: what is there": () => ["product", ["new", at("farm")], /is there already, and not empty/],
  "product check: the product": () => ["product", ["check", nowhere()], /there is no product/],
  "product check: the board": () => ["product", ["check", "valve", "--board", "x"], /"x" is none of/],
  "product test: the folder": () => ["product", ["test", folder], /there is no test in/],
  "discovery: the product": () => ["discovery", ["--product", "nobody", "--serials", "SN1"], /no product/],
  "discovery: the list": () => [
    "discovery",
    ["--product", "climate", "--list", nowhere()],
    /cannot read the list .*: there is no such file/,
  ],
  "discovery: the broker": () => [
    "discovery",
    ["--product", "climate", "--serials", "SN1", "--broker", `127.0.0.1:${free}`],
    /nothing listens there/,
    1,
  ],
  "module: the board": () => ["module", ["--board", "x"], /"x" is none of esp32, /],
  "image: the board": () => ["image", [], /--board is missing/],
  "derive: the folder": () => ["derive", ["--out", below()], BELOW_FILE],
  "size: the board": () => ["size", ["--board", "x"], /"x" is none of esp32, /],
};

const COUNT = join(PROJECT, "scripts/lib/test/build_count.cjs");
const counted = (script: string, args: string[]) =>
  run(process.execPath, ["--require", COUNT, ...nodeArguments(`scripts/${script}.ts`, ...args)]);

for (const [name, command] of Object.entries(COMMANDS))
  test(name, async () => {
    const [script, args, sentence, code = 2] = command();
    const done = await counted(script, args);
    assert.match(done.output, sentence);
    assert.equal(done.code, code, done.output);
    assert.doesNotMatch(done.output, /passphrase|password of|making the|building|\n\s+at /i);
    assert.match(done.output, /^bundles asked for: 0$/m);
    assert.ok(!existsSync(at("never")), "nothing is begun");
  });

test("what is counted are bundles", async () => {
  assert.match(
    (await counted("image", ["--board", BOARD, "--out", at("made")])).output,
    /^bundles asked for: [1-9]/m,
  );
});
