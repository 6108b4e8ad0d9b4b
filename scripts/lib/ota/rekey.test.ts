// New keys for devices against OpenSSL: keys, check values, key stream and tag of a row are computed by the `openssl`
// program; and a simulated device takes a row as it was made. Rows 3, 20, 21 and 25 of the requirements.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import * as layout from "../../../firmware/ota/manifest";
import { CHECK_VALUES, RECORD_LENGTH } from "../../../firmware/store/key_record";
import { UsageError } from "../cli/exit";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { IDENTITY_MAX_LENGTH, parseIdentity } from "../keys/identity";
import { aesKey, deriveDeviceKey, keyCheckValue, PURPOSES, type Purpose } from "../keys/kdf";
import { TestBroker } from "../test/broker";
import { bundleOf } from "../test/device";
import { recordOf } from "../test/factory";
import { skipWithout } from "../test/peers/install";
import { makeMachine } from "../test/slots";
import { testMasters, testRekeyRows, testRekeys, testUpdate } from "../test/update";
import { parseManifest, piecesPrefix, sequenceOf } from "./manifest";
import { REKEY_ROW_BYTES, rekeyRows, wrapKeys } from "./rekey";
import { manifestsOf, ROW_BYTES, readManifests, signRows } from "./sign";
import { makeUpdate, type Update } from "./update_file";

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
    const update = testUpdate({ sequence: 0x01020304 });
    const identities = ["v1.meter.SN1", "v3.meter.SN2", "v253.meter.a-serial-of-29-characters-000"];
    const bytes = await testRekeyRows({ identities, update, masters, next, to: 254 });
    for (const [row, identity] of identities.entries()) {
      const at = row * REKEY_ROW_BYTES;
      const manifest = bytes.subarray(at + IDENTITY_MAX_LENGTH, at + ROW_BYTES);
      const wrapped = bytes.subarray(at + ROW_BYTES, at + REKEY_ROW_BYTES);
      const [version, , serial] = identity.split(".");
      const said = bytes.toString("latin1", at, at + IDENTITY_MAX_LENGTH);
      assert.equal(said, identity.padEnd(IDENTITY_MAX_LENGTH, "\0"));

      const length = Buffer.alloc(4);
      length.writeUInt32BE(update.length);
      const signed = Buffer.concat([
        ...[Buffer.from([1, 2, 1, Number(version.slice(1))]), Buffer.from("00000001", "hex")],
        ...[Buffer.from("01020304", "hex"), length, Buffer.from(update.version.padEnd(16, "\0"))],
        ...[update.digest, Buffer.from(`meter/${serial}`.padEnd(48, "\0"))],
      ]);
      const ota = keyByOpenssl(masters.ota, "ota", identity);
      const tag = cmacByOpenssl(ota, Buffer.concat([signed, wrapped]));
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

  test("the same as ever: one row, masters and image that do not change", async () => {
    const update = testUpdate({ image: Buffer.from("an image"), encoding: "none", sequence: 20 });
    const given = { identities: ["v1.meter.SN0000001"], masters: fixedMasters(), update };
    const bytes = await testRekeyRows(given);
    assert.equal(bytes.subarray(IDENTITY_MAX_LENGTH).toString("hex"), KNOWN_ROW);
  });

  test("R21 a device takes the row, and from its first session on has the new keys; the next image goes by them", async () => {
    const [masters, next] = [testMasters(), testMasters()];
    const recordFor = (from: Record<Purpose, Buffer>, identity: string) =>
      recordOf(
        PURPOSES.map((purpose) => deriveDeviceKey(from[purpose], parseIdentity(identity), "kdf", purpose)),
      );
    const [name, app] = ["esp32-sim", "scripts/lib/test/apps/update_app.ts"] as const;
    const { code } = await bundleOf(name, app, {});
    const updateTo = (version: string, sequence: number) => {
      const fields = {
        product: "sensor",
        board: name,
        hardware: 1,
        version,
        sequence,
        encoding: "none",
      } as const;
      return makeUpdate(Buffer.from(`${code}${version}`, "latin1"), fields);
    };
    const offer = async (update: Update, message: Buffer) => {
      for (const [n, piece] of update.pieces.entries())
        broker.retained.set(`${piecesPrefix(update)}${n}`, piece);
      broker.retained.set("sensor/0001/ota", message);
      broker.connect();
      await broker.serve();
    };
    const images = [{ code: `${code}A`, sequence: 5 }, undefined] as const;
    const keys = recordFor(masters, "v1.sensor.0001");
    const broker = new TestBroker(await makeMachine(name, { images, keys }));
    const has = (call: string) => broker.machine.run(`device.${call}()`) as string;
    try {
      broker.machine.boot();
      await broker.serve();
      const update = updateTo("B", 6);
      const identities = ["v1.sensor.0002", "v1.sensor.0001"];
      const rekeys = await testRekeys({ identities, update, masters, next });
      await offer(update, rekeys.manifest(1));
      assert.equal(has("identity"), "v2.sensor.0001", broker.published.join("\n"));
      const wanted = recordFor(next, "v2.sensor.0001").record;
      assert.deepEqual(Buffer.from(has("key"), "latin1"), wanted);
      const after = updateTo("C", 7);
      const signer = masterFromBytes(Buffer.from(next.ota), "ota");
      const rows = Buffer.concat([...signRows(after, [parseIdentity("v2.sensor.0001")], signer)]);
      await offer(after, rows.subarray(IDENTITY_MAX_LENGTH));
      assert.match(broker.published.at(-1) ?? "", /up\/status \{.*"seq":7,"rev":0\}/);
      assert.deepEqual(Buffer.from(has("key"), "latin1"), wanted);
    } finally {
      broker.machine.powerOff();
    }
  });

  test("R3 the device's rekey key opens its row, and nobody else's does: no check value is right", async () => {
    const masters = testMasters();
    const rekeys = await testRekeys({ identities: ["v1.meter.SN1", "v1.meter.SN2"], masters });
    const unwrap = (row: number, master: Buffer, label: Purpose, identity: string) => {
      const keys = Buffer.from(rekeys.manifest(row).subarray(layout.MANIFEST_BYTES));
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
      const update = testUpdate({ sequence });
      const rekeys = await testRekeys({ identities: [identity], update, to, masters });
      const stream = Buffer.alloc(layout.KEYS_BYTES);
      const key = deriveDeviceKey(masters.rekey, parseIdentity(identity), "kdf", "rekey");
      wrapKeys(stream, key, rekeys.manifest(0));
      for (let at = 0; at < stream.length; at += 16) streams.add(stream.toString("hex", at, at + 16));
    }
    assert.equal(streams.size, 25);
  });

  test("R25 rows hold none of the keys that they are made from and for", async () => {
    const masters = testMasters();
    const bytes = await testRekeyRows({ identities: ["v1.meter.SN1"], masters });
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
      const next = {
        about: "",
        pskLabel: "psk" as const,
        deviceKeys: async () => fresh,
        close: async () => {},
      };
      const some = rekeyRows(testUpdate(), 2, [parseIdentity("v1.meter.SN1")], { ota, rekey, next });
      for await (const _ of some);
    };
    await make(false);
    await assert.rejects(make(true), /the same/);
    assert.equal(seen.length, 12);
    for (const key of seen) assert.ok(key.every((byte) => byte === 0));
  });
});

