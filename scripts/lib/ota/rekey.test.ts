// New keys for devices against OpenSSL: keys, check values, key stream and tag of a row are computed by the `openssl`
// program. Rows 3, 20 and 25 of the requirements.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { CHECK_VALUES, RECORD_LENGTH } from "../../../firmware/key_record";
import * as layout from "../../../firmware/ota/manifest";
import { masterFromBytes } from "../custody/master";
import { UsageError } from "../exit";
import {
  deriveDeviceKey,
  IDENTITY_MAX_LENGTH,
  keyCheckValue,
  PURPOSES,
  type Purpose,
  parseIdentity,
} from "../keys";
import { skipWithout } from "../peers/install";
import { imageDigest } from "./digest";
import { parseManifest, sequenceOf } from "./manifest";
import { REKEY_ROW_BYTES, readRekeys, rekeyRows, rekeysOf, wrapKeys } from "./rekey";
import { manifestsOf, ROW_BYTES, signRows } from "./sign";
import { testMasters, testRekeyRows, testRekeys, testUpdate } from "./test_update";

const skip = skipWithout("openssl");
const folder = mkdtempSync(join(tmpdir(), "rekey-"));
after(() => rmSync(folder, { recursive: true }));

function openssl(args: string[], input?: Buffer): Buffer {
  const { stdout, stderr, status } = spawnSync("openssl", args, { input });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

const CMAC = ["-kdfopt", "mac:CMAC", "-kdfopt", "cipher:AES-128-CBC", "-kdfopt", "mode:COUNTER"];
const keyByOpenssl = (master: Buffer, label: string, identity: string) =>
  openssl([
    ...["kdf", "-keylen", "16", "-binary", ...CMAC, "-kdfopt", `hexkey:${master.toString("hex")}`],
    ...["-kdfopt", `salt:${label}`, "-kdfopt", `info:${identity}`, "KBKDF"],
  ]);
const cmacByOpenssl = (key: Buffer, message: Buffer) =>
  openssl(
    ["mac", "-cipher", "AES-128-CBC", "-macopt", `hexkey:${key.toString("hex")}`, "-binary", "CMAC"],
    message,
  );

/** Masters that are the same in every run. */
function fixedMasters(): Record<Purpose, Buffer> {
  const master = (name: string) => createHash("sha256").update(name).digest().subarray(0, 16);
  return {
    psk: master("psk"),
    ota: master("ota"),
    console: master("console"),
    rekey: master("rekey"),
  };
}

describe("R20 new keys over the air", () => {
  test("a row is what OpenSSL computes", { skip }, async () => {
    const [masters, next] = [testMasters(), testMasters()];
    const identities = ["v1.meter.SN1", "v3.meter.SN2", "v253.meter.a-serial-of-29-characters-000"];
    const { bytes } = await testRekeyRows({ identities, masters, next, sequence: 0x01020304, to: 254 });
    for (const [row, identity] of identities.entries()) {
      const at = row * REKEY_ROW_BYTES;
      const manifest = bytes.subarray(at + IDENTITY_MAX_LENGTH, at + ROW_BYTES);
      const wrapped = bytes.subarray(at + ROW_BYTES, at + REKEY_ROW_BYTES);
      const [version, , serial] = identity.split(".");
      const said = bytes.toString("latin1", at, at + IDENTITY_MAX_LENGTH);
      assert.equal(said, identity.padEnd(IDENTITY_MAX_LENGTH, "\0"));

      const head = Buffer.concat([
        ...[Buffer.from([1, 2, 0, Number(version.slice(1))]), Buffer.from("ffffffff", "hex")],
        ...[Buffer.from("01020304", "hex"), Buffer.from([0, 0, 0, 80])],
        Buffer.from("keys v254".padEnd(16, "\0")),
      ]);
      const target = Buffer.from(`meter/${serial}`.padEnd(48, "\0"));
      const digest = createHash("sha256").update(Buffer.alloc(32)).update(wrapped).digest();
      const signed = Buffer.concat([head, digest, target]);
      const tag = cmacByOpenssl(keyByOpenssl(masters.ota, "ota", identity), signed);
      assert.equal(manifest.toString("hex"), Buffer.concat([signed, tag]).toString("hex"), identity);

      const fresh = PURPOSES.map((purpose) => keyByOpenssl(next[purpose], purpose, `v254.meter.${serial}`));
      const checks = fresh.map((key) => cmacByOpenssl(key, Buffer.alloc(16)).subarray(0, 3));
      const plain = Buffer.concat([...fresh, ...checks, Buffer.from([254, 0, 0, 0])]);
      const blocks = [0, 1, 2, 3, 4].map((i) => [2, ...manifest.subarray(1, 13), 0, 0, i]);
      const key = keyByOpenssl(masters.rekey, "rekey", identity).toString("hex");
      const stream = openssl(["enc", "-aes-128-ecb", "-nopad", "-K", key], Buffer.from(blocks.flat()));
      const wanted = Buffer.from(plain.map((byte, i) => byte ^ stream[i]));
      assert.equal(wrapped.toString("hex"), wanted.toString("hex"), identity);
    }
  });

  test("the same as ever: one row, masters that do not change", async () => {
    const given = { identities: ["v1.meter.SN0000001"], masters: fixedMasters(), sequence: 20 };
    const { bytes } = await testRekeyRows(given);
    assert.equal(bytes.subarray(IDENTITY_MAX_LENGTH).toString("hex"), KNOWN_ROW);
  });

  test("R3 the device's rekey key opens its row, and nobody else's does: no check value is right", async () => {
    const masters = testMasters();
    const rekeys = await testRekeys({ identities: ["v1.meter.SN1", "v1.meter.SN2"], masters });
    const unwrap = (row: number, master: Buffer, label: Purpose, identity: string) => {
      const keys = Buffer.from(rekeys.keys(row));
      const key = deriveDeviceKey(master, parseIdentity(identity), "kdf", label);
      wrapKeys(keys, key, rekeys.manifest(row));
      return keys;
    };
    const rightChecks = (keys: Buffer) =>
      PURPOSES.filter((_, i) => {
        const check = keys.subarray(CHECK_VALUES + 3 * i, CHECK_VALUES + 3 * i + 3);
        return check.toString("hex").toUpperCase() === keyCheckValue(keys.subarray(16 * i, 16 * i + 16));
      });
    const own = unwrap(0, masters.rekey, "rekey", "v1.meter.SN1");
    assert.deepEqual(rightChecks(own), [...PURPOSES]);
    assert.deepEqual([...own.subarray(RECORD_LENGTH)], [2, 0, 0, 0]);
    assert.equal(layout.AT_KEYS_VERSION, RECORD_LENGTH);
    for (const [i, purpose] of PURPOSES.entries()) {
      const wanted = deriveDeviceKey(masters[purpose], parseIdentity("v2.meter.SN1"), "kdf", purpose);
      assert.deepEqual(own.subarray(16 * i, 16 * i + 16), wanted, purpose);
    }
    for (const [row, master, label, identity] of [
      [0, masters.rekey, "rekey", "v1.meter.SN2"],
      [1, masters.rekey, "rekey", "v1.meter.SN1"],
      [0, masters.rekey, "rekey", "v2.meter.SN1"],
      [0, masters.ota, "rekey", "v1.meter.SN1"],
      [0, masters.rekey, "ota", "v1.meter.SN1"],
    ] as const)
      assert.deepEqual(rightChecks(unwrap(row, master, label, identity)), [], `${label} ${identity}`);
  });

  test("no key stream comes twice: not for another device, sequence or key version", async () => {
    const masters = testMasters();
    const streams = new Set<string>();
    for (const [identity, sequence, to] of [
      ["v1.meter.SN1", 7, 9],
      ["v1.meter.SN2", 7, 9],
      ["v1.meter.SN1", 8, 9],
      ["v1.meter.SN1", 7 << 8, 9],
      ["v2.meter.SN1", 7, 9],
    ] as const) {
      const rekeys = await testRekeys({ identities: [identity], sequence, to, masters });
      const stream = Buffer.alloc(layout.KEYS_BYTES);
      const key = deriveDeviceKey(masters.rekey, parseIdentity(identity), "kdf", "rekey");
      wrapKeys(stream, key, rekeys.manifest(0));
      for (let at = 0; at < stream.length; at += 16) streams.add(stream.toString("hex", at, at + 16));
    }
    assert.equal(streams.size, 25);
  });

  test("R25 rows hold none of the keys that they are made from and for", async () => {
    const masters = testMasters();
    const { bytes } = await testRekeyRows({ identities: ["v1.meter.SN1"], masters });
    for (const purpose of PURPOSES)
      for (const key of [
        masters[purpose],
        deriveDeviceKey(masters[purpose], parseIdentity("v1.meter.SN1"), "kdf", purpose),
        deriveDeviceKey(masters[purpose], parseIdentity("v2.meter.SN1"), "kdf", purpose),
      ])
        assert.equal(bytes.indexOf(key), -1, purpose);
  });

  test("R25 keys are overwritten when a row is done, and where it is refused", async () => {
    const seen: Buffer[] = [];
    const masters = testMasters();
    const kept = (purpose: "ota" | "rekey") => {
      const master = masterFromBytes(Buffer.from(masters[purpose]), purpose);
      const deviceKey = (identity: Parameters<typeof master.deviceKey>[0]) => {
        const key = master.deviceKey(identity);
        seen.push(key);
        return key;
      };
      return { ...master, deviceKey };
    };
    const [ota, rekey] = [kept("ota"), kept("rekey")];
    const make = async (same: boolean) => {
      const fresh = { ...testMasters(), ...(same && { psk: masters.psk, ota: masters.psk }) };
      seen.push(...Object.values(fresh));
      const next = { about: "", deviceKeys: async () => fresh, close: async () => {} };
      const wanted = { product: "meter", hardware: 1, sequence: 7, version: "keys", to: 2 };
      for await (const _ of rekeyRows(
        wanted,
        [parseIdentity("v1.meter.SN1")],
        { ota, rekey, next },
        () => {},
      ));
    };
    await make(false);
    await assert.rejects(make(true), /the same/);
    assert.equal(seen.length, 12);
    for (const key of seen) assert.ok(key.every((byte) => byte === 0));
  });
});

describe("R20 files of keys", () => {
  const identities = ["v1.meter.SN1", "v2.meter.SN2", "v1.meter.a-serial-of-29-characters-000"];
  const first = "v1.meter.SN1";

  test("come back as they were made", async () => {
    const { bytes, left } = await testRekeyRows({ identities, to: 3, sequence: 12 });
    assert.deepEqual(left, []);
    const path = join(folder, "keys");
    writeFileSync(path, bytes);
    const rekeys = readRekeys(path);
    assert.equal(rekeys.count, 3);
    const { product, hardware, sequence, version, length, encoding } = rekeys.image;
    assert.deepEqual(
      { product, hardware, sequence, version, length, encoding },
      {
        ...{ product: "meter", hardware: 0xffff_ffff, sequence: 12, version: "keys v3" },
        ...{ length: 80, encoding: "none" },
      },
    );
    for (const [row, identity] of identities.entries()) {
      assert.equal(rekeys.identity(row).text, identity);
      const manifest = rekeys.manifest(row);
      const read = parseManifest(manifest, layout.TYPE_REKEY);
      assert.deepEqual(read?.digest, imageDigest(rekeys.keys(row)));
      assert.equal(read?.keyVersion, parseIdentity(identity).keyVersion);
      assert.equal(
        rekeys.keysTopic(row),
        `fw/meter/${read?.digest && Buffer.from(read.digest).readUInt32BE()}/0`,
      );
      assert.equal(parseManifest(manifest), undefined, "a manifest of keys is none of an image");
      assert.equal(sequenceOf(manifest), 12);
    }
  });

  test("any byte of a row changed but the tag is refused", async () => {
    const { bytes } = await testRekeyRows({ identities, to: 3 });
    const tag = IDENTITY_MAX_LENGTH + layout.AT_TAG;
    for (let at = 0; at < REKEY_ROW_BYTES; at++) {
      if (at >= tag && at < tag + 16) continue; // the device's business, which has the key
      const changed = Buffer.from(bytes);
      changed[REKEY_ROW_BYTES + at] ^= 1;
      assert.throws(() => rekeysOf(changed, "keys"), UsageError, `byte ${at}`);
    }
    assert.equal(rekeysOf(bytes, "keys").count, 3);
  });

  test("cut short, empty, a serial twice, keys or manifests exchanged: refused with the row", async () => {
    const masters = testMasters();
    const { bytes } = await testRekeyRows({ identities, to: 3, masters });
    const row = (n: number) => bytes.subarray(n * REKEY_ROW_BYTES, (n + 1) * REKEY_ROW_BYTES);
    const [a, b] = [row(0), row(1)];
    const later = (await testRekeyRows({ identities: ["v1.meter.SN9"], masters, sequence: 8, to: 3 })).bytes;
    const exchanged = [a.subarray(0, ROW_BYTES), b.subarray(ROW_BYTES)];
    const stranger = [a.subarray(0, IDENTITY_MAX_LENGTH), b.subarray(IDENTITY_MAX_LENGTH)];
    for (const [bad, sentence] of [
      [bytes.subarray(0, bytes.length - 1), /rows of 272 bytes/],
      [Buffer.alloc(0), /rows of 272 bytes/],
      [Buffer.alloc(REKEY_ROW_BYTES), /no file of keys/],
      [Buffer.concat([a, a]), /row 2: the serial SN1 was there already/],
      [Buffer.concat([...exchanged, b]), /row 1: the manifest is not the one of this identity and these/],
      [Buffer.concat([b, ...stranger]), /row 2: the manifest is not the one of this identity/],
      [Buffer.concat([a, later]), /row 2: the manifest is not the one/],
    ] as const)
      assert.throws(() => rekeysOf(bad, "keys"), sentence);
    for (const [at, value] of [
      [layout.AT_ENCODING, layout.ENCODING_HEATSHRINK],
      [layout.AT_IMAGE_LENGTH + 3, 79],
    ] as const) {
      const other = Buffer.from(a);
      other[IDENTITY_MAX_LENGTH + at] = value;
      assert.throws(() => rekeysOf(other, "keys"), /row 1: keys are 80 bytes as they are/);
    }
  });

  test("a file of keys is none of manifests, and the other way round: a sentence says where it belongs", async () => {
    const twelve = Array.from({ length: 12 }, (_, i) => `v1.meter.SN${i}`); // 17 rows of manifests in length
    const { bytes } = await testRekeyRows({ identities: twelve });
    assert.equal(bytes.length % ROW_BYTES, 0);
    assert.throws(() => manifestsOf(bytes, "a"), /holds keys, not manifests of an image/);
    assert.throws(() => manifestsOf(bytes.subarray(0, REKEY_ROW_BYTES), "a"), /holds keys/);
    const master = masterFromBytes(testMasters().ota, "ota");
    const signed = Buffer.concat([...signRows(testUpdate(), [parseIdentity(first)], master)]);
    assert.throws(() => rekeysOf(signed, "a"), /holds manifests of an image, not keys/);
  });

  test("what no device could take is refused", async () => {
    const make = (given: object, identity = first) => testRekeyRows({ identities: [identity], ...given });
    await assert.rejects(make({}, "v2.meter.SN1"), /has key version 2 and 2 is not greater/);
    await assert.rejects(make({ to: 255 }), /from 2 to 254/);
    await assert.rejects(make({ to: 1 }), /from 2 to 254/);
    await assert.rejects(make({ sequence: 0 }), /from 1/);
    await assert.rejects(make({}, "v1.valve.SN1"), /of another product/);
    await assert.rejects(make({}, "v1.meter.a-serial-of-30-characters-0000"), /holds 29/);
  });

  test("R3 a scheme that knows no version takes no new version from the same master", async () => {
    const masters = testMasters();
    const master = (purpose: Purpose) =>
      masterFromBytes(Buffer.from(masters[purpose]), purpose, "aes-serial");
    const [ota, rekey] = [master("ota"), master("rekey")];
    const deviceKeys = async (identity: Parameters<typeof ota.deviceKey>[0]) => ({
      ...{ psk: master("psk").deviceKey(identity), ota: ota.deviceKey(identity) },
      ...{ console: master("console").deviceKey(identity), rekey: rekey.deviceKey(identity) },
    });
    const next = { about: "", deviceKeys, close: async () => {} };
    const wanted = { product: "meter", hardware: 1, sequence: 7, version: "keys", to: 2 };
    const rows = rekeyRows(wanted, [parseIdentity(first)], { ota, rekey, next }, () => {});
    await assert.rejects(rows.next(), /the new ota key and the present ota key of v1.meter.SN1 are the same/);
  });

  test("two devices whose keys would lie on one topic: the second is left out, and named", async () => {
    // of 57,127 serials under these masters the first two with 32 bits of the digest alike
    const colliding = ["v1.meter.SN4428", "v1.meter.SN57126"];
    const given = { masters: fixedMasters(), identities: [...colliding, first] };
    const { bytes, left } = await testRekeyRows(given);
    assert.deepEqual(left, ["v1.meter.SN57126"]);
    assert.equal(rekeysOf(bytes, "keys").count, 2);
    const each = await Promise.all(
      colliding.map(async (identity) => (await testRekeyRows({ ...given, identities: [identity] })).bytes),
    );
    assert.throws(() => rekeysOf(Buffer.concat(each), "keys"), /row 2: the place of its keys is that of/);
    const later = await testRekeyRows({ ...given, sequence: 8 });
    assert.deepEqual(later.left, []);
  });
});

/** Manifest and wrapped keys of v1.meter.SN0000001 to key version 2, sequence 20; masters: fixedMasters(). */
const KNOWN_ROW =
  "01020001ffffffff00000014000000506b657973207632000000000000000000236edbe2557d6e366d2a3ddca796de7d" +
  "845c2eefecf3087c4b8120dd1b4a84d66d657465722f534e303030303030310000000000000000000000000000000000" +
  "00000000000000000000000000000000cf0f99305b6f93c70957a2b6ebc0b6d22ab81adfd88ffc205880ec1123a866d9" +
  "fa3f9ac9d9a88567b9e27fc1b32b6f352949bc72da74fb7f9d78d4ae65e3303cf25010e857d81dd1e574e54ba6813e1e" +
  "23ba50eb5e043c7b6aa9470756bc3d32";
