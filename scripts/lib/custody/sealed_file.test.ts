// Sealed files: they open with the right passphrase or key and no other, with Debian's age as well, which makes them too;
// and no byte of them can be changed.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { armor, Encrypter } from "age-encryption";
import { UsageError } from "../cli/exit";
import { skipWithout } from "../test/peers/install";
import {
  type Contents,
  keyIn,
  makeFactoryKey,
  openAsFactory,
  openFactoryKey,
  openWithPassphrase,
  readFactoryPublicKey,
  readSealed,
  sealFactoryKey,
  sealForFactory,
  sealWithPassphrase,
} from "./sealed_file";
import { Secrets } from "./secrets";

const folder = mkdtempSync(join(tmpdir(), "sealed-"));
after(() => rmSync(folder, { recursive: true }));
const PASSPHRASE = Buffer.from("clip rust onyx eel mango tidy");
const QUICK = 10; // log2 of scrypt's N for tests
const master = (): Contents => ({
  holds: "master",
  purpose: "psk",
  scheme: "kdf",
  key: randomBytes(16).toString("hex"),
});

function put(bytes: Uint8Array | string, name = "file"): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Demand that a file with any byte changed does not open, nor one that is cut off, nor one whose armor is damaged. */
async function refuseMutants(file: Buffer, open: (path: string) => Promise<unknown>): Promise<void> {
  const bytes = armor.decode(file.toString());
  const changed = (from: Uint8Array, at: number) => {
    const copy = Buffer.from(from);
    copy[at] ^= 1 << (at % 7);
    return copy;
  };
  const mutants = [
    ...[...bytes.keys()].map((at) => changed(bytes, at)),
    ...[0, 1, 21, 22, 40, bytes.length - 17, bytes.length - 1].map((length) => bytes.subarray(0, length)),
    ...[3, 30, 36, 70, 99, file.length - 40, file.length - 3].map((at) => changed(file, at)),
  ];
  for (const mutant of mutants)
    await assert.rejects(open(put(mutant, "mutant")), UsageError, Buffer.from(mutant).toString("latin1"));
}

describe("R25 sealed by a passphrase", () => {
  test("R25 opens with it and with no other; a sentence", async () => {
    const contents = master();
    const path = put(await sealWithPassphrase(contents, PASSPHRASE, QUICK));
    const file = readSealed(path);
    const opened = await openWithPassphrase(file, PASSPHRASE, "master");
    assert.deepEqual(opened, contents);
    assert.equal(keyIn(opened, path).toString("hex"), contents.key);
    for (const wrong of ["clip rust onyx eel mango tidz", `${PASSPHRASE} `, "Clip rust onyx eel mango tidy"])
      await assert.rejects(
        openWithPassphrase(file, Buffer.from(wrong), "master"),
        /the passphrase is wrong, or the file/,
      );
    await assert.rejects(openWithPassphrase(file, PASSPHRASE, "root"), /holds a master, not a root/);
    await assert.rejects(
      openAsFactory(file, (await makeFactoryKey()).privateKey, "master"),
      /is sealed by a passphrase, not for a factory/,
    );
  });

  test("R25 the default costs 256 MiB of scrypt; nothing of two files of the same is the same", async () => {
    const contents = master();
    const files = [
      await sealWithPassphrase(contents, PASSPHRASE),
      await sealWithPassphrase(contents, PASSPHRASE, QUICK),
    ];
    const heads = files.map((bytes) =>
      Buffer.from(armor.decode(bytes.toString())).toString("latin1").split("\n"),
    );
    assert.equal(heads[0][0], "age-encryption.org/v1");
    assert.match(heads[0][1], /^-> scrypt \S{22} 18$/);
    assert.notEqual(heads[0][1].split(" ")[2], heads[1][1].split(" ")[2]);
    for (const line of [2, 3]) assert.notEqual(heads[0][line], heads[1][line]);
  });

  test("R25 any byte changed or gone: refused", async () => {
    const bytes = await sealWithPassphrase(master(), PASSPHRASE, 1);
    await refuseMutants(bytes, async (path) => openWithPassphrase(readSealed(path), PASSPHRASE, "master"));
  });

  const foreign: Record<string, () => Promise<Uint8Array> | Uint8Array> = {
    nothing: () => Buffer.alloc(0),
    "a cost that takes all memory": async () =>
      Buffer.from(
        Buffer.from(armor.decode((await sealWithPassphrase(master(), PASSPHRASE, QUICK)).toString()))
          .toString("latin1")
          .replace(/^(-> scrypt \S+) \d+$/m, "$1 30"),
        "latin1",
      ),
    "no contents of ours": () => sealed("gold"),
    "contents of a kind that is none": () => sealed('{"holds":"gold","key":"00"}'),
    "a list": () => sealed("[]"),
    null: () => sealed("null"),
  };
  const sealed = (text: string) => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase(PASSPHRASE.toString());
    encrypter.setScryptWorkFactor(QUICK);
    return encrypter.encrypt(text);
  };
  for (const [name, make] of Object.entries(foreign)) {
    test(`R25 refused: ${name}`, async () => {
      const path = put(await make());
      await assert.rejects(
        async () => openWithPassphrase(readSealed(path), PASSPHRASE, "master"),
        UsageError,
      );
    });
  }

  test("a key that is none is refused when it is taken", async () => {
    for (const key of [undefined, 7, "xyz", "123"])
      assert.throws(() => keyIn({ holds: "root", key }, "file"), /holds a root without a key/);
  });
});

