// Sealed files: they open as their head says, with stock primitives as well, and no byte of them can be changed.
import assert from "node:assert/strict";
import { createDecipheriv, createPrivateKey, randomBytes, scryptSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import {
  makeFactoryKey,
  openAsFactory,
  openFactoryKey,
  openWithPassphrase,
  readFactoryPublicKey,
  readSealed,
  readSealedFile,
  sealForFactory,
  sealWithPassphrase,
} from "./sealed_file";

const folder = mkdtempSync(join(tmpdir(), "sealed-"));
after(() => rmSync(folder, { recursive: true }));
const PASSPHRASE = Buffer.from("clip rust onyx eel mango tidy");
const QUICK = 1 << 14; // scrypt's N for tests

function put(bytes: Uint8Array | string, name = "file"): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Every change of one byte: low bit, high bit, gone. */
function* mutants(bytes: Buffer): Generator<Buffer> {
  for (let i = 0; i < bytes.length; i++) {
    for (const bit of [1, 0x20]) {
      const changed = Buffer.from(bytes);
      changed[i] ^= bit;
      yield changed;
    }
    yield Buffer.concat([bytes.subarray(0, i), bytes.subarray(i + 1)]);
  }
}

describe("R25 sealed by a passphrase", () => {
  test("R25 opens with it and with no other; a sentence", async () => {
    const contents = randomBytes(16);
    const path = put(await sealWithPassphrase("master", { purpose: "psk" }, contents, PASSPHRASE, QUICK));
    const file = readSealed(path, "master");
    assert.deepEqual(file.fields, { purpose: "psk" });
    assert.deepEqual(await openWithPassphrase(file, PASSPHRASE), contents);
    for (const wrong of [
      "",
      "clip rust onyx eel mango tidz",
      `${PASSPHRASE} `,
      "Clip rust onyx eel mango tidy",
    ])
      await assert.rejects(
        openWithPassphrase(file, Buffer.from(wrong)),
        /the passphrase is wrong, or the file/,
      );
    assert.throws(() => readSealed(path, "root"), /holds a master, not a root/);
  });

  test("R25 the default costs 128 MiB of scrypt; salt and nonce are never the same", async () => {
    const files = [0, 1].map(() => sealWithPassphrase("root", {}, randomBytes(16), PASSPHRASE));
    const locks = (await Promise.all(files)).map((bytes) => JSON.parse(bytes.toString().split("\n")[0]).lock);
    for (const { kind, N, r, p } of locks)
      assert.deepEqual({ kind, N, r, p }, { kind: "scrypt", N: 131072, r: 8, p: 1 });
    assert.notEqual(locks[0].salt, locks[1].salt);
    assert.notEqual(locks[0].nonce, locks[1].nonce);
  });

  test("R25 is what its head says: stock scrypt and AES-256-GCM open it", async () => {
    const contents = randomBytes(16);
    const bytes = await sealWithPassphrase("master", { purpose: "ota" }, contents, PASSPHRASE, QUICK);
    const [header, body] = bytes.toString().split("\n");
    const { lock } = JSON.parse(header);
    const key = scryptSync(PASSPHRASE, Buffer.from(lock.salt, "base64"), 32, { N: lock.N, r: 8, p: 1 });
    const sealed = Buffer.from(body, "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(lock.nonce, "base64"));
    decipher.setAAD(Buffer.from(header)).setAuthTag(sealed.subarray(-16));
    assert.deepEqual(Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]), contents);
  });

  test("R25 any byte changed or gone: refused", async () => {
    const bytes = await sealWithPassphrase("master", { purpose: "psk" }, randomBytes(16), PASSPHRASE, QUICK);
    let stretched = 0;
    for (const changed of mutants(bytes)) {
      if (changed.toString().trimEnd() === bytes.toString().trimEnd()) continue; // the last line end
      const path = put(changed, "mutant");
      let file: ReturnType<typeof readSealedFile>;
      try {
        file = readSealedFile(path);
      } catch (error) {
        assert.ok(error instanceof UsageError, (error as Error).stack);
        continue;
      }
      if (!file) continue; // no sealed file any more: it begins otherwise
      stretched++;
      await assert.rejects(openWithPassphrase(file, PASSPHRASE), UsageError);
    }
    assert.ok(stretched > 100); // these got as far as scrypt
  });

  const header = { sealed: 1, holds: "master", purpose: "psk" };
  const lock = { kind: "scrypt", N: QUICK, r: 8, p: 1, salt: "A".repeat(22) + "==", nonce: "A".repeat(16) };
  const foreign: Record<string, object> = {
    "another format": { ...header, sealed: 2, lock },
    "nothing known in it": { ...header, holds: "gold", lock },
    "no lock": header,
    "another lock": { ...header, lock: { ...lock, kind: "rot13" } },
    "a cost that takes all memory": { ...header, lock: { ...lock, N: 2 ** 30 } },
    "a cost that is none": { ...header, lock: { ...lock, N: 2 } },
    "a cost that is no power of two": { ...header, lock: { ...lock, N: QUICK + 1 } },
    "a block size that takes all memory": { ...header, lock: { ...lock, r: 1 << 20 } },
    "a short salt": { ...header, lock: { ...lock, salt: "AAAA" } },
  };
  for (const [name, value] of Object.entries(foreign)) {
    test(`R25 refused unopened: ${name}`, () => {
      const path = put(`${JSON.stringify(value)}\n${"A".repeat(43)}=\n`);
      assert.throws(() => readSealedFile(path), UsageError);
    });
  }
  test("the same header, untouched, is read", () =>
    assert.equal(
      readSealedFile(put(`${JSON.stringify({ ...header, lock })}\n${"A".repeat(43)}=\n`))?.holds,
      "master",
    ));
});

