// Sealed files: two lines of text, a header in JSON and the contents in base64, encrypted and authenticated together
// with the header by AES-256-GCM (SP 800-38D). The key comes from a passphrase by scrypt (RFC 7914), or is agreed with
// a factory's public key by X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) with a key pair that is used once.
//   {"sealed":1,"holds":"master",...,"lock":{"kind":"scrypt","N":131072,"r":8,"p":1,"salt":"...","nonce":"..."}}
//   base64(ciphertext || tag[16])
// The additional data of GCM are the bytes of the first line as they stand: no field can be changed unseen.
// Leaves out: who sealed a file for a factory, which nothing in it proves; its digest is told on another way.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  scrypt,
} from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../files/fault";

const FORMAT = 1;
const SALT_LENGTH = 16; // bytes
const NONCE_LENGTH = 12; // bytes
const TAG_LENGTH = 16; // bytes
const COST = 1 << 17; // scrypt's N: 128 MiB with r = 8
// What another's file may ask of this machine: 16 MiB to 1 GiB.
const LEAST_COST = 1 << 14;
const GREATEST_COST = 1 << 20;
const BLOCK_SIZE = 8; // scrypt's r

/** What may be in a sealed file; nothing opens as something else. */
export type Contents = "root" | "master" | "factory" | "batch";

interface PassphraseLock {
  kind: "scrypt";
  N: number;
  r: number;
  p: number;
  salt: string;
  nonce: string;
}

interface FactoryLock {
  kind: "x25519";
  /** Fingerprint of the factory's key, and the public key that was made for this file. */
  factory: string;
  ephemeral: string;
  nonce: string;
}

/** A sealed file, read but not opened. `fields` are true only once it has opened. */
export interface SealedFile {
  path: string;
  holds: Contents;
  fields: Record<string, unknown>;
  lock: PassphraseLock | FactoryLock;
  header: Buffer;
  sealed: Buffer;
  /** Of the whole file, to be compared by voice. */
  digest: string;
}

// ------------------------------------------------------------------------------------------------- seal

/** Seal contents under a passphrase; `cost` is scrypt's N, a power of two. Gives the file's bytes. */
export async function sealWithPassphrase(
  holds: Contents,
  fields: Record<string, unknown>,
  contents: Uint8Array,
  passphrase: Uint8Array,
  cost = COST,
): Promise<Buffer> {
  const lock: PassphraseLock = {
    kind: "scrypt",
    N: cost,
    r: BLOCK_SIZE,
    p: 1,
    salt: randomBytes(SALT_LENGTH).toString("base64"),
    nonce: randomBytes(NONCE_LENGTH).toString("base64"),
  };
  return encrypt({ sealed: FORMAT, holds, ...fields, lock }, contents, await stretch(passphrase, lock));
}

/** Seal contents for the holder of a factory's private key. Gives the file's bytes. */
export function sealForFactory(
  holds: Contents,
  fields: Record<string, unknown>,
  contents: Uint8Array,
  factory: KeyObject,
): Buffer {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const lock: FactoryLock = {
    kind: "x25519",
    factory: fingerprint(factory),
    ephemeral: rawPublicKey(publicKey).toString("base64"),
    nonce: randomBytes(NONCE_LENGTH).toString("base64"),
  };
  const key = agree(privateKey, factory, publicKey, factory);
  return encrypt({ sealed: FORMAT, holds, ...fields, lock }, contents, key);
}

function encrypt(
  header: { sealed: number; holds: Contents; lock: { nonce: string } },
  contents: Uint8Array,
  key: Buffer,
): Buffer {
  const line = Buffer.from(JSON.stringify(header));
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.from(header.lock.nonce, "base64"));
  cipher.setAAD(line);
  const sealed = Buffer.concat([cipher.update(contents), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return Buffer.concat([line, Buffer.from(`\n${sealed.toString("base64")}\n`)]);
}

// ------------------------------------------------------------------------------------------------- open

function looksSealed(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 10)).toString("latin1") === '{"sealed":';
}

const LONGEST = 16 << 20; // bytes

/** Read a sealed file; undefined where the file is something else. It may lie about for all to read: it is sealed. */
export function readSealedFile(path: string): SealedFile | undefined {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new UsageError(`${path} is no file.`);
    if (status.size > LONGEST) throw new UsageError(`${path} is longer than any sealed file.`);
    const bytes = readFileSync(path);
    return looksSealed(bytes) ? parseSealed(bytes, path) : undefined;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  }
}

/** Read a sealed file that must be one, and hold this. */
export function readSealed(path: string, holds: Contents): SealedFile {
  const file = readSealedFile(path);
  if (!file) throw new UsageError(`${path} is no sealed file.`);
  if (file.holds !== holds) throw new UsageError(`${path} holds a ${file.holds}, not a ${holds}.`);
  return file;
}

/** Take a sealed file apart, its header held to what this version knows. Throws UsageError. */
function parseSealed(bytes: Buffer, path: string): SealedFile {
  const damaged = (fault: string) => new UsageError(`${path} is no whole sealed file: ${fault}.`);
  const end = bytes.indexOf(0x0a);
  if (!looksSealed(bytes) || end < 0) throw damaged("it does not begin with a header");
  const header = Buffer.from(bytes.subarray(0, end));
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(header.toString());
  } catch {
    throw damaged("its header is not JSON");
  }
  const { sealed: format, holds, lock, ...fields } = parsed;
  if (format !== FORMAT)
    throw new UsageError(`${path} has a sealed file's format ${format}; this is for ${FORMAT}.`);
  if (!["root", "master", "factory", "batch"].includes(holds as string))
    throw damaged("it holds nothing known");
  if (!isLock(lock)) throw damaged("its lock is none of scrypt and x25519 with values within bounds");
  const text = bytes.toString("latin1", end + 1).trimEnd();
  const contents = Buffer.from(text, "base64");
  if (contents.length < TAG_LENGTH || contents.toString("base64") !== text)
    throw damaged("its second line is not base64");
  return {
    path,
    holds: holds as Contents,
    fields,
    lock,
    header,
    sealed: contents,
    digest: digestText(bytes),
  };
}

