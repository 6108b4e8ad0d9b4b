// AES-128-CMAC: the examples of SP 800-38B (the same as RFC 4493's), NIST, Wycheproof, node:crypto step by step.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorCases, vectorJson } from "../../scripts/lib/vectors";
import { cmac } from "./cmac";

test("R20 CMAC: the examples of SP 800-38B, D.1, and RFC 4493, 4", () => {
  const key = fromHex("2b7e151628aed2a6abf7158809cf4f3c");
  const text = fromHex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
  );
  assert.equal(toHex(cmac(key, "")), "bb1d6929e95937287fa37d129b756746");
  assert.equal(toHex(cmac(key, text.substr(0, 16))), "070a16b46b4d4144f79bdd9dd04a287c");
  assert.equal(toHex(cmac(key, text.substr(0, 40))), "dfa66747de9ae63030ca32611497c827");
  assert.equal(toHex(cmac(key, text)), "51f0bebf7e3b9d92fc49741779363cfe");
});

test("CMAC: NIST's file", needs("mac/nist-800-38b-aes128.txt"), () => {
  const cases = vectorCases("mac/nist-800-38b-aes128.txt", "OUTPUT");
  assert.ok(cases.length >= 4);
  for (const { KEY, MESSAGE, OUTPUT } of cases)
    assert.equal(toHex(cmac(fromHex(KEY), fromHex(MESSAGE))), OUTPUT);
});

interface MacFile {
  testGroups: {
    keySize: number;
    tagSize: number;
    tests: { tcId: number; key: string; msg: string; tag: string; result: string }[];
  }[];
}

test("CMAC: Wycheproof, truncated and edited tags", needs("mac/wycheproof_aes_cmac_test.json"), () => {
  let count = 0;
  for (const group of vectorJson<MacFile>("mac/wycheproof_aes_cmac_test.json").testGroups) {
    if (group.keySize !== 128) continue;
    for (const { tcId, key, msg, tag, result } of group.tests) {
      const same = toHex(cmac(fromHex(key), fromHex(msg))).substr(0, group.tagSize / 4) === tag;
      assert.equal(same, result === "valid", `case ${tcId}`);
      count++;
    }
  }
  assert.ok(count > 50);
});

test("CMAC: like the definition of SP 800-38B, 6.2, over node:crypto, for every length to 70 bytes", () => {
  const encrypt = (key: string, block: Buffer) => {
    const cipher = createCipheriv("aes-128-ecb", Buffer.from(key, "latin1"), null);
    return cipher.update(block);
  };
  const double = (block: Buffer) => {
    let value = BigInt(`0x${block.toString("hex")}`) << 1n;
    if (value >> 128n) value ^= (1n << 128n) | 0x87n;
    return Buffer.from(value.toString(16).padStart(32, "0"), "hex");
  };
  for (let length = 0; length <= 70; length++) {
    const key = generated(length + 1000, 16);
    const text = Buffer.from(generated(length, length), "latin1");
    const whole = length > 0 && length % 16 === 0;
    const padded = whole
      ? text
      : Buffer.concat([text, Buffer.from([0x80]), Buffer.alloc(15 - (length % 16))]);
    let subkey = double(encrypt(key, Buffer.alloc(16)));
    if (!whole) subkey = double(subkey);
    for (let i = 0; i < 16; i++) padded[padded.length - 16 + i] ^= subkey[i];
    let mac: Buffer = Buffer.alloc(16);
    for (let at = 0; at < padded.length; at += 16)
      mac = encrypt(key, Buffer.from(mac.map((byte, i) => byte ^ padded[at + i])));
    assert.equal(toHex(cmac(key, generated(length, length))), mac.toString("hex"));
  }
});
