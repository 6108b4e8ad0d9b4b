// HMAC over SHA-1 and SHA-256: RFC 2202, RFC 4231, Wycheproof, node:crypto. The firmware's HMAC takes keys of whole
// 32-bit words up to a block, which is all that TLS-PSK makes: published cases with other keys are left out.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorCases, vectorJson } from "../../scripts/lib/test/vectors";
import { hmac, hmacKey } from "./hmac";

/** HMAC with a key that has been turned: the message in parts, as it may come. */
const withPads = (length: number, pads: string, text: string, cut = text.length >> 1) =>
  toHex(hmac(length, pads, [text.substr(0, cut), [text.substr(cut)]]));
const mac = (length: number, key: string, text: string) => withPads(length, hmacKey(length, key), text);
const ours = (key: string) => key.length % 4 === 0 && key.length <= 64;

test("HMAC-SHA-1: RFC 2202, 3, cases 1, 2 and 3", () => {
  assert.equal(mac(20, "\x0b".repeat(20), "Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
  assert.equal(mac(20, "Jefe", "what do ya want for nothing?"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  assert.equal(mac(20, "\xaa".repeat(20), "\xdd".repeat(50)), "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
});

test("HMAC-SHA-256: RFC 4231, 4, cases 1, 2 and 3", () => {
  const answers = [
    ["\x0b".repeat(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
    [
      "Jefe",
      "what do ya want for nothing?",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    [
      "\xaa".repeat(20),
      "\xdd".repeat(50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ],
  ];
  for (const [key, text, answer] of answers) assert.equal(mac(32, key, text), answer);
});

for (const [length, name, rfc, wycheproof] of [
  [20, "sha1", "mac/rfc-2202-sha1.txt", "mac/wycheproof_hmac_sha1_test.json"],
  [32, "sha256", "mac/rfc-4231-sha256.txt", "mac/wycheproof_hmac_sha256_test.json"],
] as const) {
  test(`HMAC-${name}: the RFC's other cases`, needs(rfc), () => {
    const cases = vectorCases(rfc, "MD").filter(({ Key }) => ours(fromHex(Key)));
    assert.ok(cases.length >= 3);
    for (const { Key, Msg, MD } of cases) assert.equal(mac(length, fromHex(Key), fromHex(Msg)), MD);
  });

  test(`HMAC-${name}: Wycheproof, truncated and edited tags`, needs(wycheproof), () => {
    interface MacFile {
      testGroups: {
        tagSize: number;
        tests: { tcId: number; key: string; msg: string; tag: string; result: string }[];
      }[];
    }
    let count = 0;
    for (const { tagSize, tests } of vectorJson<MacFile>(wycheproof).testGroups) {
      for (const { tcId, key, msg, tag, result } of tests) {
        if (!ours(fromHex(key))) continue;
        const same = mac(length, fromHex(key), fromHex(msg)).substr(0, tagSize / 4) === tag;
        assert.equal(same, result === "valid", `case ${tcId}`);
        count++;
      }
    }
    assert.ok(count > 50);
  });

  test(`HMAC-${name}: like node:crypto for keys to 64 bytes and texts to 600, one key used twice`, () => {
    for (let i = 0; i < 150; i++) {
      const key = generated(i, 4 * (1 + (i % 16)));
      const pads = hmacKey(length, key);
      for (const text of [generated(i + 1, i * 4), generated(i + 2, i)]) {
        const expected = createHmac(name, Buffer.from(key, "latin1")).update(text, "latin1").digest("hex");
        assert.equal(withPads(length, pads, text, 0), expected);
        assert.equal(withPads(length, pads, text, 13), expected);
      }
    }
  });
}
