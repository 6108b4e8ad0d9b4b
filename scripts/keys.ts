// The custody of the keys: `npm run keys -- COMMAND` (protocol.md 3; what is kept how: lib/custody/).
// `new` draws a root of 128 random bits and splits it once into the four masters, each for other hands:
//   master = CMAC(root, [1]_32 || "master" || 0x00 || purpose || [128]_32), the KDF of the devices' keys with the label
//   `master` and the purpose (psk, ota, console, rekey) as context (splitRoot in lib/keys/kdf.ts).
// The root is shown to nobody: it goes sealed into a file for the safe, or nowhere. No master is printed either; check
// values are. Bad input, a wrong passphrase or a file that is there already: a sentence, exit 2, nothing written.
// Leaves out: making tokens, which softhsm2-util or the token's own tool does.
import { join } from "node:path";
import { UsageError } from "./lib/cli/exit";
import { flag, integer, options as manyOf, oneOf, option, type Parsed } from "./lib/cli/options";
import { needed, runSubcommands, subcommand } from "./lib/cli/subcommands";
import { BATCH_MOST, makeBatch, openBatch } from "./lib/custody/batch";
import {
  masterFromBytes,
  openMaster,
  openMasterFile,
  openMasters,
  parsePurposePlace,
  withPin,
} from "./lib/custody/master";
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
  WORK_FACTOR,
} from "./lib/custody/sealed_file";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { createTokenKey, isTokenUri, parseTokenUri, type TokenUri } from "./lib/custody/token";
import { makeFolder, PUBLIC, refuseExisting, writeNewFiles } from "./lib/files/new_file";
import { parseIdentity } from "./lib/keys/identity";
import {
  keyCheckValue,
  PURPOSES,
  type Purpose,
  SCHEME_NAMES,
  type SchemeName,
  splitRoot,
} from "./lib/keys/kdf";
import { randomKey, strongKey } from "./lib/keys/weak_keys";

const PLACE = "FILE|pkcs11:...";
const json = flag("for machines: one JSON object");
const SEAL_OPTIONS = {
  "work-factor": option(
    "N",
    `log2 of scrypt's cost, 14 to 20, for who opens the file and for who guesses; default ${WORK_FACTOR}: 256 MiB, seconds`,
    integer(14, 20),
  ),
  ...SECRET_OPTIONS,
};
const scheme = option(
  "NAME",
  `how devices' keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the place says`,
  oneOf(SCHEME_NAMES),
);

// --------------------------------------------------------------------------------------------------- new

const NEW = subcommand({
  usage: "npm run keys -- new --out FOLDER",
  about:
    "Draw a root, split it once into the four masters, and seal each into its own file (age). Every file has a passphrase\n" +
    "of its own: FOLDER/root.age, psk.age, ota.age, console.age, rekey.age. With --root, make masters again from a root\n" +
    "out of the safe. Names of passphrases: root, psk, ota, console, rekey.",
  options: {
    out: option("FOLDER", "where the sealed files go; made if it is not there"),
    "without-root": flag("keep no root: what is lost then is lost for ever"),
    root: option("FILE", "take this sealed root instead of a new one"),
    only: manyOf("PURPOSE", `this master only; may be given again: ${PURPOSES.join(", ")}`, oneOf(PURPOSES)),
    token: manyOf(
      "PURPOSE=pkcs11:...",
      "put this master into a token instead of a file; its passphrase is the PIN",
      parsePurposePlace,
    ),
    ...SEAL_OPTIONS,
    json,
  },
  async run(options) {
    const folder = needed(options.out, "--out FOLDER");
    const purposes = PURPOSES.filter((purpose) => !options.only || options.only.includes(purpose));
    if (options.only && !options.root) throw new UsageError("--only is for masters made again, with --root.");
    if (options.root && options["without-root"]) throw new UsageError("--without-root is for a new root.");
    const uris = tokenUris(options.token ?? [], purposes);
    const inFolder = (name: string) => join(folder, `${name}.age`);
    const newRoot = !options.root && !options["without-root"];
    const sealed = [...(newRoot ? ["root"] : []), ...purposes.filter((purpose) => !uris.has(purpose))];
    refuseExisting(...sealed.map(inFolder));
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
      for (const row of rows)
        console.log(`${row.purpose.padEnd(8)} ${row.checkValue.padEnd(6)}  ${row.place}`);
  },
});

async function openRoot(file: SealedFile, secrets: Secrets): Promise<Buffer> {
  const contents = await secrets.opening("root", file.path, (passphrase) =>
    openWithPassphrase(file, passphrase, "root"),
  );
  return strongKey(keyIn(contents, file.path), "the root");
}

// ---------------------------------------------------------------------------------------- generate, import

const GENERATE = subcommand({
  usage: "npm run keys -- generate --purpose PURPOSE --token pkcs11:...",
  about:
    "Have a master made inside a token. It belongs to no root and can be copied nowhere: with the token it is lost.",
  options: {
    purpose: option("PURPOSE", PURPOSES.join(", "), oneOf(PURPOSES)),
    token: option("pkcs11:...", "the token and the new key's name", tokenUri),
    scheme,
    ...SECRET_OPTIONS,
    json,
  },
  async run(options) {
    const purpose = needed(options.purpose, "--purpose PURPOSE");
    const uri = needed(options.token, "--token pkcs11:...");
    const secrets = new Secrets(options, ["token"]);
    const chosen = options.scheme ?? "kdf";
    const { key } = await withPin(uri, secrets, "token", (pin) => createTokenKey(uri, pin, purpose, chosen));
    printMaster(options.json, { purpose, scheme: chosen, place: key.about, checkValue: keyCheckValue(key) });
    key.close();
  },
});