describe("R25 sealed for a factory", () => {
  const ours = makeFactoryKey();
  const privateKey = createPrivateKey({ key: ours.privateKey, format: "der", type: "pkcs8" });

  test("R25 opens with the factory's key and with no other", () => {
    const contents = randomBytes(1000);
    const path = put(sealForFactory("batch", { product: "meter" }, contents, ours.publicKey));
    assert.deepEqual(openAsFactory(readSealed(path, "batch"), privateKey), contents);
    const other = createPrivateKey({ key: makeFactoryKey().privateKey, format: "der", type: "pkcs8" });
    assert.throws(
      () => openAsFactory(readSealed(path, "batch"), other),
      /is sealed for the factory key [0-9a-f]{4} /,
    );
  });

  test("R25 any byte changed or gone: refused", () => {
    const bytes = sealForFactory("batch", { product: "meter" }, randomBytes(48), ours.publicKey);
    for (const changed of mutants(bytes)) {
      if (changed.toString().trimEnd() === bytes.toString().trimEnd()) continue;
      const path = put(changed, "mutant");
      assert.throws(() => {
        const file = readSealedFile(path);
        if (!file) throw new UsageError("no sealed file any more");
        openAsFactory(file, privateKey);
      }, UsageError);
    }
  });

  test("R25 a public key of small order is refused, not agreed with", () => {
    const bytes = sealForFactory("batch", {}, randomBytes(16), ours.publicKey).toString();
    const forged = bytes.replace(
      /"ephemeral":"[^"]+"/,
      `"ephemeral":"${Buffer.alloc(32).toString("base64")}"`,
    );
    assert.throws(() => openAsFactory(readSealed(put(forged), "batch"), privateKey), UsageError);
  });

  test("the pair: private key sealed, public key as PEM that is read back; nothing else is taken for one", async () => {
    const sealed = put(
      await sealWithPassphrase("factory", {}, ours.privateKey, PASSPHRASE, QUICK),
      "factory",
    );
    const opened = await openFactoryKey(readSealed(sealed, "factory"), PASSPHRASE);
    assert.ok(opened.equals(privateKey));
    assert.ok(readFactoryPublicKey(put(ours.pem, "pub")).equals(ours.publicKey));
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    for (const wrong of ["", "garbage", pem, ours.pem.slice(0, 60)])
      assert.throws(() => readFactoryPublicKey(put(wrong, "wrong")), /no X25519 public key/);
  });
});
