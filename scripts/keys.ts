// The custody of the keys: `npm run keys -- COMMAND` (firmware/README.md 3; what is kept how: lib/custody/).
// `new` draws a root of 128 random bits and splits it once into the four masters, each for other hands:
//   master = CMAC(root, [1]_32 || "master" || 0x00 || purpose || [128]_32), the KDF of the devices' keys with the label
//   `master` and the purpose (psk, ota, console, rekey) as context (splitRoot in lib/keys/kdf.ts).
// The root is shown to nobody: it goes sealed into a file for the safe, or nowhere. No master is printed either; check
// values are. Bad input, a wrong passphrase or a file that is there already: a sentence, exit 2, nothing written.
// Leaves out: making tokens, which softhsm2-util or the token's own tool does.
import { PROFILE_OPTION } from "./lib/bundle/profile_option";
import { flag, integer, options as manyOf, oneOf, option, type Parsed } from "./lib/cli/options";
import { runSubcommands, subcommand } from "./lib/cli/subcommands";
import { BATCH_MOST, parsePurposePlace, WORK_FACTOR } from "./lib/custody/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { tokenUri } from "./lib/custody/token";
import { parseIdentity } from "./lib/keys/identity";
import { PURPOSES, SCHEME_NAMES } from "./lib/keys/kdf";
import { parseRange } from "./lib/keys/serials";

const PLACE = "FILE|pkcs11:...";
const EXPORT_FORMATS = ["mosquitto", "stunnel", "emqx", "rabbitmq"] as const;
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

const NEW = {
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
};

// ---------------------------------------------------------------------------------------- generate, import

const GENERATE = {
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
};

const IMPORT = {
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
};

// ------------------------------------------------------------------------------------ factory-key, batch

const FACTORY_KEY = {
  usage: "npm run keys -- factory-key --out FOLDER",
  about:
    "Make a factory's pair of keys, there. FOLDER/factory.age stays under its passphrase, and\n" +
    "FOLDER/factory.pub goes to whoever makes batches. Read the fingerprint to them on another way.",
  options: { out: option("FOLDER", "where the two files go"), ...SEAL_OPTIONS, json },
};

const BATCH = {
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
    profile: PROFILE_OPTION,
    count: option("N", `how many serials, at most ${BATCH_MOST}`, integer(1, BATCH_MOST)),
    for: option("FILE", "the factory's public key, factory.pub"),
    out: option("FILE", "the batch to make"),
    ...SECRET_OPTIONS,
    json,
  },
};

// ------------------------------------------------------------------------------------------------- check

const CHECK = {
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
    profile: PROFILE_OPTION,
    ...SECRET_OPTIONS,
    json,
  },
};

// ------------------------------------------------------------------------------------------------ export

const EXPORT = {
  usage: `npm run keys -- export --master ${PLACE} --format NAME --product NAME --serials FIRST..LAST --out FILE`,
  about:
    "Derive the psk keys of a range of serials into a table for a server that derives none, and, where it has such a file,\n" +
    "who may use which topics: FILE.psk, FILE.acl. It says what that costs. Mode 0600.",
  options: {
    master: option(PLACE, "the psk master"),
    format: option("NAME", EXPORT_FORMATS.join(", "), oneOf(EXPORT_FORMATS)),
    product: option("NAME", "the product, second part of the identity"),
    "key-version": option("N", "the key version, first part of the identity; default 1", integer(1, 99_999)),
    serials: option("FIRST..LAST", "the range, both ends included", parseRange),
    profile: PROFILE_OPTION,
    out: option("FILE", "what the new files' names begin with"),
    ...SECRET_OPTIONS,
    json,
  },
};

export type ExportOptions = Parsed<(typeof EXPORT)["options"]>;
export type CreateOptions = Parsed<(typeof NEW)["options"]>;
export type GenerateOptions = Parsed<(typeof GENERATE)["options"]>;
export type TakeOptions = Parsed<(typeof IMPORT)["options"]>;
export type FactoryKeyOptions = Parsed<(typeof FACTORY_KEY)["options"]>;
export type BatchOptions = Parsed<(typeof BATCH)["options"]>;
export type CheckOptions = Parsed<(typeof CHECK)["options"]>;
export type SealOptions = Parsed<typeof SEAL_OPTIONS & { json: typeof json }>;

const commands = () => import("./lib/custody/commands");

await runSubcommands("keys", "The custody of root and masters.", {
  new: subcommand({ ...NEW, run: async (options) => (await commands()).create(options) }),
  generate: subcommand({ ...GENERATE, run: async (options) => (await commands()).generate(options) }),
  import: subcommand({ ...IMPORT, run: async (options) => (await commands()).take(options) }),
  "factory-key": subcommand({
    ...FACTORY_KEY,
    run: async (options) => (await commands()).factoryKey(options),
  }),
  batch: subcommand({ ...BATCH, run: async (options) => (await commands()).batch(options) }),
  export: subcommand({
    ...EXPORT,
    run: async (options) => (await import("./lib/gateway/key_export")).exportKeys(options),
  }),
  check: subcommand({ ...CHECK, run: async (options) => (await commands()).check(options) }),
});