const IMPORT = subcommand({
  usage: `npm run keys -- import --master FILE --out FILE`,
  about:
    "Take an existing master, raw (16 bytes or 32 hex digits) or sealed, into a sealed file or a token. That is for a\n" +
    "line that already runs a scheme, another passphrase, another place. The old file stays; destroy it yourself.\n" +
    "Names of passphrases: old, new.",
  options: {
    master: option("FILE", "the master as it is now"),
    purpose: option("PURPOSE", `what a raw file holds: ${PURPOSES.join(", ")}`, oneOf(PURPOSES)),
    scheme,
    out: option("FILE", "the sealed file to make"),
    token: option("pkcs11:...", "or the token and the new key's name", tokenUri),
    ...SEAL_OPTIONS,
    json,
  },
  async run(options) {
    const place = needed(options.master, "--master FILE");
    if (isTokenUri(place)) throw new UsageError("a master never comes out of a token again.");
    if ((options.out === undefined) === (options.token === undefined))
      throw new UsageError("say where it goes, --out FILE or --token pkcs11:....");
    if (options.out) refuseExisting(options.out);
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
  },
});

// ------------------------------------------------------------------------------------ factory-key, batch

const FACTORY_KEY = subcommand({
  usage: "npm run keys -- factory-key --out FOLDER",
  about:
    "Make a factory's pair of keys, there. FOLDER/factory.age stays under its passphrase, and\n" +
    "FOLDER/factory.pub goes to whoever makes batches. Read the fingerprint to them on another way.",
  options: { out: option("FOLDER", "where the two files go"), ...SEAL_OPTIONS, json },
  async run(options) {
    const folder = needed(options.out, "--out FOLDER");
    const files = { key: join(folder, "factory.age"), publicKey: join(folder, "factory.pub") };
    refuseExisting(...Object.values(files));
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
  },
});

const BATCH = subcommand({
  usage:
    "npm run keys -- batch --master psk=FILE --product NAME --first SERIAL --count N --for FILE --out FILE",
  about:
    "Derive the keys of a range of serials and seal them for a factory. Each holder of a master can make a part with his\n" +
    "own; the factory's bench opens the parts together. Names of passphrases and PINs: psk, ota, console, rekey.",
  options: {
    master: manyOf(`PURPOSE=${PLACE}`, "a master; may be given again for others", parsePurposePlace),
    product: option("NAME", "the product, second part of the identity"),
    "key-version": option("N", "the key version, first part of the identity; default 1", integer(1, 99_999)),
    first: option("SERIAL", "the first serial; the digits at its end count up"),
    count: option("N", `how many serials, at most ${BATCH_MOST}`, integer(1, BATCH_MOST)),
    for: option("FILE", "the factory's public key, factory.pub"),
    out: option("FILE", "the batch to make"),
    ...SECRET_OPTIONS,
    json,
  },
  async run(options) {
    const places = needed(options.master, "--master PURPOSE=PLACE");
    const range = {
      product: needed(options.product, "--product NAME"),
      keyVersion: options["key-version"] ?? 1,
      first: needed(options.first, "--first SERIAL"),
      count: needed(options.count, "--count N"),
    };
    const factory = readFactoryPublicKey(needed(options.for, "--for FILE"));
    const out = needed(options.out, "--out FILE");
    refuseExisting(out);
    const masters = await openMasters(places, new Secrets(options, PURPOSES));
    try {
      const { bytes, digest, count, leftOut } = await makeBatch(range, masters, factory);
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
  },
});

// ------------------------------------------------------------------------------------------------- check

const CHECK = subcommand({
  usage: `npm run keys -- check --master ${PLACE}`,
  about:
    "Print a check value, of a device's key with --identity, else of the master itself. With --batch instead of\n" +
    "--master, of the keys in a batch that is opened with the factory's key. Check values are no secrets.",
  options: {
    master: option(PLACE, "the master"),
    purpose: option("PURPOSE", `what a raw file holds: ${PURPOSES.join(", ")}`, oneOf(PURPOSES)),
    scheme,
    batch: manyOf("FILE", "a batch, or each of its parts"),
    "factory-key": option("FILE", "factory.age, to open the batch"),
    identity: option("ID", "v<key version>.<product>.<serial>", parseIdentity),
    ...SECRET_OPTIONS,
    json,
  },
  async run(options) {
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
    const secrets = new Secrets(options, ["passphrase"]);
    const master = await openMaster(place, { purpose, scheme, secrets, name: "passphrase" });
    try {
      const checkValue = identity ? keyCheckValue(master.deviceKey(identity)) : master.checkValue();
      if (options.json)
        console.log(JSON.stringify({ purpose: master.purpose, identity: identity?.text, checkValue }));
      else console.log(`${identity?.text ?? `the master ${master.purpose}`}  ${checkValue}`);
    } finally {
      master.close();
    }
  },
});

// ------------------------------------------------------------------------------------------------ shared

/** Parse a token's URI out of an option. */
function tokenUri(text: string): TokenUri {
  if (!isTokenUri(text)) throw new UsageError("this is no pkcs11: URI.");
  return parseTokenUri(text);
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

type SealOptions = Parsed<typeof SEAL_OPTIONS & { json: typeof json }>;

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

// ------------------------------------------------------------------------------------------------- main

await runSubcommands("keys", "The custody of root and masters.", {
  new: NEW,
  generate: GENERATE,
  import: IMPORT,
  "factory-key": FACTORY_KEY,
  batch: BATCH,
  check: CHECK,
});
