// What is quickly looked at comes first, in every command: before a build, before a passphrase, before a board is asked. Each command
// of the table gets one thing wrong, and has a master that needs a passphrase where it takes one; nobody is there to type it, so that a
// command that asked would say so. Commands that do neither are not in the table: derive, explain, size, simulate, farm, ledger.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeFactoryKey, sealWithPassphrase } from "./lib/custody/sealed_file";
import { PURPOSES } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { updateFile } from "./lib/ota/update_file";
import { BOARD } from "./lib/test/bench";
import { freePort } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";
import { run } from "./lib/test/psk_client";
import { testImage, testUpdate } from "./lib/test/update";

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
  writeFileSync(at("factory.pub"), `${(await makeFactoryKey()).publicKey}\n`);
  writeFileSync(at("update"), updateFile(testUpdate()));
  writeFileSync(at("image"), testImage(2700));
  writeFileSync(at("file"), "");
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
const nowhere = () => at("nowhere", "x");
const below = () => at("file", "x");
const masters = () => PURPOSES.flatMap((purpose) => ["--master", `${purpose}=${at(purpose)}`]);
const bench = (...more: string[]) => [
  ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", ...masters(), ...more],
];
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
  "flash: the port": () => ["flash", ["--board", BOARD, "--port", "/dev/nowhere"], NO_PORT, 1],
  "flash: the bundle": () => [
    "flash",
    ["--board", BOARD, "--port", `tcp://127.0.0.1:${taken}`, "--bundle", nowhere()],
    /there is no bundle/,
  ],
  "image: the folder": () => ["image", ["--board", BOARD, "--out", below()], /cannot make the folder/],
  "console: the port": () => ["console", ["--port", "/dev/nowhere", "--master", at("console")], NO_PORT, 1],
  "console: the page's port": () => ["console", ["--page", taken], TAKEN],
  "setup: the port": () => ["setup", ["--port", "/dev/nowhere", "--server", "127.0.0.1:8883"], /nowhere/, 1],
  "doctor: the port": () => ["doctor", ["--port", "/dev/nowhere"], NO_PORT, 1],
  "doctor: the report's folder": () => [
    "doctor",
    ["--port", "/dev/nowhere", "--drivers", "--report", nowhere()],
    NO_FOLDER,
  ],
  "gateway: its port": () => ["gateway", ["--master", at("psk"), "--listen", `127.0.0.1:${taken}`], TAKEN],
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
  "keys new: the folder": () => ["keys", ["new", "--out", below()], BELOW_FILE],
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
  "label: the folder": () => ["label", [...serials, "--out", below()], BELOW_FILE],
  "label: the sheet's folder": () => ["label", [...serials, "--sheet", nowhere()], NO_FOLDER],
  "unlock: the challenge": () => [
    "unlock",
    ["--master", at("console"), "--challenge", "UNLOCK me"],
    /challenge/i,
  ],
  "push: the device": () => ["push", ["SN1", "--keys", at("nobody")], /there is no key folder/],
};

for (const [name, command] of Object.entries(COMMANDS))
  test(name, async () => {
    const [script, args, sentence, code = 2] = command();
    const done = await run(process.execPath, nodeArguments(`scripts/${script}.ts`, ...args));
    assert.match(done.output, sentence);
    assert.equal(done.code, code, done.output);
    assert.doesNotMatch(done.output, /passphrase|making the image|building|\n\s+at /i);
  });
