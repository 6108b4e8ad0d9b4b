// Key derivation against published answers, stock OpenSSL and NIST's vectors.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { cmac } from "@noble/ciphers/aes.js";
import { UsageError } from "../cli/exit";
import { parseIdentity } from "./identity";
import { an10922, deriveDeviceKey, kbkdf, keyCheckValue, PURPOSES, splitRoot } from "./kdf";
import { randomKey } from "./weak_keys";

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
