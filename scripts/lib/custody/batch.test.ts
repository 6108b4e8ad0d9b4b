// Batches for factories and the masters they are made from: whole, in parts, resumed, forged; no equal check values.
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { writeSecret } from "../files/private_file";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyCheckValue, PURPOSES, type Purpose, splitRoot } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { BATCH_MOST, identitiesOf, makeBatch, openBatch, type SerialRange } from "./batch";
import { keySourceOfMasters, type Master, masterFromBytes, openMaster, openMasters } from "./master";
import { makeFactoryKey, sealForFactory, sealWithPassphrase } from "./sealed_file";
import { Secrets } from "./secrets";

const folder = mkdtempSync(join(tmpdir(), "batch-"));
after(() => rmSync(folder, { recursive: true }));
const pair = makeFactoryKey();
const factory = createPrivateKey({ key: pair.privateKey, format: "der", type: "pkcs8" });
const split = splitRoot(randomKey());
const masters: Master[] = PURPOSES.map((purpose) => masterFromBytes(Buffer.from(split[purpose]), purpose));
const only = (...purposes: Purpose[]) => masters.filter(({ purpose }) => purposes.includes(purpose));
const RANGE: SerialRange = { product: "meter", keyVersion: 2, first: "SN0095", count: 20 };

function put(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describe("a batch", () => {
  test("R1 holds what the masters derive, for each serial and purpose, and no more", async () => {
    const batch = openBatch([put("whole", makeBatch(RANGE, masters, pair.publicKey).bytes)], factory);
    const source = keySourceOfMasters(masters);
    assert.deepEqual(batch.serials.length, 20);
    assert.deepEqual([batch.serials[0], batch.serials[5], batch.serials[19]], ["SN0095", "SN0100", "SN0114"]);
    for (const serial of batch.serials) {
      const identity = parseIdentity(`v2.meter.${serial}`);
      const keys = await batch.deviceKeys(identity);
      assert.deepEqual(keys, await source.deviceKeys(identity));
      for (const purpose of PURPOSES)
        assert.deepEqual(keys[purpose], deriveDeviceKey(split[purpose], identity, "kdf", purpose));
    }
    for (const text of [
      "v1.meter.SN0095",
      "v2.valve.SN0095",
      "v2.meter.SN0094",
      "v2.meter.SN0115",
      "v2.meter.SN095",
    ])
      await assert.rejects(batch.deviceKeys(parseIdentity(text)), UsageError, text);
  });

  test("a bench goes on after any serial", () => {
    const batch = openBatch([put("resumed", makeBatch(RANGE, only("psk"), pair.publicKey).bytes)], factory);
    for (const [place, serial] of batch.serials.entries())
      assert.deepEqual(batch.after(serial), batch.serials.slice(place + 1));
    assert.deepEqual(batch.after(), batch.serials);
    assert.throws(() => batch.after("SN9999"), /has no serial SN9999/);
  });

  test("R25 the caller may wipe what it gets; a closed batch has nothing", async () => {
    const batch = openBatch([put("wiped", makeBatch(RANGE, masters, pair.publicKey).bytes)], factory);
    const identity = parseIdentity("v2.meter.SN0095");
    const before = Buffer.from((await batch.deviceKeys(identity)).psk);
    (await batch.deviceKeys(identity)).psk.fill(0);
    assert.deepEqual((await batch.deviceKeys(identity)).psk, before);
    await batch.close();
    await assert.rejects(batch.deviceKeys(identity), UsageError);
  });

  test("parts of different holders open together, and only where they belong together", async () => {
    const part = (name: string, purposes: Purpose[], range = RANGE) =>
      put(name, makeBatch(range, only(...purposes), pair.publicKey).bytes);
    const [gateway, release, desk] = [
      part("gateway", ["psk"]),
      part("release", ["ota", "rekey"]),
      part("desk", ["console"]),
    ];
    const identity = parseIdentity("v2.meter.SN0100");
    const together = openBatch([desk, gateway, release], factory);
    assert.deepEqual(
      await together.deviceKeys(identity),
      await keySourceOfMasters(masters).deviceKeys(identity),
    );
    assert.equal(together.digests.length, 3);
    await assert.rejects(openBatch([gateway, desk], factory).deviceKeys(identity), /has no ota key/);
    assert.throws(() => openBatch([gateway, gateway], factory), /keys psk are in more than one part/);
    const otherVersion = part("version", ["console"], { ...RANGE, keyVersion: 3 });
    assert.throws(() => openBatch([gateway, otherVersion], factory), /different products or key versions/);
    const otherSerials = part("serials", ["console"], { ...RANGE, first: "SN0500" });
    assert.throws(() => openBatch([gateway, otherSerials], factory), /no serial in common/);
    const overlapping = part("overlap", ["console"], { ...RANGE, first: "SN0110" });
    assert.deepEqual(openBatch([gateway, overlapping], factory).serials, [
      "SN0110",
      "SN0111",
      "SN0112",
      "SN0113",
      "SN0114",
    ]);
  });

  test("R3 no equal check values in the largest batch: whoever has another's is left out, by name", () => {
    const range = { ...RANGE, first: "SN00001", count: BATCH_MOST };
    // Fixed masters, so that there are equal ones among 10,000 values of 24 bits.
    const master = masterFromBytes(Buffer.from("9fe3c1a2557f08d46b0e93712cad5586", "hex"));
    const made = makeBatch(range, [master], pair.publicKey);
    const derived = identitiesOf(range).map((identity) => keyCheckValue(master.deviceKey(identity)));
    assert.ok(made.leftOut.length > 0);
    assert.equal(made.leftOut.length, derived.length - new Set(derived).size);
    const batch = openBatch([put("largest", made.bytes)], factory);
    const values = batch.serials.map((serial) =>
      keyCheckValue(batch.deviceKey(parseIdentity(`v2.meter.${serial}`), "psk")),
    );
    assert.equal(values.length, made.count);
    assert.equal(new Set(values).size, values.length);
    for (const { serial, reason } of made.leftOut) {
      assert.ok(!batch.serials.includes(serial));
      assert.match(reason, /its check value psk [0-9A-F]{6} is that of SN\d{5} as well/);
    }
  });

  const fields = { ...RANGE, count: 2, leftOut: [], purposes: [{ purpose: "psk", scheme: "kdf" }] };
  const key = randomKey();
  const forged: Record<string, [object, Buffer, RegExp]> = {
    "R3 one key for two devices": [fields, Buffer.concat([key, key]), /is that of SN0095 as well/],
    "R1 a zero key": [fields, Buffer.concat([key, Buffer.alloc(16)]), /is all zero/],
    "R1 a repeated key": [fields, Buffer.concat([key, Buffer.alloc(16, 0xa7)]), /repeats itself/],
    "R1 a test key": [
      fields,
      Buffer.concat([key, Buffer.from("2b7e151628aed2a6abf7158809cf4f3c", "hex")]),
      /published test key/,
    ],
    "R1 a short key": [fields, Buffer.concat([key, randomKey().subarray(1)]), /another number of keys/],
    "a key too many": [fields, Buffer.concat([key, randomKey(), randomKey()]), /another number of keys/],
    "R12 a serial that is none": [
      { ...fields, product: "me/ter" },
      Buffer.concat([key, randomKey()]),
      /is not v</,
    ],
    "no purposes": [{ ...fields, purposes: [] }, Buffer.alloc(0), /header that no batch has/],
    "a purpose that is none": [
      { ...fields, purposes: [{ purpose: "__proto__", scheme: "kdf" }] },
      Buffer.concat([key, randomKey()]),
      /header that no batch has/,
    ],
    "a count without end": [{ ...fields, count: 1e12 }, key, /header that no batch has/],
    "no fields": [{}, key, /header that no batch has/],
  };
  for (const [name, [header, contents, sentence]] of Object.entries(forged)) {
    test(`forged by whoever has the public key: ${name}: refused`, () => {
      const path = put(
        "forged",
        sealForFactory("batch", header as Record<string, unknown>, contents, pair.publicKey),
      );
      assert.throws(
        () => openBatch([path], factory),
        (error: Error) => {
          assert.ok(error instanceof UsageError, error.stack);
          assert.match(error.message, sentence);
          assert.ok(!error.message.includes(key.toString("hex")));
          return true;
        },
      );
    });
  }
});

describe("R12 serials", () => {
  const list = (first: string, count: number, product = "meter") =>
    identitiesOf({ product, keyVersion: 1, first, count }).map(({ text }) => text);

  test("R12 digits count up and keep their number", () => {
    assert.deepEqual(list("SN098", 4), [
      "v1.meter.SN098",
      "v1.meter.SN099",
      "v1.meter.SN100",
      "v1.meter.SN101",
    ]);
    assert.deepEqual(list("7A0009", 2), ["v1.meter.7A0009", "v1.meter.7A0010"]);
  });

  const long = `${"S".repeat(54)}0001`; // v1.meter. and 58 more: 67 bytes
  const refused: Record<string, [string, number, string?]> = {
    "no digits": ["SN", 1],
    "too few digits": ["SN98", 3],
    "too long": [long, 1],
    "a dot": ["S.N01", 1],
    "a colon": ["S:N01", 1],
    NUL: ["S\0N01", 1],
    "UTF-8": ["Sérial01", 1],
    "a wildcard": ["S#01", 1],
    "a product of the broker": ["SN01", 1, "$SYS"],
    "a product with a colon": ["SN01", 1, "me:ter"],
  };
  for (const [name, args] of Object.entries(refused))
    test(`R12 refused: ${name}`, () => assert.throws(() => list(...args), UsageError));
});

describe("a master at its place", () => {
  const noSecrets = new Secrets({}, ["master"]);
  const passphrase = "clip rust onyx eel mango tidy";
  const open = (path: string, wanted: object = {}) => {
    writeFileSync(join(folder, "passphrase"), passphrase, { mode: 0o600 });
    const secrets = new Secrets({ "passphrase-file": [join(folder, "passphrase")] }, ["master"]);
    return openMaster(path, { secrets, name: "master", ...wanted });
  };

  test("R1 raw and sealed derive the same; what the sealed file says of itself is held to", async () => {
    const bytes = randomKey();
    const raw = join(folder, "raw");
    writeSecret(raw, bytes);
    const fields = { purpose: "ota", scheme: "an10922" };
    const sealed = put(
      "sealed",
      await sealWithPassphrase("master", fields, bytes, Buffer.from(passphrase), 1 << 14),
    );
    const identity = parseIdentity("v1.meter.SN1");
    const fromRaw = await openMaster(raw, {
      purpose: "ota",
      scheme: "an10922",
      secrets: noSecrets,
      name: "master",
    });
    const fromSealed = await open(sealed);
    assert.equal(fromSealed.purpose, "ota");
    assert.deepEqual(fromSealed.deviceKey(identity), fromRaw.deviceKey(identity));
    assert.equal(fromSealed.checkValue(), keyCheckValue(bytes));
    await assert.rejects(open(sealed, { purpose: "psk" }), /is the master ota, and the master psk is needed/);
    await assert.rejects(open(sealed, { scheme: "kdf" }), /is for the scheme an10922, not for kdf/);
    await assert.rejects(open(raw), /does not say which of the masters it holds/);
    fromSealed.close();
  });

  test("R1 weak masters are refused, sealed or not", async () => {
    for (const [i, weak] of [
      Buffer.alloc(16),
      Buffer.alloc(16, 0x5a),
      randomKey().subarray(0, 15),
    ].entries()) {
      const fields = { purpose: "psk", scheme: "kdf" };
      const path = put(
        `weak${i}`,
        await sealWithPassphrase("master", fields, weak, Buffer.from(passphrase), 1 << 14),
      );
      await assert.rejects(open(path), /is all zero|repeats itself|is 15 bytes long/);
      writeSecret(join(folder, `weak-raw${i}`), weak);
      await assert.rejects(open(join(folder, `weak-raw${i}`), { purpose: "psk" }), UsageError);
    }
  });

  test("four are needed for a bench, each once", async () => {
    assert.throws(() => keySourceOfMasters(only("psk", "ota")), /missing: console, rekey/);
    const twice = [
      { purpose: "psk" as const, place: "a" },
      { purpose: "psk" as const, place: "b" },
    ];
    await assert.rejects(openMasters(twice, noSecrets), /the master psk is given twice/);
  });

  test("R3 each purpose has keys of its own, under one master as well", () => {
    const identity = parseIdentity("v1.meter.SN1");
    const keys = PURPOSES.map((purpose) =>
      deriveDeviceKey(split.psk, identity, "kdf", purpose).toString("hex"),
    );
    assert.equal(new Set(keys).size, 4);
  });
});
