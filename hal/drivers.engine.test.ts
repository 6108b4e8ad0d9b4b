// Drivers on the real interpreter, as the build minifies them: AES and digests give the published answers there
// too. The two AES peripherals stand there as a few lines of Espruino over its native AES, where peek32, poke32
// and E.getAddressOf of the driver go. Leaves out what a Linux build has not: radios, WIZnet.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { board as linux } from "../boards/linux";
import { buildBundle } from "../scripts/lib/bundle/build";
import { ENGINE, Engine } from "../scripts/lib/test/engine";

const skip = ENGINE ? false : "ESPRUINO_BIN names no interpreter";

/** Build a driver that puts its members into globals, minified; registers go to the models below. */
async function driver(
  field: "aes128" | "digest" | "randomSource",
  name: string,
  members: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "driver-"));
  const module = { aes128: "hal:aes128", digest: "hal:digest", randomSource: "hal:random_source" }[field];
  const entry = join(folder, "entry.ts");
  writeFileSync(
    entry,
    `import * as driver from "${module}"; ${members.replace(/\w+/g, "global.$&=driver.$&;")}`,
  );
  try {
    const { code } = await buildBundle({ board: { ...linux, [field]: name }, entry });
    return code
      .replace(/\bpeek32\b/g, "peekModel")
      .replace(/\bpoke32\b/g, "pokeModel")
      .replace(/E\.getAddressOf/g, "addressModel");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const COMMON = `
function hex(s) { var r = ""; s = E.toString(s); for (var i = 0; i < s.length; i++) r += ("0" + s.charCodeAt(i).toString(16)).substr(-2); return r; }
function un(h) { var r = ""; for (var i = 0; i < h.length; i += 2) r += String.fromCharCode(parseInt(h.substr(i, 2), 16)); return r; }
`;
/** The ESP32's unit; its reset register is held by its neighbours, and TEXT is right only after START. */
const ESP32_MODEL = `
var R = { 0x3ff0001c: 0, 0x3ff00020: 0xff };
function peekModel(a, n) {
  if (a == 0x3ff01004) return 1;
  if (!n) return R[a] || 0;
  var w = new Uint32Array(n); for (var i = 0; i < n; i++) w[i] = R[a + i * 4]; return w;
}
function pokeModel(a, v) {
  if (typeof v != "number") { for (var i = 0; i < v.length; i++) pokeModel(a + i * 4, v[i]); return; }
  R[a] = v;
  if (a != 0x3ff01000 || !(R[0x3ff0001c] & 1) || R[0x3ff00020] & 0x19 || R[0x3ff01040] != 0x3f) return;
  var key = peekModel(0x3ff01010, 4).buffer, text = peekModel(0x3ff01030, 4).buffer, AES = require("crypto").AES;
  pokeModel(0x3ff01030, new Uint32Array(R[0x3ff01008] == 4 ? AES.decrypt(text, key, { mode: "ECB" }) : AES.encrypt(text, key, { mode: "ECB" })));
}
`;
/** The nRF's unit; two starts of three meet the radio. */
const NRF_MODEL = `
var R = {}, starts = 0, ram;
function addressModel(b) { ram = b; return 0x20000000; }
function peekModel(a) { return R[a] || 0; }
function pokeModel(a, v) {
  R[a] = v;
  if (a != 0x4000e000) return;
  if (starts++ % 3 < 2) { R[0x4000e104] = 1; return; }
  ram.set(new Uint8Array(require("crypto").AES.encrypt(ram.subarray(16, 32), ram.subarray(0, 16), { mode: "ECB" })), 32);
  R[0x4000e100] = 1;
}
`;

// SP 800-38A, F.1.1 and F.2.1, two blocks
const AES_PROGRAM = `
var K = un("2b7e151628aed2a6abf7158809cf4f3c"), IV = un("000102030405060708090a0b0c0d0e0f");
var P = un("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
print("ecb " + hex(aes(0, K, P)));
print("cbc " + hex(aes(1, K, P, IV)));
print("one " + hex(aes(1, K, P.substr(0, 16), IV)));
print("view " + hex(aes(1, K, new Uint8Array(E.toUint8Array(0, 0, 0, P).buffer, 3, 32), IV)));
print("buffer " + hex(aes(1, K, E.toUint8Array(P).buffer, IV)));
try { print("decrypted " + (aes(2, K, aes(1, K, P, IV), IV) && hex(aes(2, K, aes(1, K, P, IV), IV)) == hex(P))); } catch (e) { print("decrypted E" + e); }
try { aes(1, K, "x", IV); } catch (e) { print("bad E" + e); }
`;
const ECB = "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf";
const CBC = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2";

/** Run a program on the interpreter and give the lines that begin with a name, as an object. */
async function run(program: string): Promise<Record<string, string>> {
  // a little later than what the interpreter itself says at its start, which comes through another pipe
  const later = `${COMMON}setTimeout(function () { ${program}\nprint("end of program"); }, 200);`;
  const engine = new Engine({ ".bootcde": later });
  try {
    await engine.line(/end of program/);
    return Object.fromEntries(
      engine.lines.map((line) => line.trim().split(" ")).filter((words) => words.length === 2),
    );
  } finally {
    await engine.stop();
  }
}

for (const [name, model] of [
  ["native_aes", ""],
  ["esp32_aes", ESP32_MODEL],
  ["nrf_ecb", NRF_MODEL],
]) {
  test(`Aes128: ${name} on the interpreter gives the answers of SP 800-38A`, { skip }, async () => {
    const { ecb, cbc, one, view, buffer, decrypted, bad } = await run(
      model + (await driver("aes128", name, "aes")) + AES_PROGRAM,
    );
    assert.deepEqual([ecb, cbc, one, view, buffer], [ECB, CBC, CBC.slice(0, 32), CBC, CBC]);
    assert.equal(decrypted, name === "nrf_ecb" ? "E9" : "true");
    assert.equal(bad, "E9");
  });
}

for (const name of ["native_digest", "own_digest"]) {
  test(`Digest: ${name} on the interpreter gives the answers of FIPS 180-4`, { skip }, async (t) => {
    const { total } = await run(`print("total " + process.memory().total);`);
    if (name === "own_digest" && Number(total) < 500)
      return t.skip(`${total} variables; our own digests are for boards of thousands`);
    const { sha1, sha256, long } = await run(`${await driver("digest", name, "update finish")}
      print("sha1 " + hex(finish(20, update(20, "", "abc"))));
      print("sha256 " + hex(finish(32, update(32, "", "abc"))));
      print("long " + hex(finish(32, update(32, update(32, "", "abcdbcdecdefdefgefghfghi"), "ghijhijkijkljklmklmnlmnomnopnopq"))));`);
    assert.equal(sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert.equal(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert.equal(long, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  });
}

test("R13 RandomSource: system_random on the interpreter gives other bytes at every boot", {
  skip,
}, async () => {
  const program = `${await driver("randomSource", "system_random", "noise")}
    for (var i = 0; i < 4; i++) print("noise" + i + " " + btoa(noise(16)));`;
  const samples = [...Object.values(await run(program)), ...Object.values(await run(program))];
  assert.equal(samples.length, 8);
  assert.equal(new Set(samples).size, 8);
  for (const sample of samples) assert.equal(Buffer.from(sample, "base64").length, 16);
});
