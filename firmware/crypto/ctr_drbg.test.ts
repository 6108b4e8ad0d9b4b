// CTR_DRBG: NIST's vectors, and a reference of the standard's own steps over node:crypto. The reference takes the length
// of the counter field: with 128 bits it passes NIST's vectors too, with 8 it is what the firmware must equal where
// the last byte of V runs over, which the vectors never see.
import "../../hal/simulator/globals";
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { fromHex, generated, needs, toHex, vectorJson } from "../../scripts/lib/vectors";
import { derive } from "./ctr_drbg_seed";

type Random = typeof import("./ctr_drbg").random;

let instances = 0;
/** A generator that has not been seeded. */
async function fresh(): Promise<Random> {
  return (await import(`./ctr_drbg.ts?instance=${instances++}`)).random;
}

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

  constructor(private counterBits: bigint) {}

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

/** Generate with additional input as ctr_drbg.ts says: mixed in before and after. */
function generate(random: Random, length: number, additional: string): string {
  if (!additional) return random(length);
  const seed = derive(additional);
  random(0, seed);
  return random(length, seed);
}

interface DrbgFile {
  cases: Record<"name" | "entropy" | "nonce" | "additional1" | "additional2" | "returned", string>[];
}
const DRBG_FILE = "nist/ctr_drbg_aes128_df.json";

test("R14 CTR_DRBG: NIST CAVS 14.3, AES-128 with derivation function, the first case", async () => {
  const random = await fresh();
  random(0, derive(fromHex("890eb067acf7382eff80b0c73bc872c6" + "aad471ef3ef1d203")));
  random(64);
  assert.equal(
    toHex(random(64)),
    "a5514ed7095f64f3d0d3a5760394ab42062f373a25072a6ea6bcfd8489e94af6" +
      "cf18659fea22ed1ca0a9e33f718b115ee536b12809c31b72b08ddd8be1910fa3",
  );
});

test(
  "R14 CTR_DRBG: NIST CAVS 14.3, every case, with and without additional input",
  needs(DRBG_FILE),
  async () => {
    for (const { name, entropy, nonce, additional1, additional2, returned } of vectorJson<DrbgFile>(DRBG_FILE)
      .cases) {
      const random = await fresh();
      random(0, derive(fromHex(entropy + nonce)));
      generate(random, 64, fromHex(additional1));
      assert.equal(toHex(generate(random, 64, fromHex(additional2))), returned, name);
    }
  },
);

test("R14 CTR_DRBG: the reference of these tests passes NIST's vectors", needs(DRBG_FILE), () => {
  for (const { name, entropy, nonce, additional1, additional2, returned } of vectorJson<DrbgFile>(DRBG_FILE)
    .cases) {
    const reference = new Reference(128n);
    const additional = (text: string) => (text ? referenceDerive(Buffer.from(text, "hex")) : Buffer.alloc(0));
    reference.update(referenceDerive(Buffer.from(entropy + nonce, "hex")));
    reference.generate(64, additional(additional1));
    assert.equal(reference.generate(64, additional(additional2)).toString("hex"), returned, name);
  }
});

test("R14 derivation function: like the standard's steps, for 8 to 512 bytes", () => {
  for (let length = 8; length <= 512; length += 8) {
    const input = generated(length, length);
    assert.equal(toHex(derive(input)), referenceDerive(Buffer.from(input, "latin1")).toString("hex"));
  }
});

test("R14 CTR_DRBG: like the standard's steps over seeds, reseeds and lengths, the counter field running over", async () => {
  const random = await fresh();
  const reference = new Reference(8n);
  for (let i = 0; i < 1000; i++) {
    if (i % 50 === 0) {
      const noise = generated(i, 128);
      random(0, derive(noise));
      reference.update(referenceDerive(Buffer.from(noise, "latin1")));
    }
    const length = i === 999 ? 4032 : (i * 37) % 200;
    const additional = i % 3 ? "" : generated(i, 16);
    const expected = reference.generate(
      length,
      additional ? referenceDerive(Buffer.from(additional, "latin1")) : Buffer.alloc(0),
    );
    assert.equal(toHex(generate(random, length, additional)), expected.toString("hex"));
  }
});

test("R13 CTR_DRBG: nothing is given before the first seed", async () => {
  const random = await fresh();
  assert.throws(() => random(16), TypeError);
});
