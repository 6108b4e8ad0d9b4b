// AES-128-CCM on the host's side against the examples of SP 800-38C, appendix C, and what is altered.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCcm, sealCcm } from "./ccm";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const KEY = hex("40414243 44454647 48494a4b 4c4d4e4f");
const EXAMPLES = [
  {
    nonce: "10111213 141516",
    additional: "00010203 04050607",
    text: "20212223",
    sealed: "7162015b 4dac255d",
  },
  {
    nonce: "10111213 14151617",
    additional: "00010203 04050607 08090a0b 0c0d0e0f",
    text: "20212223 24252627 28292a2b 2c2d2e2f",
    sealed: "d2a1f0e0 51ea5f62 081a7792 073d593d 1fc64fbf accd",
  },
];

for (const [at, { nonce, additional, text, sealed }] of EXAMPLES.entries())
  test(`R5 SP 800-38C, example ${at + 1}: sealed, opened, and not when a byte is another one or missing`, () => {
    const options = { additional: hex(additional), tagLength: hex(sealed).length - hex(text).length };
    assert.deepEqual(sealCcm(KEY, hex(nonce), hex(text), options), hex(sealed));
    assert.deepEqual(openCcm(KEY, hex(nonce), hex(sealed), options), hex(text));
    for (let byte = 0; byte < hex(sealed).length; byte++) {
      const altered = hex(sealed);
      altered[byte] ^= 1;
      assert.equal(openCcm(KEY, hex(nonce), altered, options), undefined);
      assert.equal(openCcm(KEY, hex(nonce), hex(sealed).subarray(0, byte), options), undefined);
    }
    assert.equal(openCcm(KEY, hex(nonce), hex(sealed), { ...options, additional: hex("00") }), undefined);
  });
