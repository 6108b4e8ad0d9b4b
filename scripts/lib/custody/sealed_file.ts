// Sealed files are age files (age-encryption.org/v1), armored: scrypt (RFC 7914) under a passphrase, or X25519 (RFC 7748)
// for a factory, and ChaCha20-Poly1305 (RFC 8439) over all of it. What is in one is a line of JSON that says what it is for:
//   {"holds":"master","purpose":"psk","scheme":"kdf","checkValue":"1A2B3C","key":"<32 hex digits>"}
// so that the stock program opens it without anything of this project: `age --decrypt psk.age`. A factory's private key is an
// age identity, `AGE-SECRET-KEY-1...`, sealed in the same way: `age --decrypt --identity factory.age SOME.batch`.
// Leaves out: who sealed a file for a factory, which nothing in it proves; its digest is told on another way.
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { armor, Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { WORK_FACTOR } from "./options";
import { type Secrets, WrongSecret } from "./secrets";

/** What may be in a sealed file; nothing opens as something else. */
const HOLDS = ["root", "master", "factory", "batch"] as const;
export type Holds = (typeof HOLDS)[number];

/** What is in one: what it is for, and fields of its kind. */
export interface Contents {
  holds: Holds;
  [field: string]: unknown;
}

/** A sealed file, read but not opened. */
export interface SealedFile {
  path: string;
  /** Without its armor. */
  bytes: Uint8Array;
  /** Of the whole file, to be compared by voice. */
  digest: string;
}

// ------------------------------------------------------------------------------------------------- seal

/** Seal contents under a passphrase in UTF-8. Gives the file's bytes. */
export function sealWithPassphrase(
  contents: Contents,
  passphrase: Uint8Array,
  workFactor = WORK_FACTOR,
): Promise<Buffer> {
  return seal(passphraseEncrypter(passphrase, workFactor), lineOf(contents));
}

/** Seal contents for the holder of a factory's private key. Gives the file's bytes. */
export function sealForFactory(contents: Contents, publicKey: string): Promise<Buffer> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(publicKey);
  return seal(encrypter, lineOf(contents));
}

function lineOf(contents: Contents): string {
  return `${JSON.stringify(contents)}\n`;
}

function passphraseEncrypter(passphrase: Uint8Array, workFactor: number): Encrypter {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(Buffer.from(passphrase).toString());
  encrypter.setScryptWorkFactor(workFactor);
  return encrypter;
}

async function seal(encrypter: Encrypter, text: string): Promise<Buffer> {
  return Buffer.from(armor.encode(await encrypter.encrypt(text)));
}

// ------------------------------------------------------------------------------------------------- open

const LONGEST = 16 << 20; // bytes
const ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----";
const FIRST_LINE = "age-encryption.org/v1\n";

/** Read a sealed file; undefined where the file is something else. It may lie about for all to read: it is sealed. */
export function readSealedFile(path: string): SealedFile | undefined {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new UsageError(`${path} is no file.`);
    if (status.size > LONGEST) throw new UsageError(`${path} is longer than any sealed file.`);
    const file = readFileSync(path);
    const bytes = withoutArmor(file, path);
    return bytes && { path, bytes, digest: digestText(file) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  }
}

/** Read a sealed file that must be one. */
export function readSealed(path: string): SealedFile {
  const file = readSealedFile(path);
  if (!file) throw new UsageError(`${path} is no sealed file: it does not begin as an age file does.`);
  return file;
}

function withoutArmor(file: Buffer, path: string): Uint8Array | undefined {
  const text = file.toString("latin1");
  if (text.startsWith(FIRST_LINE)) return file;
  if (!text.startsWith(ARMOR)) return undefined;
  try {
    return armor.decode(text);
  } catch {
    throw new UsageError(`${path} is no whole sealed file: its lines are not those of an age file.`);
  }
}

/** Open a file that a passphrase seals. Throws UsageError: a wrong passphrase and a changed byte look alike. */
export async function openWithPassphrase(
  file: SealedFile,
  passphrase: Uint8Array,
  holds: Holds,
): Promise<Contents> {
  if (!isUnderPassphrase(file))
    throw new UsageError(`${file.path} is sealed for a factory, not by a passphrase.`);
  const decrypter = new Decrypter();
  decrypter.addPassphrase(Buffer.from(passphrase).toString());
  return open(
    file,
    decrypter,
    holds,
    new WrongSecret(`${file.path} does not open: the passphrase is wrong, or the file was changed.`),
  );
}

