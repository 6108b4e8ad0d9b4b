// SHA-1 and its running state: FIPS 180-4's examples, NIST CAVP, node:crypto over generated messages.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorCases } from "../../scripts/lib/test/vectors";
import { sha1Finish, sha1Update } from "./sha1";

test("SHA-1: the examples published beside FIPS 180-4", () => {
  const answers = {
    "": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    abc: "a9993e364706816aba3e25717850c26c9cd0d89d",
    abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq: "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
  };
  for (const [text, digest] of Object.entries(answers))
    assert.equal(toHex(sha1Finish(sha1Update("", text))), digest);
});

test("SHA-1: NIST CAVP, 0 to 64 bytes", needs("nist/SHA1ShortMsg.rsp"), () => {
  const cases = vectorCases("nist/SHA1ShortMsg.rsp", "MD");
  assert.ok(cases.length > 60);
  for (const { Len, Msg, MD } of cases) {
    assert.equal(toHex(sha1Finish(sha1Update("", fromHex(Msg).substr(0, Number(Len) / 8)))), MD);
  }
});

test("SHA-1: like node:crypto for every length to 300 bytes, in pieces, and from a state used twice", () => {
  for (let length = 0; length <= 300; length++) {
    const text = generated(length, length);
    const cut = (length * 7) % (length + 1);
    const state = sha1Update(sha1Update("", text.substr(0, cut)), text.substr(cut));
    const digest = createHash("sha1").update(text, "latin1").digest("hex");
    assert.equal(toHex(sha1Finish(state)), digest);
    const more = sha1Update(state, "more");
    assert.equal(toHex(sha1Finish(state)), digest);
    assert.equal(toHex(sha1Finish(more)), createHash("sha1").update(`${text}more`, "latin1").digest("hex"));
  }
});