describe("R20 files of new keys", () => {
  const identities = ["v1.meter.SN1", "v2.meter.SN2", "v1.meter.a-serial-of-29-characters-000"];
  const first = "v1.meter.SN1";
  const read = (bytes: Buffer) => manifestsOf(bytes, "keys", "rekey");

  test("come back as they were made", async () => {
    const update = testUpdate({ sequence: 12 });
    const bytes = await testRekeyRows({ identities, update, to: 3 });
    const path = join(folder, "keys");
    writeFileSync(path, bytes);
    const rekeys = readManifests(path, "rekey");
    assert.equal(rekeys.count, 3);
    for (const name of [
      "product",
      "hardware",
      "sequence",
      "version",
      "length",
      "encoding",
      "digest",
    ] as const)
      assert.deepEqual(rekeys.image[name], update[name], name);
    assert.equal(rekeys.image.tag.length, 16);
    for (const [row, identity] of identities.entries()) {
      assert.equal(rekeys.identity(row).text, identity);
      const message = rekeys.manifest(row);
      assert.equal(message.length, layout.MANIFEST_BYTES + layout.KEYS_BYTES);
      assert.deepEqual(
        message,
        bytes.subarray(row * REKEY_ROW_BYTES + IDENTITY_MAX_LENGTH, (row + 1) * REKEY_ROW_BYTES),
      );
      const parsed = parseManifest(message, layout.TYPE_REKEY);
      assert.equal(parsed?.keyVersion, parseIdentity(identity).keyVersion);
      for (const bytes of [message, message.subarray(0, layout.MANIFEST_BYTES)])
        assert.equal(parseManifest(bytes), undefined, "none of an image alone");
      assert.equal(parseManifest(message.subarray(0, -1), layout.TYPE_REKEY), undefined);
      assert.equal(sequenceOf(message), 12);
    }
  });

  test("any byte of identity and manifest changed but the tag is refused, and any of the rest makes the tag false", async () => {
    const masters = testMasters();
    const bytes = await testRekeyRows({ identities, to: 3, masters });
    const key = deriveDeviceKey(masters.ota, parseIdentity(identities[1]), "kdf", "ota");
    const isTagged = (message: Buffer) => {
      const { AT_TAG, MANIFEST_BYTES } = layout;
      const signed = Buffer.concat([message.subarray(0, AT_TAG), message.subarray(MANIFEST_BYTES)]);
      return aesKey(key).cmac(signed).equals(message.subarray(AT_TAG, MANIFEST_BYTES));
    };
    for (let at = 0; at < REKEY_ROW_BYTES; at++) {
      const changed = Buffer.from(bytes);
      changed[REKEY_ROW_BYTES + at] ^= 1;
      if (at < IDENTITY_MAX_LENGTH + layout.AT_TAG)
        assert.throws(() => read(changed), UsageError, `byte ${at}`);
      else assert.equal(isTagged(read(changed).manifest(1)), false, `byte ${at}`);
    }
    assert.ok(isTagged(read(bytes).manifest(1)));
  });

  test("cut short, empty, a serial twice, another's manifest or image: refused with the row", async () => {
    const masters = testMasters();
    const bytes = await testRekeyRows({ identities, to: 3, masters });
    const row = (n: number) => bytes.subarray(n * REKEY_ROW_BYTES, (n + 1) * REKEY_ROW_BYTES);
    const [a, b] = [row(0), row(1)];
    const update = testUpdate({ sequence: 8 });
    const later = await testRekeyRows({ identities: ["v1.meter.SN9"], masters, update, to: 3 });
    const stranger = [a.subarray(0, IDENTITY_MAX_LENGTH), b.subarray(IDENTITY_MAX_LENGTH)];
    for (const [bad, sentence] of [
      [bytes.subarray(0, bytes.length - 1), /rows of 272 bytes/],
      [Buffer.alloc(0), /rows of 272 bytes/],
      [Buffer.alloc(REKEY_ROW_BYTES), /no file of new keys/],
      [Buffer.concat([a, a]), /row 2: the serial SN1 was there already/],
      [Buffer.concat([b, ...stranger]), /row 2: the manifest is not the one of this identity/],
      [Buffer.concat([a, later]), /row 2: the manifest is not the one/],
    ] as const)
      assert.throws(() => read(bad), sentence);
  });

  test("a file with new keys is none without, and the other way round: a sentence says where it belongs", async () => {
    const twelve = Array.from({ length: 12 }, (_, i) => `v1.meter.SN${i}`); // 17 rows of manifests in length
    const bytes = await testRekeyRows({ identities: twelve });
    assert.equal(bytes.length % ROW_BYTES, 0);
    assert.throws(() => manifestsOf(bytes, "a"), /holds new keys, and --manifests takes none/);
    assert.throws(() => manifestsOf(bytes.subarray(0, REKEY_ROW_BYTES), "a"), /holds new keys/);
    const master = masterFromBytes(testMasters().ota, "ota");
    const signed = Buffer.concat([...signRows(testUpdate(), [parseIdentity(first)], master)]);
    assert.throws(() => read(signed), /holds manifests without keys, and --rekey takes none/);
  });

  test("what no device could take is refused", async () => {
    const make = (given: object, identity = first) => testRekeyRows({ identities: [identity], ...given });
    await assert.rejects(make({}, "v2.meter.SN1"), /has key version 2 and 2 is not greater/);
    await assert.rejects(make({ to: 255 }), /from 2 to 254/);
    await assert.rejects(make({ to: 1 }), /from 2 to 254/);
    await assert.rejects(make({ update: { ...testUpdate(), sequence: 0 } }), /from 1/);
    await assert.rejects(make({}, "v1.valve.SN1"), /another product/);
    await assert.rejects(make({}, "v1.meter.a-serial-of-30-characters-0000"), /holds 29/);
  });

  test("R3 a scheme that knows no version takes no new version from the same master", async () => {
    const masters = testMasters();
    const master = (purpose: Purpose) =>
      masterFromBytes(Buffer.from(masters[purpose]), purpose, "aes-serial");
    const [ota, rekey] = [master("ota"), master("rekey")];
    const next = keySourceOfMasters(PURPOSES.map(master));
    const rows = rekeyRows(testUpdate(), 2, [parseIdentity(first)], { ota, rekey, next });
    await assert.rejects(rows.next(), /the new ota key and the present ota key of v1.meter.SN1 are the same/);
  });
});

/** Manifest and wrapped keys of v1.meter.SN0000001 to key version 2, sequence 20; masters: fixedMasters(). */
const KNOWN_ROW =
  "01020001000000010000001400000008312e302e323000000000000000000000ef01fd4f368169b1ae8939b5a0655cf3" +
  "d5187b98892ee37b2b83e79bee7771726d657465722f534e303030303030310000000000000000000000000000000000" +
  "00000000000000000000000000000000437bee89ec1cef9b4f245300bc37128ea013513ceede3160fd234a31971b7448" +
  "da41affa4adc29724291024994ce0ff4640ebf8fb95e82ef9ab7b9f840c86db41b0daeb4a03ec059bce6ab261281ac3c" +
  "82a819ccdc2103610d0b446b8765a3d0";