/** Open a file that is sealed for a factory, with its private key. Throws UsageError. */
export async function openAsFactory(file: SealedFile, privateKey: string, holds: Holds): Promise<Contents> {
  if (isUnderPassphrase(file))
    throw new UsageError(`${file.path} is sealed by a passphrase, not for a factory.`);
  const decrypter = new Decrypter();
  decrypter.addIdentity(privateKey);
  return open(
    file,
    decrypter,
    holds,
    new UsageError(
      `${file.path} does not open: it is sealed for another factory's key, or the file was changed.`,
    ),
  );
}

function isUnderPassphrase({ bytes }: SealedFile): boolean {
  return Buffer.from(bytes).toString("latin1", FIRST_LINE.length).startsWith("-> scrypt ");
}

async function open(
  file: SealedFile,
  decrypter: Decrypter,
  holds: Holds,
  otherwise: UsageError,
): Promise<Contents> {
  let text: string;
  try {
    text = await decrypter.decrypt(file.bytes, "text");
  } catch {
    throw otherwise;
  }
  const contents = parseContents(text);
  if (!contents) throw new UsageError(`${file.path} opens, but what is in it was not made by this project.`);
  if (contents.holds !== holds)
    throw new UsageError(`${file.path} holds a ${contents.holds}, not a ${holds}.`);
  return contents;
}

function parseContents(text: string): Contents | undefined {
  const [, privateKey] = IDENTITY_FILE.exec(text) ?? [];
  if (privateKey) return { holds: "factory", key: privateKey };
  try {
    const contents = JSON.parse(text);
    return HOLDS.includes(contents?.holds) ? contents : undefined;
  } catch {
    return undefined;
  }
}

/** Take the 16 bytes of a root or a master out of what was opened; whether they are weak is for the caller to see. */
export function keyIn(contents: Contents, path: string): Buffer {
  if (typeof contents.key !== "string" || !/^([0-9A-Fa-f]{2})*$/.test(contents.key))
    throw new UsageError(`${path} holds a ${contents.holds} without a key.`);
  return Buffer.from(contents.key, "hex");
}

// ------------------------------------------------------------------------------------------------- keys

/** An identity file of age with the one line that tells what it is for. */
const IDENTITY_FILE = /^# the private key of a factory\n(AGE-SECRET-KEY-1[0-9A-Z]+)\n$/;

/** The first 16 bytes of SHA-256 over a factory's public key, `age1...` in ASCII: to be compared by voice. */
export function fingerprint(publicKey: string): string {
  return digestText(Buffer.from(publicKey));
}

/** The first 16 bytes of SHA-256, in fours of hex digits: to be compared by voice. */
export function digestText(bytes: Uint8Array): string {
  const hex = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  return (hex.match(/.{4}/g) as string[]).join(" ");
}

/** Make a factory's pair: an age identity and its recipient, as text. */
export async function makeFactoryKey(): Promise<{ privateKey: string; publicKey: string }> {
  const privateKey = await generateX25519Identity();
  return { privateKey, publicKey: await identityToRecipient(privateKey) };
}

/** Seal a factory's private key under a passphrase. Gives the file's bytes. */
export function sealFactoryKey(
  privateKey: string,
  passphrase: Uint8Array,
  workFactor = WORK_FACTOR,
): Promise<Buffer> {
  return seal(passphraseEncrypter(passphrase, workFactor), `# the private key of a factory\n${privateKey}\n`);
}

/** Open a factory's private key out of its sealed file; `name` is its passphrase's. */
export async function openFactoryKey(file: SealedFile, secrets: Secrets, name: string): Promise<string> {
  const { key } = await secrets.opening(name, file.path, (passphrase) =>
    openWithPassphrase(file, passphrase, "factory"),
  );
  return key as string;
}

/** Read a factory's public key: one line, `age1...`. Throws UsageError. */
export function readFactoryPublicKey(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "latin1").trim();
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  }
  try {
    // an age1pq1... or age1tag1... is a recipient as well, but none that a bench opens
    if (/^age1[0-9a-z]{58}$/.test(text)) {
      new Encrypter().addRecipient(text);
      return text;
    }
  } catch {
    // said below
  }
  throw new UsageError(
    `${path} is no public key of a factory, age1...; npm run keys -- factory-key makes one.`,
  );
}
