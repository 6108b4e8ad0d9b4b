// AES-128-GCM as TLS uses it: the test cases that its authors gave NIST (McGrew and Viega, "The Galois/Counter Mode of Operation", B),
// Wycheproof's cases (wycheproof_aes_gcm.txt), node:crypto over generated records, every bit of tag, text, nonce and associated data
// flipped. It is the built code of the profile `gcm` that runs.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { readBoard } from "../../scripts/lib/bundle/build";
import { PROJECT } from "../../scripts/lib/project";
import { bundleOf } from "../../scripts/lib/test/device";
import { flipped, fromHex, generated, toHex } from "../../scripts/lib/test/vectors";

interface Gcm {
  ctrTurn(context: string, text: string): string;
  ghash(context: string, text: string): string;
}

const { code } = await bundleOf("esp32-sim", "scripts/lib/test/apps/gcm_app.ts", {}, {}, "gcm");
const machine = new Machine({ board: await readBoard("esp32-sim"), bundle: code });
machine.boot();
const { ctrTurn, ghash } = machine.run("gcm") as Gcm;

/** What the record layer gives, in whole blocks: the key, a zero that says GCM, the nonce, 4 bytes not for here, the associated data. */
function context(key: string, nonce: string, associated: string): string {
  const front = `${key}\0${nonce}\0\0\0\0${String.fromCharCode(associated.length)}${associated}`;
  return front + "\0".repeat(-front.length & 15);
}
const blocks = (text: string) => text + "\0".repeat(-text.length & 15);

/** Seal as the record layer does: ciphertext and tag, joined. */
function seal(key: string, nonce: string, associated: string, text: string): string {
  const how = context(key, nonce, associated);
  const sealed = ctrTurn(how, "\0".repeat(16) + blocks(text)).substr(16, text.length);
  return sealed + ctrTurn(how, ghash(how, sealed));
}

/** Open as the record layer does; undefined where the tag is wrong. */
function open(key: string, nonce: string, associated: string, sealed: string): string | undefined {
  const size = sealed.length - 16;
  const how = context(key, nonce, associated);
  const text = sealed.substr(0, size);
  const turned = ctrTurn(how, ghash(how, text) + blocks(text));
  return turned.substr(0, 16) === sealed.substr(size) ? turned.substr(16, size) : undefined;
}

/** Seal with node:crypto: ciphertext and tag, joined. */
function reference(key: string, nonce: string, associated: string, text: string): string {
  const bytes = (data: string) => Buffer.from(data, "latin1");
  const cipher = createCipheriv("aes-128-gcm", bytes(key), bytes(nonce)).setAAD(bytes(associated));
  const sealed = Buffer.concat([cipher.update(bytes(text)), cipher.final()]);
  return sealed.toString("hex") + cipher.getAuthTag().toString("hex");
}

const K = "feffe9928665731c6d6a8f9467308308";
const IV = "cafebabefacedbaddecaf888";
const P =
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
const C =
  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985";
const ZEROS = "0".repeat(32);

/** Test cases 1 to 4. */
// biome-ignore format: a table
const AUTHORS = [
  { key: ZEROS, nonce: "0".repeat(24), associated: "", text: "", sealed: "", tag: "58e2fccefa7e3061367f1d57a4e7455a" },
  { key: ZEROS, nonce: "0".repeat(24), associated: "", text: ZEROS, sealed: "0388dace60b6a392f328c2b971b2fe78", tag: "ab6e47d42cec13bdf53a67b21257bddf" },
  { key: K, nonce: IV, associated: "", text: P, sealed: C, tag: "4d5c2af327cd64a62cf35abd2ba6fab4" },
  { key: K, nonce: IV, associated: "feedfacedeadbeeffeedfacedeadbeefabaddad2", text: P.slice(0, 120), sealed: C.slice(0, 120), tag: "5bc94fbc3221a5db94fae95ae7121a47" },
];

test("R5 GCM: the four test cases of its authors for keys of 128 bits", () => {
  for (const { key, nonce, associated, text, sealed, tag } of AUTHORS) {
    const given = [key, nonce, associated].map(fromHex) as [string, string, string];
    assert.equal(toHex(seal(...given, fromHex(text))), sealed + tag);
    assert.equal(open(...given, fromHex(sealed + tag)), fromHex(text));
  }
});

test("R5 GCM: Wycheproof's cases for keys of 128 bits, nonces of 96 and tags of 128", () => {
  const file = readFileSync(join(PROJECT, "firmware/crypto/wycheproof_aes_gcm.txt"), "latin1");
  const cases = file.split("\n").filter((line) => /^\d/.test(line));
  const results = { valid: 0, invalid: 0 };
  for (const line of cases) {
    const [id, key, nonce, associated, text, sealed, tag, result] = line.replaceAll("-", "").split(" ");
    const given = [key, nonce, associated].map(fromHex) as [string, string, string];
    const isValid = result === "valid";
    assert.equal(open(...given, fromHex(sealed + tag)), isValid ? fromHex(text) : undefined, `case ${id}`);
    if (isValid) assert.equal(toHex(seal(...given, fromHex(text))), sealed + tag, `case ${id}`);
    results[isValid ? "valid" : "invalid"]++;
  }
  assert.deepEqual(results, { valid: 26, invalid: 27 });
});

test("R5 GCM: like node:crypto for every length to 130 bytes, 511, 512 and 513", () => {
  for (let length = 0; length <= 133; length++) {
    const size = length > 130 ? length + 380 : length;
    const text = generated(size, size);
    const given = [generated(size + 1, 16), generated(size + 2, 12), generated(size + 3, 13)] as const;
    const sealed = seal(...given, text);
    assert.equal(toHex(sealed), reference(...given, text));
    assert.equal(open(...given, sealed), text);
  }
});

test("R16 GCM: any bit flipped, nothing is given", () => {
  const given = [generated(1, 16), generated(2, 12), generated(3, 13)];
  const text = generated(4, 45);
  const [key, nonce, associated] = given;
  const sealed = seal(key, nonce, associated, text);
  assert.equal(open(key, nonce, associated, sealed), text);
  for (let bit = 0; bit < sealed.length * 8; bit++)
    assert.equal(open(key, nonce, associated, flipped(sealed, bit)), undefined);
  for (let bit = 0; bit < 96; bit++)
    assert.equal(open(key, flipped(nonce, bit), associated, sealed), undefined);
  for (let bit = 0; bit < 104; bit++)
    assert.equal(open(key, nonce, flipped(associated, bit), sealed), undefined);
  for (let bit = 0; bit < 128; bit++)
    assert.equal(open(flipped(key, bit), nonce, associated, sealed), undefined);
});
