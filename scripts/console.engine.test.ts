// The technician's terminal against the real interpreter, named by ESPRUINO_BIN, on a pseudo-terminal: what is true of the
// simulated board is true of it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { board } from "../boards/linux";
import { Pty } from "./lib/bench/pty";
import { settingsFile } from "./lib/bench/settings_file";
import { BUNDLE_FILE, buildBundle, LOADER } from "./lib/bundle/build";
import { masterFromBytes } from "./lib/custody/master";
import { writeSecret } from "./lib/files/private_file";
import { startGateway } from "./lib/gateway/gateway";
import { keyRecord } from "./lib/keys/kdf";
import { storageFiles } from "./lib/ota/layout";
import { deviceKeys, newMasters } from "./lib/simulate/finished_device";
import { ID } from "./lib/test/console";
import { ENGINE, Engine, engineCommand, storageImage } from "./lib/test/engine";
import { PASSPHRASE } from "./lib/test/factory";
import { skipWithout } from "./lib/test/peers/install";

/** Builds with fewer do not run the firmware at all (firmware.engine.test.ts). */
const FIRMWARE_MOST = 500;

const skip = ENGINE ? skipWithout("socat") : "ESPRUINO_BIN names no interpreter";

test("R25 R29 the terminal on the interpreter: words, a session, unlocking, settings", {
  skip,
  timeout: 240_000,
}, async (context) => {
  const probe = new Engine({ [BUNDLE_FILE]: "print('has',process.memory().total)" });
  const variables = Number((await probe.line(/^has (\d+)/))[1]);
  await probe.stop();
  if (variables <= FIRMWARE_MOST) return context.skip(`${variables} variables`);
  const folder = mkdtempSync(join(tmpdir(), "console-engine-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const masters = newMasters();
  writeSecret(join(folder, "console"), masters.console);
  const gateway = await startGateway({ master: masterFromBytes(Buffer.from(masters.psk)) });
  context.after(() => gateway.close());
  const [bundle, loader] = await Promise.all(
    [undefined, LOADER].map(async (entry) => (await buildBundle({ board: "linux", entry })).code),
  );
  const files = {
    ...storageFiles(board, bundle, loader),
    key: keyRecord(deviceKeys(masters, ID)).toString("latin1"),
    conf: settingsFile(board, {
      id: ID,
      host: "127.0.0.1",
      port: gateway.port,
      ssid: "plant-7",
      pass: PASSPHRASE,
    }),
  };
  writeFileSync(join(folder, "espruino.flash"), storageImage(files));
  const path = join(folder, "ttyUSB0");
  const pty = await Pty.run(path, engineCommand(), folder);
  context.after(() => pty.close());

  const argv = ["--import", "tsx", "scripts/console.ts", "--port", path, "--master", join(folder, "console")];
  const child = spawn(process.execPath, argv);
  context.after(() => child.kill());
  const lines = [
    "selftest",
    "hs",
    "status",
    "id",
    "log",
    "cnt",
    "conf set ssid x",
    "unlock",
    "conf set ssid plant-8",
    "conf get",
    "lock",
    "ping",
    "format",
  ];
  child.stdin.end(lines.map((line) => `${line}\n`).join(""));
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 2, stdout + stderr);
  for (const pattern of [
    /^done\n1 {2}network/,
    /^8 {2}up +\d+ ms$/m,
    /^step +8 +it is connected/m,
    new RegExp(`^id +${ID}$`, "m"),
    /^\d+ {2}boot 1 {2}started/m,
    /^E27 {2}This is a service command/m,
    /^unlocked for 60 minutes$/m,
    /^ssid +plant-8$/m,
    /^pass +1 +there is one$/m,
    /^ms +\d+ +milliseconds$/m,
    /^E26 {2}The device does not know this request\.$/m,
  ])
    assert.match(stdout, pattern);
  assert.ok(!stdout.includes(PASSPHRASE));
});
