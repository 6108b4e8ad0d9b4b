// Signing against OpenSSL: key and tag of each row are computed by the `openssl` program. Row 20 of the requirements.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import * as layout from "../../../firmware/ota/manifest";
import { UsageError } from "../cli/exit";
import { masterFromBytes } from "../custody/master";
import { createTokenKey, parseTokenUri } from "../custody/token";
import { IDENTITY_MAX_LENGTH, parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { skipWithout } from "../test/peers/install";
import { makeTokens, skipWithoutToken, tokenUri } from "../test/token";
import { testManifests, testUpdate } from "../test/update";
import { parseManifest } from "./manifest";
import { ROW_BYTES, readManifests, signRows } from "./sign";

const folder = mkdtempSync(join(tmpdir(), "sign-"));
after(() => rmSync(folder, { recursive: true }));
const skip = skipWithout("openssl");

function openssl(args: string[], input?: Buffer): string {
  const { stdout, stderr, status } = spawnSync("openssl", args, { input });
  assert.equal(status, 0, stderr.toString());
  return stdout.toString().trim().replaceAll(":", "").toLowerCase();
}

const CMAC = ["-kdfopt", "mac:CMAC", "-kdfopt", "cipher:AES-128-CBC", "-kdfopt", "mode:COUNTER"];
const keyByOpenssl = (master: Buffer, label: string, identity: string) =>
  openssl([
    ...["kdf", "-keylen", "16", ...CMAC, "-kdfopt", `hexkey:${master.toString("hex")}`],
    ...["-kdfopt", `salt:${label}`, "-kdfopt", `info:${identity}`, "KBKDF"],
  ]);
const tagByOpenssl = (key: string, message: Buffer) =>
  openssl(["mac", "-cipher", "AES-128-CBC", "-macopt", `hexkey:${key}`, "CMAC"], message);

describe("R20 manifests", () => {
  const master = randomKey();
  const update = testUpdate();
  const serials = ["SN1", "SN2", "a-serial-of-29-characters-000", "z"];
  const signed = testManifests(update, serials, master);

  test("R20 key and tag are what OpenSSL computes", { skip }, () => {
    for (let row = 0; row < serials.length; row++) {
      const manifest = signed.manifest(row);
      const key = keyByOpenssl(master, "ota", signed.identity(row).text);
      const tag = tagByOpenssl(key, manifest.subarray(0, layout.AT_TAG));
      assert.equal(manifest.subarray(layout.AT_TAG).toString("hex"), tag, serials[row]);
    }
  });

  test("R20 the key of A signs nothing for B, and no other master's key signs for anybody", { skip }, () => {
    const ofB = signed.manifest(1);
    for (const [label, identity] of [
      ["ota", "v1.meter.SN1"],
      ["ota", "v2.meter.SN2"],
      ["ota", "v1.valve.SN2"],
      ["psk", "v1.meter.SN2"],
    ]) {
      const tag = tagByOpenssl(keyByOpenssl(master, label, identity), ofB.subarray(0, layout.AT_TAG));
      assert.notEqual(ofB.subarray(layout.AT_TAG).toString("hex"), tag, `${label} ${identity}`);
    }
  });

  test("every field stands where the layout says, and comes back", () => {
    const manifest = signed.manifest(2);
    assert.equal(manifest.length, layout.MANIFEST_BYTES);
    const read = parseManifest(manifest);
    const { product, hardware, sequence, version, length, encoding } = update;
    const { digest, tag, ...rest } = read ?? {};
    assert.deepEqual(rest, {
      ...{ product, hardware, sequence, version, length, encoding },
      ...{ serial: serials[2], keyVersion: 1 },
    });
    assert.deepEqual(digest, update.digest);
    assert.equal(tag?.length, 16);
    assert.equal(manifest[layout.AT_SLOT_RULE], layout.SLOT_OTHER);
    assert.equal(manifest.readUInt32BE(layout.AT_SEQUENCE), 7);
    const target = `meter/${serials[2]}\0`;
    assert.equal(manifest.toString("latin1", layout.AT_TARGET, layout.AT_TARGET + target.length), target);
  });

  test("R20 a file with any byte of a manifest changed but its tag is refused", () => {
    const rows = [
      ...signRows(update, [parseIdentity("v1.meter.SN1"), parseIdentity("v1.meter.SN2")], other()),
    ];
    const bytes = Buffer.concat(rows);
    const path = join(folder, "changed");
    const second = ROW_BYTES + IDENTITY_MAX_LENGTH;
    for (let at = second; at < second + layout.AT_TAG; at++) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1;
      writeFileSync(path, changed);
      assert.throws(() => readManifests(path), UsageError, `byte ${at - second}`);
    }
    writeFileSync(path, bytes);
    assert.equal(readManifests(path).count, 2);
  });

  test("a file that is cut short, empty, or names a serial twice is refused", () => {
    const row = Buffer.concat([...signRows(update, [parseIdentity("v1.meter.SN1")], other())]);
    const path = join(folder, "cut");
    for (const [bytes, sentence] of [
      [row.subarray(0, ROW_BYTES - 1), /rows of 192 bytes/],
      [Buffer.alloc(0), /rows of 192 bytes/],
      [Buffer.alloc(ROW_BYTES), /no file of manifests/],
      [Buffer.concat([row, row]), /row 2: the serial SN1 was there already/],
    ] as const) {
      writeFileSync(path, bytes);
      assert.throws(() => readManifests(path), sentence);
    }
  });

  test("what fits into no manifest is refused before anything is signed", () => {
    const sign = (fields: object, identity = "v1.meter.SN1") => [
      ...signRows({ ...update, ...fields }, [parseIdentity(identity)], other()),
    ];
    for (const [fields, sentence] of [
      [{ product: "seventeen_letters" }, /1 to 16/],
      [{ product: "" }, /1 to 16/],
      [{ product: "a/b" }, /no dot, hyphen/],
      [{ sequence: 0 }, /from 1/],
      [{ sequence: 0xffffffff }, /from 1 to 4294967294/],
      [{ length: 32_561 }, /takes 1 to 32560/],
      [{ length: 0 }, /takes 1 to 32560/],
      [{ version: "seventeen letters" }, /1 to 16 printable/],
      [{ version: "1.0é" }, /1 to 16 printable/],
      [{ hardware: 0 }, /names no board/],
      [{ digest: Buffer.alloc(31) }, /31 bytes/],
    ] as const)
      assert.throws(() => sign(fields), sentence);
    assert.throws(() => sign({}, "v1.meter.a-serial-of-30-characters-0000"), /holds 29/);
    assert.throws(() => sign({}, "v256.meter.SN1"), /over 255/);
    assert.throws(() => sign({}, "v1.valve.SN1"), /another product/);
  });

  const other = () => masterFromBytes(randomKey(), "ota");
});

