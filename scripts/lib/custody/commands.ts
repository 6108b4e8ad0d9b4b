// What the words of `npm run keys` do, once their command lines are read (scripts/keys.ts has the options).
import { join } from "node:path";
import type {
  BatchOptions,
  CheckOptions,
  CreateOptions,
  FactoryKeyOptions,
  GenerateOptions,
  SealOptions,
  TakeOptions,
} from "../../keys";
import { profileGiven } from "../bundle/profile_option";
import { UsageError } from "../cli/exit";
import { needed } from "../cli/subcommands";
import {
  checkFolder,
  checkNewFiles,
  makeFolder,
  PUBLIC,
  refuseExisting,
  writeNewFiles,
} from "../files/new_file";
import { parseIdentity } from "../keys/identity";
import { keyCheckValue, PURPOSES, type Purpose, type SchemeName, splitRoot } from "../keys/kdf";
import { randomKey, strongKey } from "../keys/weak_keys";
import { makeBatch, openBatch } from "./batch";
import { deviceKeyFor, masterFromBytes, openMaster, openMasterFile, openMasters, withPin } from "./master";
import {
  type Contents,
  fingerprint,
  keyIn,
  makeFactoryKey,
  openFactoryKey,
  openWithPassphrase,
  readFactoryPublicKey,
  readSealed,
  type SealedFile,
  sealFactoryKey,
  sealWithPassphrase,
} from "./sealed_file";
import { Secrets } from "./secrets";
import { checkToken, createTokenKey, isTokenUri, type TokenUri, tokenUri } from "./token";

/** Draw a root, split it, seal or store the masters. */
export async function create(options: CreateOptions): Promise<void> {
  const folder = needed(options.out, "--out FOLDER");
  const purposes = PURPOSES.filter((purpose) => !options.only || options.only.includes(purpose));
  if (options.only && !options.root) throw new UsageError("--only is for masters made again, with --root.");
  if (options.root && options["without-root"]) throw new UsageError("--without-root is for a new root.");
  const uris = tokenUris(options.token ?? [], purposes);
  const inFolder = (name: string) => join(folder, `${name}.age`);
  const newRoot = !options.root && !options["without-root"];
  const sealed = [...(newRoot ? ["root"] : []), ...purposes.filter((purpose) => !uris.has(purpose))];
  refuseExisting(...sealed.map(inFolder));
  checkFolder(folder);
  for (const uri of uris.values()) await checkToken(uri);
  const oldRoot = options.root === undefined ? undefined : readSealed(options.root);
  const secrets = new Secrets(options, ["root", ...PURPOSES]);

  const root = oldRoot ? await openRoot(oldRoot, secrets) : randomKey();
  const passphrases = new Map<string, Buffer>();
  for (const name of sealed) {
    const what = name === "root" ? "the root" : `the master ${name}`;
    passphrases.set(name, await secrets.fresh(name, what, [...passphrases.values()]));
  }
  const masters = splitRoot(root);
  for (const purpose of PURPOSES) strongKey(masters[purpose], `the master ${purpose}`);
  const files: { path: string; bytes: Buffer }[] = [];
  for (const [name, passphrase] of passphrases) {
    const contents =
      name === "root"
        ? ({ holds: "root", key: root.toString("hex") } as const)
        : masterContents(masters[name as Purpose], name as Purpose, "kdf");
    files.push({ path: inFolder(name), bytes: await sealing(contents, passphrase, options) });
  }
  makeFolder(folder);
  await intoTokens(
    [...uris].map(([purpose, uri]) => ({ purpose, uri, value: masters[purpose] })),
    secrets,
    "kdf",
    () => writeNewFiles(files),
  );
  const rows = purposes.map((purpose) => ({
    purpose,
    place: uris.has(purpose) ? `token ${uris.get(purpose)?.token}` : inFolder(purpose),
    checkValue: keyCheckValue(masters[purpose]),
  }));
  if (newRoot) rows.unshift({ purpose: "root" as Purpose, place: inFolder("root"), checkValue: "" });
  for (const secret of [root, ...Object.values(masters), ...passphrases.values()]) secret.fill(0);
  if (options.json) console.log(JSON.stringify(rows));
  else
    for (const row of rows) console.log(`${row.purpose.padEnd(8)} ${row.checkValue.padEnd(6)}  ${row.place}`);
}

async function openRoot(file: SealedFile, secrets: Secrets): Promise<Buffer> {
  const contents = await secrets.opening("root", file.path, (passphrase) =>
    openWithPassphrase(file, passphrase, "root"),
  );
  return strongKey(keyIn(contents, file.path), "the root");
}

