// The PRF of TLS 1.2: OpenSSL's copies of NIST's cases, whole recorded sessions, node:crypto.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorCases, vectorJson } from "../../scripts/lib/test/vectors";
import { hmac, hmacKey } from "./hmac";
import { prf } from "./prf";

test("PRF: NIST's first case of the master secret, as in OpenSSL's tests", () => {
  const secret = fromHex(
    "202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf",
  );
  const serverRandom = fromHex("ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868");
  const clientRandom = fromHex("62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616");
  assert.equal(
    toHex(prf(hmac, hmacKey(32, secret), `key expansion${serverRandom}${clientRandom}`, 128)),
    "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b" +
      "2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f" +
      "1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928",
  );
});

test("PRF: OpenSSL's file, SHA-256 with secrets of whole words", needs("tls/tls12_prf.txt"), () => {
  let count = 0;
  for (const fields of vectorCases("tls/tls12_prf.txt", "Output")) {
    if (fields["Ctrl.digest"] !== "digest:SHA256" || fields.Result) continue;
    const value = (name: string) => {
      const [, hex, text] = /^(hex)?[a-z]+:(.*)$/i.exec(fields[name] ?? "") ?? [];
      return hex ? fromHex(text) : (text ?? "");
    };
    const secret = value("Ctrl.Secret");
    if (!secret.length || secret.length % 4 || secret.length > 64) continue;
    const first = fields["Ctrl.label"].includes("key expansion")
      ? value("Ctrl.server_random") + value("Ctrl.client_random")
      : value("Ctrl.client_random") + value("Ctrl.server_random");
    const seed = value("Ctrl.label") + first;
    assert.equal(toHex(prf(hmac, hmacKey(32, secret), seed, fields.Output.length / 2)), fields.Output);
    count++;
  }
  assert.ok(count > 1, `${count} cases`);
});

interface Session {
  name: string;
  psk: string;
  wire: [string, string][];
  master_secret: string;
  sh_exts: Record<string, string>;
}

test("PRF: the master secrets of recorded sessions", needs("tls/sessions.json"), () => {
  let count = 0;
  for (const { name, psk, wire, master_secret, sh_exts } of vectorJson<Session[]>("tls/sessions.json")) {
    if ("extended_master_secret" in sh_exts) continue;
    // 5 bytes of record header, 4 of message header, 2 of version, then the random
    const randoms = fromHex(wire[0][1]).substr(11, 32) + fromHex(wire[1][1]).substr(11, 32);
    const premaster = fromHex(`0010${"00".repeat(16)}0010${psk}`);
    assert.equal(
      toHex(prf(hmac, hmacKey(32, premaster), `master secret${randoms}`, 48)),
      master_secret,
      name,
    );
    count++;
  }
  assert.ok(count > 2);
});

test("PRF: like RFC 5246, 5, over node:crypto, for outputs to 200 bytes", () => {
  const p = (secret: string, seed: string, length: number) => {
    const hmac = (text: string) => {
      return createHmac("sha256", Buffer.from(secret, "latin1"))
        .update(text, "latin1")
        .digest()
        .toString("latin1");
    };
    let a = seed;
    let output = "";
    while (output.length < length) {
      a = hmac(a);
      output += hmac(a + seed);
    }
    return output.substr(0, length);
  };
  for (let length = 1; length <= 200; length++) {
    const secret = generated(length, 4 * (1 + (length % 16)));
    const seed = `label${generated(length + 1, length)}`;
    assert.equal(toHex(prf(hmac, hmacKey(32, secret), seed, length)), toHex(p(secret, seed, length)));
  }
});