describe("R25 sealed for a factory", async () => {
  const { privateKey, publicKey } = await makeFactoryKey();
  const contents: Contents = { holds: "batch", product: "meter" };

  test("R25 opens with the factory's key and with no other", async () => {
    const file = readSealed(put(await sealForFactory(contents, publicKey)));
    assert.deepEqual(await openAsFactory(file, privateKey, "batch"), contents);
    const other = await makeFactoryKey();
    await assert.rejects(
      openAsFactory(file, other.privateKey, "batch"),
      /is sealed for another factory's key/,
    );
    await assert.rejects(openWithPassphrase(file, PASSPHRASE, "batch"), /for a factory, not by a passphrase/);
  });

  test("R25 any byte changed or gone: refused", async () => {
    await refuseMutants(await sealForFactory(contents, publicKey), async (path) =>
      openAsFactory(readSealed(path), privateKey, "batch"),
    );
  });

  test("R25 a public key of small order is refused, not agreed with", async () => {
    const bytes = armor.decode((await sealForFactory(contents, publicKey)).toString());
    const zero = Buffer.alloc(32).toString("base64").replace(/=+$/, "");
    const forged = Buffer.from(bytes)
      .toString("latin1")
      .replace(/^(-> X25519) \S+$/m, `$1 ${zero}`);
    await assert.rejects(
      openAsFactory(readSealed(put(Buffer.from(forged, "latin1"))), privateKey, "batch"),
      UsageError,
    );
  });

  test("the pair: private key sealed, public key in a file that is read back; nothing else is taken for one", async () => {
    const path = put(await sealFactoryKey(privateKey, PASSPHRASE, QUICK), "factory");
    const secrets = new Secrets({ "passphrase-file": [phrase()] }, ["factory"]);
    assert.equal(await openFactoryKey(readSealed(path), secrets, "factory"), privateKey);
    assert.equal(readFactoryPublicKey(put(`${publicKey}\n`, "pub")), publicKey);
    const pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA\n-----END PUBLIC KEY-----\n";
    for (const wrong of [
      "",
      "garbage",
      privateKey,
      pem,
      publicKey.slice(0, 60),
      `${publicKey.slice(0, -1)}q`,
    ])
      assert.throws(() => readFactoryPublicKey(put(wrong, "wrong")), /no public key of a factory/);
  });
});

function phrase(): string {
  const path = join(folder, "phrase");
  writeFileSync(path, `${PASSPHRASE}\n`, { mode: 0o600 });
  return path;
}

describe("R25 Debian's age", { skip: skipWithout("age", "script") }, () => {
  /** Run age at a terminal of its own, and type the passphrase at each question. */
  function age(...argv: string[]): Promise<string> {
    const command = ["age", ...argv].map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    let answered = 0;
    child.stdout.on("data", (chunk) => {
      said += chunk;
      const questions = said.match(/passphrase[^:\n]*: /gi)?.length ?? 0;
      while (answered < questions) {
        answered++;
        child.stdin.write(`${PASSPHRASE}\n`);
      }
    });
    return new Promise((resolve, reject) =>
      child.on("close", (code) => (code === 0 ? resolve(said) : reject(new Error(said)))),
    );
  }

  test("R25 opens a root with its passphrase and nothing of this project", async () => {
    const root = { holds: "root", key: randomBytes(16).toString("hex") } as const;
    const path = put(await sealWithPassphrase(root, PASSPHRASE, QUICK), "root.age");
    const out = join(folder, "root.json");
    await age("--decrypt", "--output", out, path);
    assert.deepEqual(JSON.parse(readFileSync(out, "utf8")), root);
  });

  test("R25 opens a batch with the factory's sealed key, as its identity", async () => {
    const { privateKey, publicKey } = await makeFactoryKey();
    const key = put(await sealFactoryKey(privateKey, PASSPHRASE, QUICK), "factory.age");
    const devices = [["SN1", randomBytes(16).toString("hex")]];
    const contents = { holds: "batch", product: "meter", keyVersion: 1, purposes: ["psk"], devices } as const;
    const batch = put(await sealForFactory(contents, publicKey), "some.batch");
    const out = join(folder, "batch.json");
    await age("--decrypt", "--identity", key, "--output", out, batch);
    assert.deepEqual(JSON.parse(readFileSync(out, "utf8")), contents);
  });

  test("what it seals opens here, armored or not", async () => {
    const { privateKey, publicKey } = await makeFactoryKey();
    const input = `${JSON.stringify({ holds: "batch", product: "meter" })}\n`;
    const pub = put(`${publicKey}\n`, "factory.pub");
    for (const how of [[], ["--armor"]]) {
      const { stdout, status } = spawnSync("age", [...how, "--recipients-file", pub], { input });
      assert.equal(status, 0);
      const opened = await openAsFactory(readSealed(put(stdout)), privateKey, "batch");
      assert.equal(opened.product, "meter");
    }
  });
});
