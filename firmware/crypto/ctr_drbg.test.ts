// CTR_DRBG: NIST's vectors, and a reference of the standard's own steps over node:crypto. The reference takes the length
// of the counter field: with 128 bits it passes NIST's vectors too, with 8 it is what the firmware must equal where
// the last byte of V runs over, which the vectors never see.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { board } from "../../boards/linux";
import { useBoard } from "../../hal/simulator/globals";
import { fromHex, generated, needs, toHex, vectorJson } from "../../scripts/lib/test/vectors";
import { random, restore, seed as startRandom, state } from "./ctr_drbg";

function encrypt(key: Buffer, block: Buffer): Buffer {
  return createCipheriv("aes-128-ecb", key, null).update(block);
}

/** SP 800-90A, 10.3.2 and 10.3.3. */
function referenceDerive(input: Buffer): Buffer {
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(input.length);
  lengths.writeUInt32BE(32, 4);
  const s = Buffer.concat([
    lengths,
    input,
    Buffer.from([0x80]),
    Buffer.alloc((32 - ((9 + input.length) % 16)) % 16),
  ]);
  const key = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
  let temp = Buffer.alloc(0);
  for (let i = 0; i < 2; i++) {
    const iv = Buffer.alloc(16);
    iv.writeUInt32BE(i);
    const data = Buffer.concat([iv, s]);
    let chain: Buffer = Buffer.alloc(16);
    for (let at = 0; at < data.length; at += 16) {
      chain = encrypt(key, Buffer.from(chain.map((byte, j) => byte ^ data[at + j])));
    }
    temp = Buffer.concat([temp, chain]);
  }
  const x1 = encrypt(temp.subarray(0, 16), temp.subarray(16));
  return Buffer.concat([x1, encrypt(temp.subarray(0, 16), x1)]);
}

/** SP 800-90A, 10.2.1, with a counter field of `counterBits`. */
class Reference {
  private key = Buffer.alloc(16);
  private v = Buffer.alloc(16);

  constructor(
    private counterBits: bigint,
    material: string,
  ) {
    this.update(referenceDerive(Buffer.from(material, "hex")));
  }

  state(): string {
    return Buffer.concat([this.key, this.v]).toString("hex");
  }

  private next(): Buffer {
    const v = BigInt(`0x${this.v.toString("hex")}`);
    const field = (1n << this.counterBits) - 1n;
    const next = (v & ~field) | ((v + 1n) & field);
    this.v = Buffer.from(next.toString(16).padStart(32, "0"), "hex");
    return encrypt(this.key, this.v);
  }

  update(provided: Buffer): void {
    const temp = Buffer.concat([this.next(), this.next()]).map((byte, i) => byte ^ (provided[i] ?? 0));
    this.key = Buffer.from(temp.subarray(0, 16));
    this.v = Buffer.from(temp.subarray(16));
  }

  generate(length: number, additional: Buffer): Buffer {
    if (additional.length) this.update(additional);
    let output = Buffer.alloc(0);
    while (output.length < length) output = Buffer.concat([output, this.next()]);
    this.update(additional);
    return output.subarray(0, length);
  }
}

function xor(a: string, b: string): string {
  return Buffer.from(Array.from(a, (_, i) => a.charCodeAt(i) ^ b.charCodeAt(i))).toString("latin1");
}

/**
 * Generate with additional input, which the firmware leaves out, from what it has: 10.2.1.5.1, steps 2 and 6, are an
 * XOR onto what random(32) gives and onto the state.
 */
function generate(length: number, additional: string): string {
  if (!additional) return random(length);
  const seed = referenceDerive(Buffer.from(additional, "latin1")).toString("latin1");
  restore(xor(random(32), seed));
  const output = random(length);
  restore(xor(state as string, seed));
  return output;
}

interface DrbgFile {
  cases: Record<"name" | "entropy" | "nonce" | "additional1" | "additional2" | "returned", string>[];
}
const DRBG_FILE = "nist/ctr_drbg_aes128_df.json";

