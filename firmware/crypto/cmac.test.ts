// AES-128-CMAC over whole blocks, all that the firmware has a use for: the examples of SP 800-38B (the same as RFC 4493's),
// NIST, Wycheproof, node:crypto step by step, @noble/ciphers.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { cmac as noble } from "@noble/ciphers/aes.js";
import { fromHex, generated, needs, toHex, vectorCases, vectorJson } from "../../scripts/lib/test/vectors";
import { cmac } from "./cmac";

/** Whether hexadecimal text is whole blocks, one at least. */
function isWhole(hex: string): boolean {
  return hex.length > 0 && hex.length % 32 === 0;
}

test("R20 CMAC: the examples of SP 800-38B, D.1, and RFC 4493, 4", () => {
  const key = fromHex("2b7e151628aed2a6abf7158809cf4f3c");
  const text = fromHex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
  );
  assert.equal(toHex(cmac(key, text.substr(0, 16))), "070a16b46b4d4144f79bdd9dd04a287c");
  assert.equal(toHex(cmac(key, text)), "51f0bebf7e3b9d92fc49741779363cfe");
});

test("CMAC: NIST's file", needs("mac/nist-800-38b-aes128.txt"), () => {
  const cases = vectorCases("mac/nist-800-38b-aes128.txt", "OUTPUT");
  let count = 0;
  for (const { KEY, MESSAGE, OUTPUT } of cases) {
    if (!isWhole(MESSAGE)) continue;
    assert.equal(toHex(cmac(fromHex(KEY), fromHex(MESSAGE))), OUTPUT);
    count++;
  }
  assert.ok(count >= 2, `${count} cases`);
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
      if (!isWhole(msg)) continue;
      const same = toHex(cmac(fromHex(key), fromHex(msg))).substr(0, group.tagSize / 4) === tag;
      assert.equal(same, result === "valid", `case ${tcId}`);
      count++;
    }
  }
  assert.ok(count > 20, `${count} cases`);
});

test("CMAC: like the definition of SP 800-38B, 6.2, over node:crypto, and like @noble/ciphers, for 1 to 16 blocks", () => {
  const encrypt = (key: string, block: Buffer) => {
    const cipher = createCipheriv("aes-128-ecb", Buffer.from(key, "latin1"), null);
    return cipher.update(block);
  };
  const double = (block: Buffer) => {
    let value = BigInt(`0x${block.toString("hex")}`) << 1n;
    if (value >> 128n) value ^= (1n << 128n) | 0x87n;
    return Buffer.from(value.toString(16).padStart(32, "0"), "hex");
  };
  for (let turn = 0; turn < 64; turn++) {
    const length = 16 + (turn & 15) * 16;
    const key = generated(turn + 1000, 16);
    const data = generated(turn, length);
    const text = Buffer.from(data, "latin1");
    const subkey = double(encrypt(key, Buffer.alloc(16)));
    const last = Buffer.from(text);
    for (let i = 0; i < 16; i++) last[length - 16 + i] ^= subkey[i];
    let mac: Buffer = Buffer.alloc(16);
    for (let at = 0; at < length; at += 16)
      mac = encrypt(key, Buffer.from(mac.map((byte, i) => byte ^ last[at + i])));
    const ours = toHex(cmac(key, data));
    assert.equal(ours, mac.toString("hex"));
    assert.equal(ours, Buffer.from(noble(text, Buffer.from(key, "latin1"))).toString("hex"));
    assert.equal(data, generated(turn, length), "the caller's bytes stay");
  }
});
