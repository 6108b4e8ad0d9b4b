// Key derivation against published answers, stock OpenSSL and NIST's vectors; identities; weak masters; key files.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { cmac } from "@noble/ciphers/aes.js";
import { UsageError } from "../cli/exit";
import {
  an10922,
  deriveDeviceKey,
  identityFault,
  kbkdf,
  keyCheckValue,
  masterFault,
  PURPOSES,
  parseIdentity,
  randomKey,
  readSecret,
  splitRoot,
  strongKey,
  topicPrefix,
  writeSecret,
} from "./keys";

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
const KNOWN_MASTER = hex("00112233445566778899AABBCCDDEEFF");

describe("the KDF", () => {
  test("R1 known answer of the protocol page", () => {
    assert.deepEqual(
      kbkdf(KNOWN_MASTER, "psk/v1", "SN0000000001234"),
      hex("5293A6ECAB33C6938F2783A537694190"),
    );
  });

  test("R1 agrees with stock OpenSSL's KBKDF over masters, labels and identities of every length", () => {
    for (let length = 1; length <= 64; length += 7) {
      const master = randomKey();
      const context = "v1.meter.SN0000001234567890123456789012345678901234567890123456789".slice(0, length);
      for (const label of ["psk", "ota", "console", "rekey"]) {
        const line = execFileSync(
          "openssl",
          // A key on a command line is for throwaway keys like this one only.
          [
            "kdf",
            "-keylen",
            "16",
            "-kdfopt",
            "mac:CMAC",
            "-kdfopt",
            "cipher:AES-128-CBC",
            "-kdfopt",
            "mode:COUNTER",
          ].concat([
            "-kdfopt",
            `hexkey:${master.toString("hex")}`,
            "-kdfopt",
            `salt:${label}`,
            "-kdfopt",
            `info:${context}`,
            "KBKDF",
          ]),
          { encoding: "utf8" },
        );
        assert.equal(
          kbkdf(master, label, context).toString("hex"),
          line.trim().replaceAll(":", "").toLowerCase(),
        );
      }
    }
  });

  const nist = new URL("../../../../shared/vectors/nist/kbkdf_ctr_cmac_aes128.json", import.meta.url);
  test("R1 NIST's vectors: CMAC over the counter and the fixed input", {
    skip: !existsSync(nist) && "vectors absent",
  }, () => {
    const { cases } = JSON.parse(readFileSync(nist, "utf8"));
    const oneBlock = cases.filter((vector: { L: number }) => vector.L === 128);
    assert.ok(oneBlock.length > 0);
    for (const { KI, fixed, KO } of oneBlock) {
      // The vectors' fixed input has no structure of its own, so they meet the MAC that kbkdf() calls.
      assert.equal(Buffer.from(cmac(hex(`00000001${fixed}`), hex(KI))).toString("hex"), KO);
    }
  });

  test("R3 versions, products, serials and purposes all give keys of their own", () => {
    const masters = splitRoot(hex("9fe3c1a2557f08d46b0e93712cad5586"));
    const identities = ["v1.meter.SN1", "v2.meter.SN1", "v1.valve.SN1", "v1.meter.SN2", "v1.meterS.N1"].map(
      parseIdentity,
    );
    const keys = identities.map((identity) => deriveDeviceKey(masters.psk, identity).toString("hex"));
    for (const purpose of PURPOSES)
      keys.push(masters[purpose].toString("hex"), kbkdf(masters.psk, purpose, "x").toString("hex"));
    assert.equal(new Set(keys).size, keys.length);
  });

  test("R3 a batch: 1000 keys of their own, no equal check values in a hundred", () => {
    const batch = Array.from({ length: 1000 }, (_, n) =>
      deriveDeviceKey(KNOWN_MASTER, parseIdentity(`v1.meter.SN${n}`)),
    );
    assert.equal(new Set(batch.map((key) => key.toString("hex"))).size, 1000);
    assert.equal(new Set(batch.slice(0, 100).map(keyCheckValue)).size, 100);
  });
});

