// `npm run derive` by profile: the key is the one of the profile's label, and a line for servers is made of none but keys for TLS.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey } from "./lib/keys/kdf";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "derive-"));
after(() => rmSync(folder, { recursive: true }));
const ID = "v1.meter.SN1";

const derive = (name: string, env: Record<string, string>, ...args: string[]) =>
  spawnSync(
    process.execPath,
    nodeArguments("scripts/derive.ts", "--identity", ID, "--out", join(folder, name), ...args),
    { encoding: "utf8", env: { ...process.env, ...env } },
  );

test("R38 each profile has the key of its label, and a tree's root is in no table", () => {
  for (const [profile, label] of [
    ["main", "psk"],
    ["tls13", "psk13"],
    ["epochs", "psk/tree"],
  ] as const) {
    const { status, stderr } = derive(profile, {}, "--profile", profile);
    assert.equal(status, 0, stderr);
    const read = (file: string) => readFileSync(join(folder, profile, file));
    const key = deriveDeviceKey(read("master"), parseIdentity(ID), "kdf", label);
    assert.deepEqual(read("key"), key);
    if (profile === "epochs") assert.ok(!existsSync(join(folder, profile, "psk")));
    else assert.equal(read("psk").toString(), `${ID}:${key.toString("hex")}\n`);
  }
});

test("an unknown profile, of the environment too: a sentence, exit 2, nothing written", () => {
  for (const result of [derive("no", { PROFILE: "nope" }), derive("no", {}, "--profile", "nope")]) {
    assert.match(result.stderr, /^derive: .*"nope".*main, gcm/);
    assert.equal(result.status, 2);
  }
  assert.ok(!existsSync(join(folder, "no")));
});
