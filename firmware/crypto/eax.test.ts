// AES-128-EAX and the CMAC of texts that are no whole blocks: the vectors of the paper (eprint.iacr.org/2003/069, appendix G), the
// examples of SP 800-38B, and an implementation over node:crypto, by which every bit of key, nonce, header, text and tag is flipped.
// It is the built code of the profile `akep2` that runs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { readBoard } from "../../scripts/lib/bundle/build";
import * as host from "../../scripts/lib/test/akep2/eap_psk";
import { bundleOf } from "../../scripts/lib/test/device";
import { fromHex, generated, toHex } from "../../scripts/lib/test/vectors";

interface Eax {
  eaxKey(key: string): string;
  omac(context: string, data: string, chain?: string): string;
  eax(context: string, text: string, isSealed: boolean): string;
}

const { code } = await bundleOf("esp32-sim", "scripts/lib/test/apps/eax_app.ts", {}, {}, "akep2");
const machine = new Machine({ board: await readBoard("esp32-sim"), bundle: code });
machine.boot();
const { eax, eaxKey, omac } = machine.run("eax") as Eax;

/** Those of 1 to 16 bytes; the last is for the host's implementation alone. */
// biome-ignore format: a table
const PAPER = [
  { text: "F7FB", key: "91945D3F4DCBEE0BF45EF52255F095A4", nonce: "BECAF043B0A23D843194BA972C66DEBD", header: "FA3BFD4806EB53FA", sealed: "19DD5C4C9331049D0BDAB0277408F67967E5" },
  { text: "1A47CB4933", key: "01F74AD64077F2E704C0F60ADA3DD523", nonce: "70C3DB4F0D26368400A10ED05D2BFF5E", header: "234A3463C1264AC6", sealed: "D851D5BAE03A59F238A23E39199DC9266626C40F80" },
  { text: "481C9E39B1", key: "D07CF6CBB7F313BDDE66B727AFD3C5E8", nonce: "8408DFFF3C1A2B1292DC199E46B7D617", header: "33CCE2EABFF5A79D", sealed: "632A9D131AD4C168A4225D8E1FF755939974A7BEDE" },
  { text: "40D0C07DA5E4", key: "35B6D0580005BBC12B0587124557D2C2", nonce: "FDB6B06676EEDC5C61D74276E1F8E816", header: "AEB96EAEBE2970E9", sealed: "071DFE16C675CB0677E536F73AFE6A14B74EE49844DD" },
  { text: "4DE3B35C3FC039245BD1FB7D", key: "BD8E6E11475E60B268784C38C62FEB22", nonce: "6EAC5C93072D8E8513F750935E46DA1B", header: "D4482D1CA78DCE0F", sealed: "835BB4F15D743E350E728414ABB8644FD6CCB86947C5E10590210A4F" },
  { text: "CA40D7446E545FFAED3BD12A740A659FFBBB3CEAB7", key: "8395FCF1E95BEBD697BD010BC766AAC3", nonce: "22E7ADD93CFC6393C57EC0B3C17D6B44", header: "126735FCC320D25A", sealed: "CB8920F87A6C75CFF39627B56E3ED197C552D295A7CFC46AFC253B4652B1AF3795B124AB6E" },
];

/** By the host: the tag and the text turned, in hexadecimal. */
function byHost(key: string, nonce: string, header: string, text: string, isSealed: boolean): string {
  const [k, n, h, t] = [key, nonce, header, text].map((bytes) => Buffer.from(bytes, "latin1"));
  const { tag, turned } = host.eax(k, n, h, t, isSealed);
  return tag.toString("hex") + turned.toString("hex");
}

for (const { text, key, nonce, header, sealed } of PAPER)
  test(`EAX: the paper's vector with the text ${text}`, () => {
    const cipher = sealed.slice(0, text.length).toLowerCase();
    const tag = sealed.slice(text.length).toLowerCase();
    const [k, n, h, t] = [key, nonce, header, text].map(fromHex);
    assert.equal(byHost(k, n, h, t, false), tag + cipher);
    if (text.length > 32) return;
    assert.equal(toHex(eax(eaxKey(k) + n + h, t, false)), tag + cipher);
    assert.equal(toHex(eax(eaxKey(k) + n + h, fromHex(cipher), true)), tag + text.toLowerCase());
  });

test("EAX: like the host's for every length of text and header that is taken", () => {
  for (let turn = 0; turn < 96; turn++) {
    const text = generated(turn, 1 + (turn & 15));
    const nonce = generated(turn + 1000, 16);
    const header = generated(turn + 2000, 1 + ((turn * 7) % 50));
    const key = generated(turn + 3000, 16);
    for (const isSealed of [false, true])
      assert.equal(
        toHex(eax(eaxKey(key) + nonce + header, text, isSealed)),
        byHost(key, nonce, header, text, isSealed),
      );
  }
});

test("R20 EAX: each bit of key, nonce, header and sealed text changes the tag", () => {
  const parts = [generated(1, 16), generated(2, 16), generated(3, 22), generated(4, 1)];
  const tagOf = ([key, nonce, header, text]: string[]) =>
    eax(eaxKey(key) + nonce + header, text, true).substr(0, 16);
  const tag = tagOf(parts);
  let count = 0;
  parts.forEach((part, which) => {
    for (let bit = 0; bit < part.length * 8; bit++) {
      const bytes = Buffer.from(part, "latin1");
      bytes[bit >> 3] ^= 1 << (bit & 7);
      assert.notEqual(tagOf(parts.with(which, bytes.toString("latin1"))), tag, `bit ${bit} of part ${which}`);
      count++;
    }
  });
  assert.equal(count, 8 * 55);
});

test("CMAC of texts that are no whole blocks: an example of SP 800-38B, D.1, and the host's", () => {
  const key = fromHex("2b7e151628aed2a6abf7158809cf4f3c");
  const text = fromHex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411");
  assert.equal(toHex(omac(eaxKey(key), text)), "dfa66747de9ae63030ca32611497c827");
  assert.equal(
    toHex(omac(eaxKey(key).substr(0, 32), text.substr(0, 16))),
    "070a16b46b4d4144f79bdd9dd04a287c",
  );
  for (let length = 1; length < 70; length++) {
    const data = generated(length, length);
    const expected = host.mac(Buffer.from(key, "latin1"), Buffer.from(data, "latin1"));
    assert.equal(toHex(omac(eaxKey(key), data)), expected.toString("hex"));
  }
});
