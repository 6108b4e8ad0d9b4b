// AES-128-CCM as TLS uses it: a recorded session, node:crypto over generated records, every bit of tag, text, nonce and associated data
// flipped. NIST's files have no case of TLS's lengths (12 bytes of nonce, 13 of associated data): they prove the
// reference, node:crypto, instead.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { test } from "node:test";
import { flipped, fromHex, generated, needs, toHex, vectorCases } from "../../scripts/lib/test/vectors";
import { ccmMac } from "./ccm";
import { ctrTurn } from "./ctr";

/** Seal with node:crypto: ciphertext and tag, joined. */
function reference(key: string, nonce: string, associated: string, text: string, tagLength: number): string {
  const bytes = (data: string) => Buffer.from(data, "latin1");
  const cipher = createCipheriv("aes-128-ccm", bytes(key), bytes(nonce), { authTagLength: tagLength });
  cipher.setAAD(bytes(associated), { plaintextLength: text.length });
  const sealed = cipher.update(bytes(text));
  cipher.final();
  return toHex(sealed.toString("latin1")) + cipher.getAuthTag().toString("hex");
}

/** Key, B0 and the block of associated data, as the record layer gives them. */
const context = (key: string, nonce: string, associated: string, size: number, tagLength: number) =>
  E.toString(key, 58 + 4 * tagLength, nonce, 0, size >> 8, size, 0, 13, associated, 0);
const blocks = (text: string) => text + "\0".repeat(-text.length & 15);

/** Seal as the record layer does: ciphertext and tag, joined. */
function seal(key: string, nonce: string, associated: string, text: string, tagLength: number): string {
  const front = context(key, nonce, associated, text.length, tagLength);
  const turned = ctrTurn(front, blocks(ccmMac(front, text) + text));
  return turned.substr(16, text.length) + turned.substr(0, tagLength);
}

/** Open as the record layer does; undefined where the tag is wrong. */
function open(key: string, nonce: string, associated: string, sealed: string, tagLength: number) {
  const size = sealed.length - tagLength;
  const front = context(key, nonce, associated, size, tagLength);
  const turned = ctrTurn(front, blocks(blocks(sealed.substr(size)) + sealed.substr(0, size)));
  const text = turned.substr(16, size);
  const mac = ccmMac(front, text).substr(0, tagLength);
  return mac === turned.substr(0, tagLength) ? text : undefined;
}

const KEY = generated(1, 16);
const NONCE = generated(2, 12);
const ASSOCIATED = generated(3, 13);

test("R5 CCM: a record that OpenSSL 3.0.19 accepted in a session with TLS_PSK_WITH_AES_128_CCM_8", () => {
  const key = fromHex("5d76ea0954a423e4f43b81834fda4be1");
  const nonce = fromHex("86618404" + "0000000000000001");
  const associated = fromHex("0000000000000001" + "170303" + "000c");
  const sealed = "64e0f04810bae986d6e58824" + "5b72643b437714dd";
  assert.equal(toHex(seal(key, nonce, associated, "hello world\n", 8)), sealed);
  assert.equal(open(key, nonce, associated, fromHex(sealed), 8), "hello world\n");
});

for (const tagLength of [8, 16]) {
  test(`R5 CCM with a tag of ${tagLength}: like node:crypto for every length to 300 bytes, 511, 512 and 513`, () => {
    for (let length = 0; length <= 303; length++) {
      const size = length > 300 ? length + 210 : length;
      const text = generated(size, size);
      const key = generated(size + 1, 16);
      const nonce = generated(size + 2, 12);
      const associated = generated(size + 3, 13);
      const sealed = seal(key, nonce, associated, text, tagLength);
      assert.equal(toHex(sealed), reference(key, nonce, associated, text, tagLength));
      assert.equal(open(key, nonce, associated, sealed, tagLength), text);
    }
  });

  test(`R16 CCM with a tag of ${tagLength}: any bit flipped, nothing is given`, () => {
    const text = generated(4, 45);
    const sealed = seal(KEY, NONCE, ASSOCIATED, text, tagLength);
    assert.equal(open(KEY, NONCE, ASSOCIATED, sealed, tagLength), text);
    for (let bit = 0; bit < sealed.length * 8; bit++)
      assert.equal(open(KEY, NONCE, ASSOCIATED, flipped(sealed, bit), tagLength), undefined);
    for (let bit = 0; bit < 96; bit++)
      assert.equal(open(KEY, flipped(NONCE, bit), ASSOCIATED, sealed, tagLength), undefined);
    for (let bit = 0; bit < 104; bit++)
      assert.equal(open(KEY, NONCE, flipped(ASSOCIATED, bit), sealed, tagLength), undefined);
    for (let bit = 0; bit < 128; bit++)
      assert.equal(open(flipped(KEY, bit), NONCE, ASSOCIATED, sealed, tagLength), undefined);
  });
}

test(
  "R5 CCM: the reference of these tests passes NIST's nonces and associated data",
  needs("nist/VADT128.rsp"),
  () => {
    let count = 0;
    for (const file of ["nist/VADT128.rsp", "nist/VNT128.rsp"]) {
      for (const { Key, Nonce, Adata, Alen, Payload, CT } of vectorCases(file, "CT")) {
        const associated = fromHex(Adata).substr(0, Number(Alen));
        assert.equal(reference(fromHex(Key), fromHex(Nonce), associated, fromHex(Payload), 16), CT);
        count++;
      }
    }
    assert.ok(count > 100);
  },
);

test("R16 CCM: the reference of these tests refuses NIST's bad tags", needs("nist/DVPT128.rsp"), () => {
  const cases = vectorCases("nist/DVPT128.rsp", "Result");
  for (const { Key, Nonce, Adata, Alen, Plen, Tlen, CT, Result } of cases) {
    const bytes = (text: string) => Buffer.from(text, "hex");
    const length = Number(Plen);
    const cipher = createDecipheriv("aes-128-ccm", bytes(Key), bytes(Nonce), { authTagLength: Number(Tlen) });
    cipher.setAuthTag(bytes(CT).subarray(length));
    cipher.setAAD(bytes(Adata).subarray(0, Number(Alen)), { plaintextLength: length });
    const decrypt = () => {
      cipher.update(bytes(CT).subarray(0, length));
      cipher.final();
    };
    if (Result.startsWith("Pass")) assert.doesNotThrow(decrypt);
    else assert.throws(decrypt);
  }
});
