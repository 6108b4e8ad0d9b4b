// SHA-256 and its running state: FIPS 180-4's examples, NIST CAVP, node:crypto over generated messages.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorCases } from "../../scripts/lib/test/vectors";
import { sha256Finish, sha256Update } from "./sha256";

test("SHA-256: the examples published beside FIPS 180-4", () => {
  const answers = {
    "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    abc: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq:
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  };
  for (const [text, digest] of Object.entries(answers))
    assert.equal(toHex(sha256Finish(sha256Update("", text))), digest);
});

test("SHA-256: NIST CAVP, 0 to 64 bytes", needs("nist/SHA256ShortMsg.rsp"), () => {
  const cases = vectorCases("nist/SHA256ShortMsg.rsp", "MD");
  assert.ok(cases.length > 60);
  for (const { Len, Msg, MD } of cases) {
    assert.equal(toHex(sha256Finish(sha256Update("", fromHex(Msg).substr(0, Number(Len) / 8)))), MD);
  }
});

test("SHA-256: like node:crypto for every length to 300 bytes, in pieces, and from a state used twice", () => {
  for (let length = 0; length <= 300; length++) {
    const text = generated(length, length);
    const cut = (length * 7) % (length + 1);
    const state = sha256Update(sha256Update("", text.substr(0, cut)), text.substr(cut));
    const digest = createHash("sha256").update(text, "latin1").digest("hex");
    assert.equal(toHex(sha256Finish(state)), digest);
    const more = sha256Update(state, "more");
    assert.equal(toHex(sha256Finish(state)), digest);
    assert.equal(
      toHex(sha256Finish(more)),
      createHash("sha256").update(`${text}more`, "latin1").digest("hex"),
    );
  }
});