describe("the selectable schemes", () => {
  test("R1 AN10922's published AES-128 example", () => {
    const input = hex("04782E21801D80 3042F5 4E585020416275"); // UID, application id, system identifier
    assert.deepEqual(an10922(KNOWN_MASTER, input), hex("A8DD63A3B89D54B37CA802473FDA9175"));
  });

  test("R1 AN10922 is CMAC over 01 || M wherever CMAC pads to two blocks as well", () => {
    for (let length = 16; length <= 31; length++) {
      const input = Buffer.alloc(length, length);
      const message = Buffer.concat([Buffer.from([1]), input]);
      assert.deepEqual(
        an10922(KNOWN_MASTER, input),
        Buffer.from(cmac(message, KNOWN_MASTER)),
        `${length} bytes`,
      );
    }
  });

  test("R1 AN10922 takes 1 to 31 bytes and nothing else", () => {
    assert.equal(an10922(KNOWN_MASTER, Buffer.alloc(1)).length, 16);
    for (const length of [0, 32, 64])
      assert.throws(() => an10922(KNOWN_MASTER, Buffer.alloc(length)), UsageError);
  });

  test("R1 aes-serial is one AES block, and a serial over 16 bytes is refused", () => {
    const block = Buffer.from("SN00000000012345");
    const cipher = createCipheriv("aes-128-ecb", KNOWN_MASTER, null).setAutoPadding(false);
    const expected = cipher.update(block);
    assert.deepEqual(
      deriveDeviceKey(KNOWN_MASTER, parseIdentity("v1.meter.SN00000000012345"), "aes-serial"),
      expected,
    );
    assert.throws(
      () => deriveDeviceKey(KNOWN_MASTER, parseIdentity("v1.meter.SN000000000123456"), "aes-serial"),
      /longer than the 16 bytes/,
    );
  });

  test("R3 the three schemes disagree", () => {
    const identity = parseIdentity("v1.meter.SN0000001");
    const keys = (["kdf", "aes-serial", "an10922"] as const).map((name) =>
      deriveDeviceKey(KNOWN_MASTER, identity, name).toString("hex"),
    );
    assert.equal(new Set(keys).size, 3);
  });
});

test("the key check value is the first 3 bytes of CMAC(key, 16 zero bytes)", () => {
  const expected = Buffer.from(cmac(new Uint8Array(16), KNOWN_MASTER))
    .toString("hex", 0, 3)
    .toUpperCase();
  assert.equal(keyCheckValue(KNOWN_MASTER), expected);
  assert.match(keyCheckValue(randomKey()), /^[0-9A-F]{6}$/);
});

describe("R12 identities", () => {
  test("R12 a good one is taken apart and never changed", () => {
    const identity = parseIdentity("v12.meter.SN_0-1");
    assert.deepEqual(identity, {
      text: "v12.meter.SN_0-1",
      keyVersion: 12,
      product: "meter",
      serial: "SN_0-1",
    });
    assert.equal(topicPrefix(identity), "meter/SN_0-1/");
  });

  test("R12 64 bytes are taken, 65 are not", () => {
    const longest = `v1.m.${"S".repeat(59)}`;
    assert.equal(longest.length, 64);
    assert.equal(parseIdentity(longest).text, longest);
    assert.throws(() => parseIdentity(`${longest}S`), /longer than 64/);
  });

  test("R12 compared as bytes: case and digits matter", () => {
    const keys = ["v1.meter.sn1", "v1.meter.SN1", "v1.METER.sn1"].map((text) =>
      kbkdf(KNOWN_MASTER, "psk", text).toString("hex"),
    );
    assert.equal(new Set(keys).size, 3);
  });

  const refused: Record<string, string> = {
    empty: "",
    NUL: "v1.meter.SN1\0",
    "NUL inside": "v1.meter\0.SN1",
    colon: "v1.meter.SN:1",
    "UTF-8": "v1.mètre.SN1",
    "line feed": "v1.meter.SN1\n",
    delete: "v1.meter.SN1\x7f",
    "no version": "meter.SN1",
    "version 0": "v0.meter.SN1",
    "leading zero": "v01.meter.SN1",
    "capital V": "V1.meter.SN1",
    "huge version": "v123456.meter.SN1",
    "no serial": "v1.meter",
    "empty serial": "v1.meter.",
    "empty product": "v1..SN1",
    "four parts": "v1.meter.SN1.x",
    slash: "v1.meter/other.SN1",
    plus: "v1.meter.+",
    hash: "v1.#.SN1",
    space: "v1.meter.SN 1",
    dollar: "v1.$SYS.SN1",
  };
  for (const [name, text] of Object.entries(refused)) {
    test(`R12 refused: ${name}`, () => assert.throws(() => parseIdentity(text), UsageError));
  }

  test("R12 what any TLS-PSK identity may hold is the wider rule", () => {
    assert.equal(identityFault("any printable ~ text"), undefined);
    assert.match(identityFault("a:b") ?? "", /colon/);
  });
});

