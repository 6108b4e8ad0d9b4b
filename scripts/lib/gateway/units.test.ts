// The units for systemd, and the commands of the page that install one: run in a folder that stands for the machine's root. systemd does
// not run here: that it starts and reloads the service is not tried.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { PLUGIN_FOLDER, skipWithoutPlugin } from "../test/doors";
import { skipWithout } from "../test/peers/install";
import { run } from "../test/psk_client";

const HERE = join("scripts", "lib", "gateway");
const UNITS = [join(PLUGIN_FOLDER, "mosquitto-fleet.service"), join(HERE, "fleet-gateway.service")];
const EXPOSURE_MOST = 20; // tenths of what `systemd-analyze security` gives; without any hardening it is 96

const root = mkdtempSync(join(tmpdir(), "units-"));
after(() => rmSync(root, { recursive: true }));

for (const unit of UNITS)
  test(`systemd takes ${basename(unit)}, and finds it hardened`, {
    skip: skipWithout("systemd-analyze"),
  }, async () => {
    const { output } = await run("systemd-analyze", ["verify", unit]);
    assert.doesNotMatch(output, /Unknown|Failed to parse|Invalid/);
    const checked = await run("systemd-analyze", [
      ...["security", "--offline=true", `--threshold=${EXPOSURE_MOST}`, unit],
    ]);
    assert.equal(checked.code, 0, checked.output);
  });

test("the page's commands put each file where unit and configuration look for it, and the unit is enabled", {
  skip: skipWithoutPlugin() || skipWithout("systemctl", "systemd-creds"),
}, async () => {
  const page = readFileSync(join(HERE, "README.md"), "utf8");
  const [, block] = /```\n(install -D[^`]+)```/.exec(page) ?? [];
  assert.ok(block, "the page has no such block");
  const master = join(root, "MASTER");
  writeFileSync(master, "0123456789abcdef", { mode: 0o600 });
  // What the packages bring.
  const theirs = "lib/systemd/system/mosquitto.service";
  await run("mkdir", [
    "-p",
    ...["lib/systemd/system", "etc/systemd/system", "etc/mosquitto"].map((at) => join(root, at)),
  ]);
  if (existsSync(`/${theirs}`)) cpSync(`/${theirs}`, join(root, theirs));
  const systemctl: string[] = [];
  const shell = block
    .split("\n")
    .flatMap((line) => line.split(" && "))
    .filter((line) => {
      if (line.startsWith("systemctl")) systemctl.push(line);
      return !line.startsWith("systemctl");
    })
    .join("\n")
    .replaceAll(/ (?=\/(etc|usr)\/)/g, ` ${root}`)
    .replace("systemd-creds encrypt", "systemd-creds encrypt --with-key=tpm2-absent") // no secret of this machine is made for it
    .replace("MASTER", master);
  const installed = await run("sh", ["-e", "-c", shell]);
  assert.equal(installed.code, 0, installed.output);

  const texts = [UNITS[0], join(PLUGIN_FOLDER, "mosquitto.conf")].map((path) => readFileSync(path, "utf8"));
  const named = texts
    .flatMap((text) => text.split("\n").filter((line) => !line.startsWith("#")))
    .flatMap((line) => line.match(/\/(etc|usr\/local)\/[\w./-]+/g) ?? []);
  assert.ok(named.length >= 4, `${named}`);
  for (const path of named) assert.ok(existsSync(join(root, path)), `${path} is not installed`);

  // What systemctl does without a systemd: units are found, and linked.
  assert.equal(systemctl.length, 4);
  for (const line of systemctl) {
    const [, verb, ...names] = line.replace(" --now", "").split(" ");
    if (verb === "daemon-reload") continue;
    if (verb === "reload") assert.match(texts[0], /^ExecReload=/m);
    else {
      const done = await run("systemctl", [`--root=${root}`, verb, ...names]);
      assert.equal(done.code, 0, `${line}: ${done.output}`);
    }
  }
  const link = join(root, "etc/systemd/system/multi-user.target.wants/mosquitto-fleet.service");
  assert.equal(readlinkSync(link), "/etc/systemd/system/mosquitto-fleet.service");
});
