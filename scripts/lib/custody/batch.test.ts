// Batches for factories and the masters they are made from: whole, in parts, resumed, forged; no equal check values.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { writeSecret } from "../files/private_file";
import { treeRoot } from "../keys/epoch_tree";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyCheckValue, PURPOSES, type Purpose, splitRoot } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import {
  type Batch,
  holdToProfile,
  identitiesOf,
  makeBatch,
  openBatch,
  readBatch,
  type SerialRange,
} from "./batch";
import { keySourceOfMasters, type Master, masterFromBytes, openMaster, openMasters } from "./master";
import { BATCH_MOST, DIGEST_OPTION } from "./options";
import { type Contents, makeFactoryKey, readSealed, sealForFactory, sealWithPassphrase } from "./sealed_file";
import { Secrets } from "./secrets";

const folder = mkdtempSync(join(tmpdir(), "batch-"));
after(() => rmSync(folder, { recursive: true }));
const { privateKey, publicKey } = await makeFactoryKey();
const split = splitRoot(randomKey());
const masters: Master[] = PURPOSES.map((purpose) => masterFromBytes(Buffer.from(split[purpose]), purpose));
const only = (...purposes: Purpose[]) => masters.filter(({ purpose }) => purposes.includes(purpose));
const RANGE: SerialRange = { product: "meter", keyVersion: 2, first: "SN0095", count: 20 };