/** Have a master made inside a token. */
export async function generate(options: GenerateOptions): Promise<void> {
  const purpose = needed(options.purpose, "--purpose PURPOSE");
  const uri = needed(options.token, "--token pkcs11:...");
  const secrets = new Secrets(options, ["token"]);
  const chosen = options.scheme ?? "kdf";
  const { key } = await withPin(uri, secrets, "token", (pin) => createTokenKey(uri, pin, purpose, chosen));
  printMaster(options.json, { purpose, scheme: chosen, place: key.about, checkValue: keyCheckValue(key) });
  key.close();
}

/** Bring a master along, into a sealed file or a token. */
export async function take(options: TakeOptions): Promise<void> {
  const place = needed(options.master, "--master FILE");
  if (isTokenUri(place)) throw new UsageError("a master never comes out of a token again.");
  if ((options.out === undefined) === (options.token === undefined))
    throw new UsageError("say where it goes, --out FILE or --token pkcs11:....");
  checkNewFiles(options.out);
  if (options.token) await checkToken(options.token);
  const secrets = new Secrets(options, ["old", "new"]);
  const { purpose, scheme } = options;
  const old = await openMasterFile(place, { purpose, scheme, secrets, name: "old" });
  const master = masterFromBytes(old.bytes, old.purpose, old.scheme, old.about);
  const row = { purpose: master.purpose, scheme: master.scheme, checkValue: master.checkValue() };
  if (options.out) {
    const passphrase = await secrets.fresh("new", options.out);
    const contents = masterContents(old.bytes, master.purpose, master.scheme);
    writeNewFiles([{ path: options.out, bytes: await sealing(contents, passphrase, options) }]);
  } else if (options.token) {
    const value = { purpose: master.purpose, uri: options.token, value: old.bytes };
    await intoTokens([value], secrets, master.scheme, () => {}, "new");
  }
  master.close();
  printMaster(options.json, { ...row, place: options.out ?? `token ${options.token?.token}` });
}

/** Make a factory's pair of keys. */
export async function factoryKey(options: FactoryKeyOptions): Promise<void> {
  const folder = needed(options.out, "--out FOLDER");
  const files = { key: join(folder, "factory.age"), publicKey: join(folder, "factory.pub") };
  refuseExisting(...Object.values(files));
  checkFolder(folder);
  const passphrase = await new Secrets(options, ["factory"]).fresh("factory", "the factory's key");
  const { privateKey, publicKey } = await makeFactoryKey();
  const print = fingerprint(publicKey);
  tellSealing(options);
  const bytes = await sealFactoryKey(privateKey, passphrase, options["work-factor"]);
  passphrase.fill(0);
  makeFolder(folder);
  writeNewFiles([
    { path: files.key, bytes },
    { path: files.publicKey, bytes: Buffer.from(`${publicKey}\n`), mode: PUBLIC },
  ]);
  if (options.json) console.log(JSON.stringify({ ...files, fingerprint: print }));
  else console.log(`${files.key}\n${files.publicKey}\nfingerprint  ${print}`);
}

/** Derive a range's keys and seal them for a factory. */
export async function batch(options: BatchOptions): Promise<void> {
  const places = needed(options.master, "--master PURPOSE=PLACE");
  const range = {
    product: needed(options.product, "--product NAME"),
    keyVersion: options["key-version"] ?? 1,
    first: needed(options.first, "--first SERIAL"),
    count: needed(options.count, "--count N"),
  };
  const { pskLabel } = profileGiven(options);
  const factory = readFactoryPublicKey(needed(options.for, "--for FILE"));
  const out = needed(options.out, "--out FILE");
  checkNewFiles(out);
  const masters = await openMasters(places, new Secrets(options, PURPOSES));
  try {
    const { bytes, digest, count, leftOut } = await makeBatch(range, masters, factory, pskLabel);
    writeNewFiles([{ path: out, bytes }]);
    const row = {
      out,
      count,
      purposes: masters.map(({ purpose }) => purpose),
      factory: fingerprint(factory),
      digest,
    };
    if (options.json) console.log(JSON.stringify({ ...row, leftOut }));
    else {
      console.log(`${out}: ${count} serials, keys ${row.purposes.join(", ")}`);
      for (const { serial, reason } of leftOut) console.log(`left out     ${serial}: ${reason}`);
      console.log(`sealed for   ${row.factory}\ndigest       ${digest}`);
    }
  } finally {
    for (const master of masters) master.close();
  }
}