describe("R1 weak masters", () => {
  const weak: Record<string, Buffer> = {
    short: randomKey().subarray(0, 15),
    empty: Buffer.alloc(0),
    long: Buffer.concat([randomKey(), randomKey()]),
    zero: Buffer.alloc(16),
    "one byte repeated": Buffer.alloc(16, 0xa7),
    "two bytes repeated": Buffer.alloc(16, hex("a712")),
    "four bytes repeated": Buffer.alloc(16, hex("a7129c5e")),
    "eight bytes repeated": Buffer.alloc(16, hex("a7129c5e01ff3344")),
    counting: hex("101112131415161718191a1b1c1d1e1f"),
    "counting down": hex("f0efeeedecebeae9e8e7e6e5e4e3e2e1"),
    "the key of FIPS 197": hex("000102030405060708090a0b0c0d0e0f"),
    "the key of SP 800-38B": hex("2b7e151628aed2a6abf7158809cf4f3c"),
    "the key of AN10922": KNOWN_MASTER,
    "a serial number": Buffer.from("SN00000000012345"),
  };
  for (const [name, master] of Object.entries(weak)) {
    test(`R1 refused: ${name}`, () => assert.throws(() => strongKey(master, "the master"), UsageError));
  }

  test("R1 random keys are taken, and the sentence never shows the key", () => {
    for (let i = 0; i < 2000; i++) assert.equal(masterFault(randomKey()), undefined);
    for (const master of Object.values(weak)) {
      const shown = masterFault(master) ?? "";
      if (master.length >= 4) assert.ok(!shown.toLowerCase().includes(master.toString("hex")));
    }
  });
});

describe("R25 key files", () => {
  const folder = mkdtempSync(join(tmpdir(), "keys-"));
  after(() => rmSync(folder, { recursive: true }));

  test("R25 written for the owner alone, never over another, read back whole", () => {
    const path = join(folder, "key");
    const key = randomKey();
    writeSecret(path, key);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readSecret(path), key);
    assert.throws(() => writeSecret(path, randomKey()), /not written over/);
    assert.deepEqual(readSecret(path), key);
  });

  test("R25 hex is read too; a weak, missing, oversized or shared file is a sentence without the key in it", () => {
    const path = join(folder, "hex");
    const key = randomKey();
    writeFileSync(path, `${key.toString("hex")}\n`, { mode: 0o600 });
    assert.deepEqual(readSecret(path), key);
    chmodSync(path, 0o644);
    assert.throws(() => readSecret(path), /chmod 600/);
    chmodSync(path, 0o600);
    writeFileSync(path, KNOWN_MASTER);
    assert.throws(() => readSecret(path), /published/);
    writeFileSync(path, key.subarray(1));
    assert.throws(() => readSecret(path), /15 bytes/);
    writeFileSync(path, Buffer.alloc(100));
    assert.throws(() => readSecret(path), /too long/);
    assert.throws(() => readSecret(join(folder, "absent")), /no such file/);
    assert.throws(() => readSecret(folder), /folder/);
  });
});
