// The host's side of the technician's challenge: answers beside fixed ones, made with @noble/ciphers and arithmetic on big
// integers; base 32 beside the same arithmetic, and as people type it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { aesKey } from "../keys/kdf";
import { challengeAnswer, decodeBase32, encodeBase32, ROLES } from "./challenge";

const KEY = Buffer.from("2b7e151628aed2a6abf7158809cf4f3c", "hex");
const nonceOf = (hex: string) => Buffer.from(hex, "hex");

test("R26 answers to fixed challenges", () => {
  const cases = [
    // CMAC of 636f6e73 0011223344556677 000001 0f is 92e213b5b0362b22...
    { role: "s", nonce: "0011223344556677", boots: 1, minutes: 15, answer: "JBH1-7DDG-6RNJ" },
    // of 636f6e72 ffffffffffffffff ffffff ff: e6ba04ffa8a43831...
    { role: "r", nonce: "ffffffffffffffff", boots: 0xffffff, minutes: 255, answer: "WTX0-9ZX8-MGW3" },
    // of 636f6e72 0000000000000000 000000 01: 619b6b39d85f33e8...
    { role: "r", nonce: "0000000000000000", boots: 0, minutes: 1, answer: "C6DP-PEER-BWSY" },
  ] as const;
  for (const { nonce, answer, ...rest } of cases) {
    assert.equal(challengeAnswer(KEY, { ...rest, nonce: nonceOf(nonce) }), answer);
    assert.equal(challengeAnswer(aesKey(KEY), { ...rest, nonce: nonceOf(nonce) }), answer);
  }
});

test("R26 each part of a challenge makes another answer; what does not fit its field is refused", () => {
  const challenge = { role: ROLES.service, nonce: nonceOf("0011223344556677"), boots: 1, minutes: 15 };
  const answers = [
    challengeAnswer(KEY, challenge),
    challengeAnswer(KEY, { ...challenge, role: ROLES.reset }),
    challengeAnswer(KEY, { ...challenge, nonce: nonceOf("0011223344556676") }),
    challengeAnswer(KEY, { ...challenge, boots: 2 }),
    challengeAnswer(KEY, { ...challenge, boots: 0x10001 }),
    challengeAnswer(KEY, { ...challenge, minutes: 16 }),
    challengeAnswer(randomBytes(16), challenge),
  ];
  assert.equal(new Set(answers).size, answers.length);
  for (const wrong of [
    { nonce: Buffer.alloc(7) },
    { boots: -1 },
    { boots: 0x1000000 },
    { boots: 1.5 },
    { minutes: 0 },
    { minutes: 256 },
  ])
    assert.throws(() => challengeAnswer(KEY, { ...challenge, ...wrong }), RangeError);
});

test("base 32: first bit first, zeros fill the last digit, there and back", () => {
  const fixed: [string, string][] = [
    ["", ""],
    ["00", "00"],
    ["ff", "ZW"],
    ["0011223344556677", "008J4CT4ANK7E"],
    ["ffffffffffffffff", "ZZZZZZZZZZZZY"],
    ["0123456789abcdef01", "04HMASW9NF6YY08"],
  ];
  for (const [hex, text] of fixed) {
    assert.equal(encodeBase32(nonceOf(hex)), text, hex);
    assert.equal(decodeBase32(text)?.toString("hex"), hex, text);
  }
  for (let length = 0; length < 40; length++) {
    const bytes = randomBytes(length);
    const text = encodeBase32(bytes);
    assert.equal(text.length, Math.ceil((length * 8) / 5));
    assert.deepEqual(decodeBase32(text), bytes);
    assert.deepEqual(decodeBase32(text.toLowerCase()), bytes);
  }
});

test("base 32 as people type it", () => {
  const bytes = nonceOf("0011223344556677");
  for (const typed of ["008j4ct4ank7e", "oO8J-4CT4-ANK7-E", " 00 8J4CT4ANK7E "])
    assert.deepEqual(decodeBase32(typed), bytes, typed);
  assert.deepEqual(decodeBase32("iG"), nonceOf("0c"));
  assert.deepEqual(decodeBase32("lg"), nonceOf("0c"));
  for (const wrong of ["U0", "008J4CT4ANK7F", "0", "000", "00!", "é0"])
    assert.equal(decodeBase32(wrong), undefined, wrong);
});