/** Print check values of a batch or a master. */
export async function check(options: CheckOptions): Promise<void> {
  const { identity, purpose, scheme } = options;
  if ((options.master === undefined) === (options.batch === undefined))
    throw new UsageError("say what to check, --master PLACE or --batch FILE.");
  if (options.batch) {
    const file = readSealed(needed(options["factory-key"], "--factory-key FILE"));
    const parts = options.batch.map(readSealed);
    const secrets = new Secrets(options, ["passphrase"]);
    const batch = await openBatch(parts, await openFactoryKey(file, secrets, "passphrase"));
    const identities = identity
      ? [identity]
      : batch.serials.map((serial) => parseIdentity(`v${batch.keyVersion}.${batch.product}.${serial}`));
    const rows = identities.flatMap((device) =>
      batch.purposes.map((purpose) => ({
        identity: device.text,
        purpose,
        checkValue: keyCheckValue(batch.deviceKey(device, purpose)),
      })),
    );
    await batch.close();
    if (options.json) console.log(JSON.stringify({ digests: batch.digests, rows }));
    else {
      for (const row of rows) console.log(`${row.identity}  ${row.purpose.padEnd(7)}  ${row.checkValue}`);
      for (const digest of batch.digests) console.log(`digest  ${digest}`);
    }
    return;
  }
  const place = needed(options.master, "--master PLACE");
  const { pskLabel } = profileGiven(options);
  const secrets = new Secrets(options, ["passphrase"]);
  const master = await openMaster(place, { purpose, scheme, secrets, name: "passphrase" });
  try {
    const checkValue = identity
      ? keyCheckValue(deviceKeyFor(master, identity, pskLabel))
      : master.checkValue();
    if (options.json)
      console.log(JSON.stringify({ purpose: master.purpose, identity: identity?.text, checkValue }));
    else console.log(`${identity?.text ?? `the master ${master.purpose}`}  ${checkValue}`);
  } finally {
    master.close();
  }
}

/** The tokens for new masters, by purpose: different hands, so different tokens. */
function tokenUris(
  places: readonly { purpose: Purpose; place: string }[],
  purposes: readonly Purpose[],
): Map<Purpose, TokenUri> {
  const uris = new Map<Purpose, TokenUri>();
  for (const { purpose, place } of places) {
    const uri = tokenUri(place);
    const { token, serial, modulePath } = uri;
    if (uris.has(purpose)) throw new UsageError(`the master ${purpose} is given a token twice.`);
    if (!purposes.includes(purpose))
      throw new UsageError(`--token ${purpose}: this master is not being made.`);
    const same = [...uris.values()].find(
      (other) => other.token === token && other.serial === serial && other.modulePath === modulePath,
    );
    if (same)
      throw new UsageError(
        `the token ${JSON.stringify(token)} would hold two masters; they are for different hands.`,
      );
    uris.set(purpose, uri);
  }
  return uris;
}

/** Put masters into tokens, then do the rest; where any of it fails, the tokens are as they were. */
async function intoTokens(
  masters: readonly { purpose: Purpose; uri: TokenUri; value: Buffer }[],
  secrets: Secrets,
  scheme: SchemeName,
  rest: () => void,
  name?: string,
): Promise<void> {
  const made: Awaited<ReturnType<typeof createTokenKey>>[] = [];
  try {
    for (const { purpose, uri, value } of masters) {
      const create = (pin: Buffer) => createTokenKey(uri, pin, purpose, scheme, value);
      made.push(await withPin(uri, secrets, name ?? purpose, create));
    }
    rest();
  } catch (error) {
    for (const { remove } of made) remove();
    throw error;
  } finally {
    for (const { key } of made) key.close();
  }
}

function masterContents(master: Buffer, purpose: Purpose, scheme: SchemeName): Contents {
  return { holds: "master", purpose, scheme, checkValue: keyCheckValue(master), key: master.toString("hex") };
}

/** Seal, and say so: it takes a while. */
function sealing(contents: Contents, passphrase: Buffer, options: SealOptions): Promise<Buffer> {
  tellSealing(options);
  return sealWithPassphrase(contents, passphrase, options["work-factor"]);
}

function tellSealing({ json }: SealOptions): void {
  if (process.stderr.isTTY && !json) console.error("sealing a file ...");
}

function printMaster(
  asJson: boolean | undefined,
  row: { purpose: Purpose; scheme: SchemeName; place: string; checkValue: string },
): void {
  if (asJson) console.log(JSON.stringify(row));
  else
    console.log(
      `the master ${row.purpose}, scheme ${row.scheme}, check value ${row.checkValue}: ${row.place}`,
    );
}
