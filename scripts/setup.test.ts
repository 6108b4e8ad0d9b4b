// One board at home, from a bare Espruino to a session with one's own keys; again, cut, somebody else's, erased.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { board as esp32 } from "../boards/esp32-sim";
import { benchSettings } from "./lib/bench/settings_file";
import { hasHome, homeMaster, openHome } from "./lib/home/home";
import { homeMasterOf } from "./lib/home/known";
import { versionOf } from "./lib/home/push_command";
import { wifiFault } from "./lib/home/wifi";
import { PURPOSES } from "./lib/keys/kdf";
import { PROJECT } from "./lib/project";
import { SimulatedBoard } from "./lib/simulate/simulated_board";
import { freePort } from "./lib/test/peers/process";

const FAST = 10_000_000; // bits per second
const folder = mkdtempSync(join(tmpdir(), "setup-"));
const inFolder = (name: string) => join(folder, name);
const started: SimulatedBoard[] = [];
after(async () => {
  await Promise.all(started.map((board) => board.unplug()));
  rmSync(folder, { recursive: true, force: true });
});

async function blank(network: { failures?: number } = {}): Promise<[string, SimulatedBoard]> {
  const board = new SimulatedBoard({
    board: esp32,
    chip: `chip-${started.length}`,
    lineRate: FAST,
    machine: { network: Object.assign(network, { up: false }) },
  });
  started.push(board);
  return [await board.start(), board];
}

const setup = (...argv: string[]) => tool("setup", argv);
const push = (...argv: string[]) => tool("push", argv);

function tool(name: string, argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) =>
    execFile(
      process.execPath,
      ["--import", "tsx", `scripts/${name}.ts`, ...argv],
      { cwd: PROJECT },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    ),
  );
}

/** Whether something takes connections at HOST:PORT. */
function isOpen(server: string): Promise<boolean> {
  const [host, port] = server.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host, () => resolve(true));
    socket.on("error", () => resolve(false)).on("close", () => socket.destroy());
  });
}

const PASSWORD = ` ${"p".repeat(61)} `;
writeFileSync(inFolder("password"), PASSWORD, { mode: 0o600 });
const common = (keys: string) => [
  ...["--keys", inFolder(keys), "--ssid", "home", "--passphrase-file", inFolder("password")],
];

test("a board at home: set up, set up again, in a session with its own keys, foreign to another folder, erased", async () => {
  const [port, board] = await blank();
  // the server is not there yet
  const args = ["--port", port, ...common("keys"), "--server", "127.0.0.1:1"];
  const first = await setup(...args);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /Your keys are new/);
  assert.match(first.stdout, /nothing listens at 127\.0\.0\.1:1 yet/);
  assert.match(first.stdout, /v1\.demo\.SN0000001: done/);
  const settings = benchSettings(board.machine.read("conf") as string);
  assert.deepEqual([settings.ssid, settings.pass], ["home", PASSWORD], "a password keeps its spaces");
  assert.ok(!(first.stdout + first.stderr).includes(PASSWORD.trim()), "and is shown nowhere");

  const flash = Buffer.from(board.machine.flash.bytes.subarray(0, esp32.storageLength));
  const again = await setup(...args, "--json");
  assert.deepEqual(
    [again.code, JSON.parse(again.stdout).wasDone, JSON.parse(again.stdout).identity],
    [0, true, "v1.demo.SN0000001"],
  );
  assert.ok(flash.equals(board.machine.flash.bytes.subarray(0, esp32.storageLength)), "nothing was written");

  for (const more of [[], ["--erase"]]) {
    const foreign = await setup("--port", port, ...common("others"), "--server", "127.0.0.1:1", ...more);
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, /belongs to another key folder/);
  }

  const erased = await setup("--port", port, "--keys", inFolder("keys"), "--erase");
  assert.equal(erased.code, 0, erased.stderr);
  for (const purpose of PURPOSES) {
    const key = homeMaster(purpose, inFolder("keys")).deviceKey({
      text: "v1.demo.SN0000001",
      keyVersion: 1,
      product: "demo",
      serial: "SN0000001",
    });
    assert.ok(!board.machine.flash.bytes.includes(key));
  }

  // the same chip is the same device again, and this time the server with the same keys is there
  const gateway = spawn(
    process.execPath,
    [
      ...["--import", "tsx", "scripts/gateway.ts", "--home", "--keys", inFolder("keys"), "--json"],
      ...["--listen", `127.0.0.1:${await freePort()}`, "--operator-port", String(await freePort())],
    ],
    { cwd: PROJECT, stdio: ["ignore", "pipe", "inherit"] },
  );
  let told = "";
  const isTold = (pattern: RegExp) =>
    new Promise<void>((resolve) => {
      const look = (chunk: Buffer | string) => {
        told += chunk;
        if (pattern.test(told)) resolve();
      };
      gateway.stdout.on("data", look);
      look("");
    });
  try {
    const server = gateway.spawnargs[gateway.spawnargs.indexOf("--listen") + 1];
    while (!(await isOpen(server))) await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await setup("--port", port, ...common("keys"), "--server", server);
    assert.equal(second.code, 0, second.stderr);
    assert.doesNotMatch(second.stdout, /nothing listens/);
    await isTold(/connected[^\n]*v1\.demo\.SN0000001|v1\.demo\.SN0000001[^\n]*connected/);
    const broker = `127.0.0.1:${gateway.spawnargs.at(-1)}`;
    const pushed = await push("SN0000001", "--keys", inFolder("keys"), "--broker", broker);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(pushed.stdout, /it runs echo/);
    const unknown = await push("SN0000002", "--keys", inFolder("keys"), "--broker", broker);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /knows no device "SN0000002"; it knows SN0000001/);
  } finally {
    gateway.kill();
  }
  // the console's own keys, without being asked for
  const home = homeMasterOf("console", "v1.demo.SN0000001", inFolder("keys"));
  assert.equal(home?.purpose, "console");
  home?.close();
  assert.equal(homeMasterOf("console", "v1.demo.SN0000002", inFolder("keys")), undefined);
});

