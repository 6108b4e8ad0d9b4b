// Key derivation: the known answer of this project, NIST's vectors cut to this layout's one block, stock OpenSSL.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { test } from "node:test";
import { kbkdf as hostKbkdf } from "../../scripts/lib/keys";
import { fromHex, generated, needs, toHex, vectorJson } from "../../scripts/lib/vectors";
import { cmac } from "./cmac";
import { kbkdf } from "./kbkdf";

test("R1 KBKDF: the known answer", () => {
  const key = kbkdf(fromHex("00112233445566778899AABBCCDDEEFF"), "psk/v1", "SN0000000001234");
  assert.equal(toHex(key), "5293a6ecab33c6938f2783a537694190");
});

interface KbkdfFile {
  cases: { count: number; L: number; KI: string; fixed: string; KO: string }[];
}

test("R1 KBKDF: NIST CAVS, counter before the fixed input", needs("nist/kbkdf_ctr_cmac_aes128.json"), () => {
  const cases = vectorJson<KbkdfFile>("nist/kbkdf_ctr_cmac_aes128.json").cases.filter(({ L }) => L === 128);
  assert.ok(cases.length > 0);
  // NIST's fixed input is random: our label, NUL, context and length take its place, so this runs one step lower
  for (const { KI, fixed, KO } of cases)
    assert.equal(toHex(cmac(fromHex(KI), fromHex(`00000001${fixed}`))), KO);
});

test("R1 KBKDF: like the host's, which is checked against openssl, for identities of 1 to 64 bytes", () => {
  for (let length = 1; length <= 64; length++) {
    const master = generated(length, 16);
    const context = "v1.sensor.0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghi".substr(0, length);
    for (const label of ["psk", "ota", "console", "rekey"]) {
      const host = hostKbkdf(Buffer.from(master, "latin1"), label, Buffer.from(context, "latin1"));
      assert.equal(toHex(kbkdf(master, label, context)), Buffer.from(host).toString("hex"));
    }
  }
});