function isLock(lock: unknown): lock is PassphraseLock | FactoryLock {
  const { kind, N, r, p, salt, nonce, factory, ephemeral } = (lock ?? {}) as Record<string, unknown>;
  const isBytes = (text: unknown, length: number) =>
    typeof text === "string" && Buffer.from(text, "base64").length === length;
  if (!isBytes(nonce, NONCE_LENGTH)) return false;
  if (kind === "x25519") return typeof factory === "string" && isBytes(ephemeral, 32);
  const cost = N as number;
  const costKnown =
    Number.isInteger(cost) && cost >= LEAST_COST && cost <= GREATEST_COST && (cost & (cost - 1)) === 0;
  return kind === "scrypt" && costKnown && r === BLOCK_SIZE && p === 1 && isBytes(salt, SALT_LENGTH);
}

/** Open a file that a passphrase seals. Throws UsageError: a wrong passphrase and a changed byte look alike. */
export async function openWithPassphrase(file: SealedFile, passphrase: Uint8Array): Promise<Buffer> {
  if (file.lock.kind !== "scrypt")
    throw new UsageError(`${file.path} is sealed for a factory, not by a passphrase.`);
  const contents = decrypt(file, await stretch(passphrase, file.lock));
  if (contents) return contents;
  throw new UsageError(`${file.path} does not open: the passphrase is wrong, or the file was changed.`);
}

/** Open a file that is sealed for a factory, with its private key. Throws UsageError. */
export function openAsFactory(file: SealedFile, factory: KeyObject): Buffer {
  if (file.lock.kind !== "x25519")
    throw new UsageError(`${file.path} is sealed by a passphrase, not for a factory.`);
  const publicKey = createPublicKey(factory);
  if (file.lock.factory !== fingerprint(publicKey)) {
    throw new UsageError(
      `${file.path} is sealed for the factory key ${file.lock.factory}, and this one is ${fingerprint(publicKey)}.`,
    );
  }
  const x = Buffer.from(file.lock.ephemeral, "base64").toString("base64url");
  const ephemeral = createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
  let contents: Buffer | undefined;
  try {
    contents = decrypt(file, agree(factory, ephemeral, ephemeral, publicKey));
  } catch {
    contents = undefined; // a point of small order, which agrees on zeros: OpenSSL refuses it
  }
  if (contents) return contents;
  throw new UsageError(`${file.path} does not open: the file was changed.`);
}

function decrypt(file: SealedFile, key: Buffer): Buffer | undefined {
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(file.lock.nonce, "base64"), {
    authTagLength: TAG_LENGTH,
  });
  key.fill(0);
  decipher.setAAD(file.header);
  decipher.setAuthTag(file.sealed.subarray(-TAG_LENGTH));
  const contents = decipher.update(file.sealed.subarray(0, -TAG_LENGTH));
  try {
    decipher.final();
    return contents;
  } catch {
    contents.fill(0);
    return undefined;
  }
}

// ------------------------------------------------------------------------------------------------- keys

function stretch(passphrase: Uint8Array, { N, r, p, salt }: PassphraseLock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const maxmem = 128 * N * r + (1 << 20);
    scrypt(passphrase, Buffer.from(salt, "base64"), 32, { N, r, p, maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

/** HKDF over what X25519 agrees on, bound to both public keys (as RFC 9180, 4.1 does). */
function agree(
  privateKey: KeyObject,
  publicKey: KeyObject,
  ephemeral: KeyObject,
  factory: KeyObject,
): Buffer {
  const shared = diffieHellman({ privateKey, publicKey });
  const salt = Buffer.concat([rawPublicKey(ephemeral), rawPublicKey(factory)]);
  const key = Buffer.from(hkdfSync("sha256", shared, salt, "tls-psk-firmware sealed file 1", 32));
  shared.fill(0);
  return key;
}

function rawPublicKey(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).x as string, "base64url");
}

/** The first 16 bytes of SHA-256 over a factory's public key (SPKI, DER), in fours: to be compared by voice. */
export function fingerprint(publicKey: KeyObject): string {
  return digestText(publicKey.export({ type: "spki", format: "der" }));
}

/** The first 16 bytes of SHA-256, in fours of hex digits: to be compared by voice. */
export function digestText(bytes: Uint8Array): string {
  const hex = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  return (hex.match(/.{4}/g) as string[]).join(" ");
}

/** Make a factory's pair: the private key as bytes to seal (PKCS #8, DER), the public one as a PEM file. */
export function makeFactoryKey(): { privateKey: Buffer; publicKey: KeyObject; pem: string } {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "der" }),
    publicKey,
    pem: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Read a factory's public key (PEM). Throws UsageError. */
export function readFactoryPublicKey(path: string): KeyObject {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  }
  try {
    // A private key gives its public one to createPublicKey, but has no business here.
    if (!pem.includes("PRIVATE KEY")) {
      const key = createPublicKey(pem);
      if (key.asymmetricKeyType === "x25519") return key;
    }
  } catch {
    // said below
  }
  throw new UsageError(`${path} is no X25519 public key in PEM; npm run keys -- factory-key makes one.`);
}

/** Open a factory's private key out of its sealed file. */
export async function openFactoryKey(file: SealedFile, passphrase: Uint8Array): Promise<KeyObject> {
  const der = await openWithPassphrase(file, passphrase);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  return key;
}