test("a wrong password of the network is told, and the next try goes on", async () => {
  const network = { failures: Number.POSITIVE_INFINITY };
  const [port, board] = await blank(network);
  const args = ["--port", port, ...common("keys"), "--server", "127.0.0.1:1", "--product", "lamp"];
  const wrong = await setup(...args);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /self-test: E5/);
  assert.ok(!board.machine.read("key")?.replace(/\xff/g, ""), "no key was written");
  network.failures = 0;
  await board.unplug();
  await board.start();
  const right = await setup(...args);
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /v1\.lamp\.SN0000002: done/);
});

test("what is wrong is said before anything is built or made", async () => {
  const [port] = await blank();
  const other = inFolder("none");
  const server = ["--server", "127.0.0.1:1"];
  writeFileSync(inFolder("short"), "short\n", { mode: 0o600 });
  for (const [argv, code, sentence] of [
    [["--port", "/dev/nothing", ...server], 1, /nothing is plugged in there/],
    [["--port", port, "--keys", other], 2, /--server is missing/],
    [["--port", port, "--keys", other, "--server", "nowhere"], 2, /is not HOST:PORT/],
    [
      ["--port", port, "--keys", other, ...server, "--ssid", "x", "--passphrase-file", inFolder("short")],
      2,
      /5 characters/,
    ],
    [["--port", port, "--keys", other, ...server, "--product", "a b"], 2, /identity/],
    [["--port", port, "--keys", other, "--erase"], 2, /no key folder/],
    [["--port", port, "--keys", inFolder("wired"), ...server], 2, /has Wi-Fi: --ssid NAME is missing/],
  ] as const) {
    const { code: found, stderr } = await setup(...argv);
    assert.equal(found, code, stderr);
    assert.match(stderr, sentence);
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
});

test("the key folder is made whole and private, and refused where others can look into it", () => {
  const home = openHome(inFolder("mine"), { make: true });
  assert.equal(home.isNew, true);
  assert.equal(statSync(home.folder).mode & 0o777, 0o700);
  const keys = new Set(PURPOSES.map((purpose) => readFileSync(join(home.folder, purpose), "hex")));
  assert.equal(keys.size, 4);
  assert.equal(openHome(home.folder, { make: true }).isNew, false);
  chmodSync(home.folder, 0o755);
  assert.throws(() => openHome(home.folder), /others can look into/);
  chmodSync(home.folder, 0o700);
  rmSync(join(home.folder, "ota"));
  assert.throws(() => openHome(home.folder, { make: true }), /ota/);
  mkdirSync(inFolder("shut"), { mode: 0o500 });
  writeFileSync(inFolder("file"), "");
  assert.throws(
    () => openHome(join(inFolder("file"), "keys"), { make: true }),
    /cannot make the folder .*: part of its path is a file/,
  );
  assert.ok(!hasHome(inFolder("nothing")) && !existsSync(inFolder("nothing")));
});

test("a pushed image is called as its file, or its folder, in what a manifest has room for", () => {
  assert.equal(versionOf("/x/firmware/product/valve.ts"), "valve");
  assert.equal(versionOf("/home/me/my-product/main.ts"), "my-product");
  assert.equal(versionOf("/home/me/a thermometer for the cellar/main.ts"), "a_thermometer_fo");
});

test("what WPA2 takes as a password", () => {
  for (const good of ["", "12345678", " spaces ", "x".repeat(63), "0123456789abcdefABCDEF".padEnd(64, "0")])
    assert.equal(wifiFault(good), undefined, good);
  for (const bad of ["1234567", "x".repeat(64), "pässword1", "tab\tinside"]) assert.ok(wifiFault(bad), bad);
});