function put(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

async function made(name: string, range: SerialRange, some: readonly Master[]): Promise<string> {
  return put(name, (await makeBatch(range, some, publicKey)).bytes);
}

const open = (...paths: string[]): Promise<Batch> => openBatch(paths.map(readSealed), privateKey);

describe("a batch", () => {
  test("R38 holds the roots of trees under the profile epochs, and says so: who wants other keys is refused", async () => {
    const roots = put("roots", (await makeBatch(RANGE, only("psk"), publicKey, "psk/tree")).bytes);
    const batch = await open(roots, await made("others", RANGE, only("ota", "console", "rekey")));
    assert.equal(batch.pskLabel, "psk/tree");
    const identity = parseIdentity("v2.meter.SN0100");
    assert.deepEqual(batch.deviceKey(identity, "psk"), treeRoot(split.psk, identity.text));
    assert.deepEqual(batch.deviceKey(identity, "ota"), deriveDeviceKey(split.ota, identity, "kdf", "ota"));
    holdToProfile(batch, "epochs", "psk/tree");
    assert.throws(
      () => holdToProfile(batch, "main", "psk"),
      /psk keys of the label psk\/tree, and the profile main/,
    );
    assert.equal((await open(await made("plain", RANGE, masters))).pskLabel, "psk");
  });

  test("R1 holds what the masters derive, for each serial and purpose, and no more", async () => {
    const batch = await open(await made("whole", RANGE, masters));
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

  test("a bench goes on after any serial", async () => {
    const batch = await open(await made("resumed", RANGE, only("psk")));
    for (const [place, serial] of batch.serials.entries())
      assert.deepEqual(batch.after(serial), batch.serials.slice(place + 1));
    assert.deepEqual(batch.after(), batch.serials);
    assert.throws(() => batch.after("SN9999"), /has no serial SN9999/);
  });

  test("R25 the caller may wipe what it gets; a closed batch has nothing", async () => {
    const batch = await open(await made("wiped", RANGE, masters));
    const identity = parseIdentity("v2.meter.SN0095");
    const before = Buffer.from((await batch.deviceKeys(identity)).psk);
    (await batch.deviceKeys(identity)).psk.fill(0);
    assert.deepEqual((await batch.deviceKeys(identity)).psk, before);
    await batch.close();
    await assert.rejects(batch.deviceKeys(identity), UsageError);
  });

  test("parts of different holders open together, and only where they belong together", async () => {
    const part = (name: string, purposes: Purpose[], range = RANGE) => made(name, range, only(...purposes));
    const gateway = await part("gateway", ["psk"]);
    const release = await part("release", ["ota", "rekey"]);
    const desk = await part("desk", ["console"]);
    const identity = parseIdentity("v2.meter.SN0100");
    const together = await open(desk, gateway, release);
    assert.deepEqual(
      await together.deviceKeys(identity),
      await keySourceOfMasters(masters).deviceKeys(identity),
    );
    assert.equal(together.digests.length, 3);
    await assert.rejects((await open(gateway, desk)).deviceKeys(identity), /has no ota key/);
    await assert.rejects(open(gateway, gateway), /keys psk are in more than one part/);
    const otherVersion = await part("version", ["console"], { ...RANGE, keyVersion: 3 });
    await assert.rejects(open(gateway, otherVersion), /different products or key versions/);
    const otherSerials = await part("serials", ["console"], { ...RANGE, first: "SN0500" });
    await assert.rejects(open(gateway, otherSerials), /no serial in common/);
    const overlapping = await part("overlap", ["console"], { ...RANGE, first: "SN0110" });
    const { serials } = await open(gateway, overlapping);
    assert.deepEqual(serials, ["SN0110", "SN0111", "SN0112", "SN0113", "SN0114"]);
  });

  test("R1 each part is held to a digest that was told: whoever has the public key can make a batch", async () => {
    const { bytes, digest } = await makeBatch(RANGE, only("psk"), publicKey);
    const theirs = put("theirs", bytes);
    const desk = await made("told", RANGE, only("console"));
    const told = (text: string) => DIGEST_OPTION.parse?.(text) as unknown as string;
    const second = told(readSealed(desk).digest);
    assert.equal(readBatch([theirs], [told(digest.toUpperCase())])[0].digest, digest);
    assert.equal(readBatch([theirs, desk], [second, told(digest.replaceAll(" ", ""))]).length, 2);
    // keys of a stranger's, in all else the same
    const own = masterFromBytes(randomKey(), "psk");
    const stranger = await made("stranger", RANGE, [own]);
    const refused = (paths: string[], digests: string[], sentence: RegExp) =>
      assert.throws(
        () => readBatch(paths, digests),
        (error: Error) => {
          assert.match(error.message, sentence);
          // or it would be taken from here
          assert.ok(!error.message.includes(readSealed(stranger).digest));
          return true;
        },
      );
    refused([stranger], [told(digest)], /none of the digests that --digest says/);
    refused([theirs, stranger], [told(digest), second], /none of the digests/);
    refused([theirs, desk], [told(digest)], /none of the digests/);
    refused([theirs], [told(digest), second], /needs a --digest of its own/);
    for (const none of ["", "1234", `${digest} 0`, digest.replace(/^./, "g")])
      assert.throws(() => told(none), /a digest is 32 hex digits/);
  });

  test("R3 no equal check values in the largest batch: whoever has another's is left out, by name", async () => {
    const range = { ...RANGE, first: "SN00001", count: BATCH_MOST };
    // Fixed masters, so that there are equal ones among 10,000 values of 24 bits.
    const master = masterFromBytes(Buffer.from("9fe3c1a2557f08d46b0e93712cad5586", "hex"));
    const largest = await makeBatch(range, [master], publicKey);
    const derived = identitiesOf(range).map((identity) => keyCheckValue(master.deviceKey(identity)));
    assert.ok(largest.leftOut.length > 0);
    assert.equal(largest.leftOut.length, derived.length - new Set(derived).size);
    const batch = await open(put("largest", largest.bytes));
    const values = batch.serials.map((serial) =>
      keyCheckValue(batch.deviceKey(parseIdentity(`v2.meter.${serial}`), "psk")),
    );
    assert.equal(values.length, largest.count);
    assert.equal(new Set(values).size, values.length);
    for (const { serial, reason } of largest.leftOut) {
      assert.ok(!batch.serials.includes(serial));
      assert.match(reason, /its check value psk [0-9A-F]{6} is that of SN\d{5} as well/);
    }
  });

  const key = randomKey().toString("hex");
  const other = () => randomKey().toString("hex");
  const fields = { holds: "batch", product: "meter", keyVersion: 2, purposes: ["psk"] } as const;
  const devices = (...keys: string[]) => keys.map((each, i) => [`SN009${i}`, each]);
  const forged: Record<string, [Contents, RegExp]> = {
    "R3 one key for two devices": [{ ...fields, devices: devices(key, key) }, /is that of SN0090 as well/],
    "R1 a zero key": [{ ...fields, devices: devices(key, "00".repeat(16)) }, /is all zero/],
    "R1 a repeated key": [{ ...fields, devices: devices(key, "a7".repeat(16)) }, /repeats itself/],
    "R1 a test key": [
      { ...fields, devices: devices(key, "2b7e151628aed2a6abf7158809cf4f3c") },
      /published test key/,
    ],
    "R1 a short key": [{ ...fields, devices: devices(key, other().slice(2)) }, /as no batch is/],
    "a key too many": [{ ...fields, devices: [["SN0090", key, other()]] }, /as no batch is/],
    "a serial twice": [
      {
        ...fields,
        devices: [
          ["SN0090", key],
          ["SN0090", other()],
        ],
      },
      /it is there twice/,
    ],
    "R12 a product that is none": [{ ...fields, product: "me/ter", devices: devices(key) }, /is not v</],
    "R12 a serial that is none": [{ ...fields, devices: [["SN.1", key]] }, /is not v</],
    "no purposes": [{ ...fields, purposes: [], devices: [["SN0090"]] }, /as no batch is/],
    "a purpose that is none": [
      { ...fields, purposes: ["__proto__"], devices: devices(key) },
      /as no batch is/,
    ],
    "no devices": [{ ...fields, devices: [] }, /no serial in common/],
    "devices without end": [
      { ...fields, devices: Array.from({ length: BATCH_MOST + 1 }, () => ["SN1", key]) },
      /as no batch is/,
    ],
    "no fields": [{ holds: "batch" }, /as no batch is/],
    "something else": [{ holds: "master", key }, /holds a master, not a batch/],
  };
  for (const [name, [contents, sentence]] of Object.entries(forged)) {
    test(`forged by whoever has the public key: ${name}: refused`, async () => {
      await assert.rejects(open(put("forged", await sealForFactory(contents, publicKey))), (error: Error) => {
        assert.ok(error instanceof UsageError, error.stack);
        assert.match(error.message, sentence);
        assert.ok(!error.message.includes(key));
        return true;
      });
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
  const openHere = (path: string, wanted: object = {}) => {
    writeFileSync(join(folder, "passphrase"), passphrase, { mode: 0o600 });
    const secrets = new Secrets({ "passphrase-file": [join(folder, "passphrase")] }, ["master"]);
    return openMaster(path, { secrets, name: "master", ...wanted });
  };

  const sealedFile = async (name: string, bytes: Buffer, purpose: Purpose, scheme: string) => {
    const contents = { holds: "master", purpose, scheme, key: bytes.toString("hex") } as const;
    return put(name, await sealWithPassphrase(contents, Buffer.from(passphrase), 10));
  };

  test("R1 raw and sealed derive the same; what the sealed file says of itself is held to", async () => {
    const bytes = randomKey();
    const raw = join(folder, "raw");
    writeSecret(raw, bytes);
    const sealed = await sealedFile("sealed", bytes, "ota", "an10922");
    const identity = parseIdentity("v1.meter.SN1");
    const fromRaw = await openMaster(raw, {
      purpose: "ota",
      scheme: "an10922",
      secrets: noSecrets,
      name: "master",
    });
    const fromSealed = await openHere(sealed);
    assert.equal(fromSealed.purpose, "ota");
    assert.deepEqual(fromSealed.deviceKey(identity), fromRaw.deviceKey(identity));
    assert.equal(fromSealed.checkValue(), keyCheckValue(bytes));
    await assert.rejects(
      openHere(sealed, { purpose: "psk" }),
      /is the master ota, and the master psk is needed/,
    );
    await assert.rejects(openHere(sealed, { scheme: "kdf" }), /is for the scheme an10922, not for kdf/);
    await assert.rejects(openHere(raw), /does not say which of the masters it holds/);
    fromSealed.close();
  });

  test("R1 weak masters are refused, sealed or not", async () => {
    for (const [i, weak] of [
      Buffer.alloc(16),
      Buffer.alloc(16, 0x5a),
      randomKey().subarray(0, 15),
    ].entries()) {
      const path = await sealedFile(`weak${i}`, weak, "psk", "kdf");
      await assert.rejects(openHere(path), /is all zero|repeats itself|is 15 bytes long/);
      writeSecret(join(folder, `weak-raw${i}`), weak);
      await assert.rejects(openHere(join(folder, `weak-raw${i}`), { purpose: "psk" }), UsageError);
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