test("a token's master signs as the same key in a file", { skip: skipWithoutToken() }, async () => {
  await makeTokens(folder, { release: "1234" });
  const value = randomKey();
  const uri = parseTokenUri(tokenUri("release", "ota"));
  const { key } = await createTokenKey(uri, Buffer.from("1234"), "ota", "kdf", value);
  const identity = parseIdentity("v3.meter.SN9");
  const inToken = {
    ...masterFromBytes(randomKey(), "ota"),
    deviceKey: () => deriveDeviceKey(key, identity, "kdf", "ota"),
  };
  const rows = [inToken, masterFromBytes(value, "ota")].map((each) =>
    Buffer.concat([...signRows(testUpdate(), [identity], each)]).toString("hex"),
  );
  key.close();
  assert.equal(rows[0], rows[1]);
});

test("a million devices in a minute of one core", () => {
  const identities = Array.from({ length: 20_000 }, (_, i) => parseIdentity(`v1.meter.SN${1_000_000 + i}`));
  const master = masterFromBytes(randomKey(), "ota");
  const start = process.cpuUsage();
  for (const _ of signRows(testUpdate(), identities, master));
  const { user, system } = process.cpuUsage(start);
  const perSecond = identities.length / ((user + system) / 1e6);
  assert.ok(perSecond > 1_000_000 / 60, `${perSecond.toFixed(0)} a second`);
});