test("R14 CTR_DRBG: NIST CAVS 14.3, AES-128 with derivation function, the first case", () => {
  startRandom(fromHex("890eb067acf7382eff80b0c73bc872c6" + "aad471ef3ef1d203"));
  random(64);
  assert.equal(
    toHex(random(64)),
    "a5514ed7095f64f3d0d3a5760394ab42062f373a25072a6ea6bcfd8489e94af6" +
      "cf18659fea22ed1ca0a9e33f718b115ee536b12809c31b72b08ddd8be1910fa3",
  );
});

test("R14 CTR_DRBG: NIST CAVS 14.3, every case, with and without additional input", needs(DRBG_FILE), () => {
  for (const { name, entropy, nonce, additional1, additional2, returned } of vectorJson<DrbgFile>(DRBG_FILE)
    .cases) {
    startRandom(fromHex(entropy + nonce));
    generate(64, fromHex(additional1));
    assert.equal(toHex(generate(64, fromHex(additional2))), returned, name);
  }
});

test("R14 CTR_DRBG: the reference of these tests passes NIST's vectors", needs(DRBG_FILE), () => {
  for (const { name, entropy, nonce, additional1, additional2, returned } of vectorJson<DrbgFile>(DRBG_FILE)
    .cases) {
    const reference = new Reference(128n, entropy + nonce);
    const additional = (text: string) => (text ? referenceDerive(Buffer.from(text, "hex")) : Buffer.alloc(0));
    reference.generate(64, additional(additional1));
    assert.equal(reference.generate(64, additional(additional2)).toString("hex"), returned, name);
  }
});

test("R14 derivation function and instantiation: like the standard's steps, for 8 to 512 bytes", () => {
  for (let length = 8; length <= 512; length += 8) {
    const input = generated(length, length);
    startRandom(input);
    assert.equal(toHex(state as string), new Reference(8n, toHex(input)).state());
  }
});

test("R14 CTR_DRBG: like the standard's steps over seeds and lengths, the counter field running over", () => {
  let reference = new Reference(8n, "");
  for (let i = 0; i < 1000; i++) {
    if (i % 50 === 0) {
      startRandom(generated(i, 128));
      reference = new Reference(8n, toHex(generated(i, 128)));
    }
    const length = i === 999 ? 4032 : (i * 37) % 200;
    assert.equal(toHex(random(length)), reference.generate(length, Buffer.alloc(0)).toString("hex"));
    assert.equal(toHex(state as string), reference.state());
  }
});

test("R13 a seeding from noise carries the state before it on as its personalisation string", () => {
  startRandom(generated(1, 128));
  const before = state as string;
  const noise = Buffer.from(generated(2, 128), "latin1");
  let at = 0;
  useBoard(board, { noise: { word: () => noise.readUInt32LE((at += 4) - 4) } });
  startRandom();
  assert.equal(toHex(state as string), new Reference(8n, noise.toString("hex") + toHex(before)).state());
});

test("R13 CTR_DRBG: nothing is given before the first seed", async () => {
  const fresh: typeof import("./ctr_drbg") = await import(
    new URL(`./ctr_drbg.ts?instance=1`, import.meta.url).href
  );
  assert.throws(() => fresh.random(16), TypeError);
});

test("R13 AES that fails in a seeding leaves no state that could be guessed", () => {
  const before = state;
  const { encrypt } = require("crypto").AES;
  let calls = 0;
  try {
    for (let good = 0; good < 5; good++) {
      calls = 0;
      require("crypto").AES.encrypt = (...args: never[]) => (calls++ < good ? encrypt(...args) : undefined);
      if (good < 4) assert.throws(() => startRandom(generated(3, 128)));
      else startRandom(generated(3, 128));
      if (good < 4) assert.equal(state, before);
    }
  } finally {
    require("crypto").AES.encrypt = encrypt;
  }
});
