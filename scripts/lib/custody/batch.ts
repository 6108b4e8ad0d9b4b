// Batches: the derived keys of a range of serials for a contract factory, sealed for its public key (sealed_file.ts), so
// that no factory ever holds a master. A holder who has one master only makes a part; the factory opens the parts together.
//   {"holds":"batch","product":"meter","keyVersion":1,"purposes":["psk","ota"],
//    "devices":[["SN0000001","<psk key, hex>","<ota key, hex>"],...]}
// and "pskLabel", what the psk keys are derived for, where that is another one than `psk` (kdf.ts).
// Left out are serials whose check value another serial of the batch has already (R3): of 10,000 random values of 24
// bits about three pairs are equal; and the one in a million whose key looks weak (R1).
// Whoever has the public key can make a batch, of keys that he knows: its digest, told on another way, says who made it.
// Leaves out: which serials are done, which the ledger knows.
import { UsageError } from "../cli/exit";
import { type Identity, parseIdentity } from "../keys/identity";
import { KEY_LENGTH, keyCheckValue, PSK_LABELS, type PskLabel, PURPOSES, type Purpose } from "../keys/kdf";
import { rangeFrom, serialsOf } from "../keys/serials";
import { masterFault } from "../keys/weak_keys";
import { type DeviceKeys, deviceKeyFor, type KeySource, type Master } from "./master";
import { BATCH_MOST } from "./options";
import { digestText, openAsFactory, readSealed, type SealedFile, sealForFactory } from "./sealed_file";

/** A run of serials of one product under one key version; the first ends with digits, which count up. */
export interface SerialRange {
  product: string;
  keyVersion: number;
  first: string;
  count: number;
}

/** List the identities of a range. Throws UsageError where a serial is none, or the digits do not suffice. */
export function identitiesOf({ product, keyVersion, first, count }: SerialRange): Identity[] {
  return Array.from(serialsOf(rangeFrom(first, count)), (serial) =>
    parseIdentity(`v${keyVersion}.${product}.${serial}`),
  );
}

export interface MadeBatch {
  bytes: Buffer;
  /** To be told to the factory on another way. */
  digest: string;
  count: number;
  leftOut: { serial: string; reason: string }[];
}

/** Derive the keys of a range under each of the masters, and seal them for a factory. */
export async function makeBatch(
  range: SerialRange,
  masters: readonly Master[],
  publicKey: string,
  pskLabel: PskLabel = "psk",
): Promise<MadeBatch> {
  const { product, keyVersion } = range;
  const purposes = masters.map(({ purpose }) => purpose);
  const leftOut: { serial: string; reason: string }[] = [];
  const devices: string[][] = [];
  const seen = new Map<string, string>();
  for (const identity of identitiesOf(range)) {
    const { serial } = identity;
    const keys = masters.map((master) => deviceKeyFor(master, identity, pskLabel));
    const fault = keysFault(purposes, keys, serial, seen);
    if (fault) leftOut.push({ serial, reason: fault });
    else devices.push([serial, ...keys.map((key) => key.toString("hex"))]);
    for (const key of keys) key.fill(0);
  }
  if (devices.length === 0) throw new UsageError("none of these serials has a key of its own.");
  const label = pskLabel === "psk" || !purposes.includes("psk") ? {} : { pskLabel };
  const contents = { holds: "batch", product, keyVersion, purposes, ...label, devices } as const;
  const bytes = await sealForFactory(contents, publicKey);
  return { bytes, digest: digestText(bytes), count: devices.length, leftOut };
}

/** Say why a serial's keys cannot be in a batch, or enter their check values into `seen`. */
function keysFault(
  purposes: readonly Purpose[],
  keys: readonly Buffer[],
  serial: string,
  seen: Map<string, string>,
): string | undefined {
  const names = purposes.map((purpose, i) => `${purpose} ${keyCheckValue(keys[i])}`);
  const weak = keys.map(masterFault).find((fault) => fault !== undefined);
  if (weak) return `its key ${weak}`;
  const equal = names.find((name) => seen.has(name));
  if (equal) return `its check value ${equal} is that of ${seen.get(equal)} as well`;
  for (const name of names) seen.set(name, serial);
  return undefined;
}

// ------------------------------------------------------------------------------------------------- open

/** A batch, opened: all its keys are in memory until it is closed. */
export interface Batch extends KeySource {
  readonly product: string;
  readonly keyVersion: number;
  /** In order, those left out excepted. */
  readonly serials: readonly string[];
  readonly purposes: readonly Purpose[];
  /** Of each part. */
  readonly digests: readonly string[];
  /** The serials that come after one, or all: where a bench goes on after a stop. */
  after(serial?: string): readonly string[];
  /** One key of one device. */
  deviceKey(identity: Identity, purpose: Purpose): Buffer;
}

interface Part {
  product: string;
  keyVersion: number;
  purposes: Purpose[];
  pskLabel: PskLabel;
  digest: string;
  keys: Map<string, DeviceKeys>;
}

/** Read a batch's parts, and hold each to one of the digests that their makers told: as many as there are parts. */
export function readBatch(paths: readonly string[], digests: readonly string[]): SealedFile[] {
  const files = paths.map((path) => readSealed(path));
  // the digest that it has is not shown: it would be typed in for the one that was told
  for (const { path, digest } of files)
    if (!digests.includes(digest.replaceAll(" ", "")))
      throw new UsageError(
        `${path} has none of the digests that --digest says: it is not what was told of. Ask its maker.`,
      );
  if (new Set(digests).size !== files.length)
    throw new UsageError(`each of the ${files.length} parts of the batch needs a --digest of its own.`);
  return files;
}

/**
 * Open a batch, or its parts together, with the factory's private key (openFactoryKey). Throws UsageError where a part
 * does not open, parts do not belong together, or keys are weak or not each device's own.
 */
export async function openBatch(files: readonly SealedFile[], privateKey: string): Promise<Batch> {
  const parts = await Promise.all(files.map((file) => openPart(file, privateKey)));
  const paths = files.map(({ path }) => path);
  const [{ product, keyVersion }] = parts;
  for (const [i, part] of parts.entries()) {
    if (part.product !== product || part.keyVersion !== keyVersion)
      throw new UsageError(`${paths[i]} and ${paths[0]} are of different products or key versions.`);
  }
  const purposes = parts.flatMap((part) => part.purposes);
  const twice = purposes.find((purpose, i) => purposes.indexOf(purpose) !== i);
  if (twice) throw new UsageError(`the keys ${twice} are in more than one part of the batch.`);
  // A serial is there when every part has it: each left out its own.
  const serials = [...parts[0].keys.keys()].filter((serial) => parts.every(({ keys }) => keys.has(serial)));
  if (serials.length === 0) throw new UsageError("the parts of the batch have no serial in common.");
  const places = new Map(serials.map((serial, place) => [serial, place]));
  const about = `the batch ${paths.join(", ")}`;

  const deviceKey = (identity: Identity, purpose: Purpose): Buffer => {
    if (identity.product !== product || identity.keyVersion !== keyVersion)
      throw new UsageError(`${about} is for v${keyVersion}.${product}, not for ${identity.text}.`);
    const key = parts.find((part) => part.purposes.includes(purpose))?.keys.get(identity.serial)?.[purpose];
    if (!key || !places.has(identity.serial))
      throw new UsageError(`${about} has no ${purpose} key for the serial ${identity.serial}.`);
    return Buffer.from(key);
  };
  return {
    about,
    pskLabel: parts.find((part) => part.purposes.includes("psk"))?.pskLabel ?? "psk",
    product,
    keyVersion,
    serials,
    purposes,
    digests: parts.map(({ digest }) => digest),
    after(serial) {
      if (serial === undefined) return serials;
      const place = places.get(serial);
      if (place === undefined) throw new UsageError(`${about} has no serial ${serial}.`);
      return serials.slice(place + 1);
    },
    deviceKey,
    async deviceKeys(identity) {
      return Object.fromEntries(
        PURPOSES.map((purpose) => [purpose, deviceKey(identity, purpose)]),
      ) as DeviceKeys;
    },
    async close() {
      for (const { keys } of parts) {
        for (const device of keys.values()) for (const key of Object.values(device)) key.fill(0);
        keys.clear();
      }
    },
  };
}

async function openPart(file: SealedFile, privateKey: string): Promise<Part> {
  const { path, digest } = file;
  const {
    product,
    keyVersion,
    purposes,
    pskLabel = "psk",
    devices,
  } = fieldsOf(await openAsFactory(file, privateKey, "batch"), path);
  const keys = new Map<string, DeviceKeys>();
  const seen = new Map<string, string>();
  for (const [text, ...digits] of devices) {
    const { serial } = parseIdentity(`v${keyVersion}.${product}.${text}`);
    const own = digits.map((each) => Buffer.from(each, "hex"));
    const fault = keys.has(serial) ? "it is there twice" : keysFault(purposes, own, serial, seen);
    if (fault) throw new UsageError(`${path}, serial ${serial}: ${fault}.`);
    keys.set(serial, Object.fromEntries(purposes.map((purpose, i) => [purpose, own[i]])) as DeviceKeys);
  }
  return { product, keyVersion, purposes, pskLabel, digest, keys };
}

interface Fields {
  product: string;
  keyVersion: number;
  purposes: Purpose[];
  pskLabel?: PskLabel;
  devices: string[][];
}

/** Hold what was opened to what a batch may be: whoever has the public key can seal. */
function fieldsOf(contents: object, path: string): Fields {
  const { product, keyVersion, purposes, pskLabel, devices } = contents as Fields;
  const isDevice = (row: unknown) =>
    Array.isArray(row) &&
    row.length === purposes.length + 1 &&
    row.every((each, i) => typeof each === "string" && (i === 0 || KEY_DIGITS.test(each)));
  const good =
    typeof product === "string" &&
    Number.isInteger(keyVersion) &&
    Array.isArray(purposes) &&
    purposes.length > 0 &&
    purposes.every((purpose) => PURPOSES.includes(purpose)) &&
    new Set(purposes).size === purposes.length &&
    (pskLabel === undefined || PSK_LABELS.includes(pskLabel)) &&
    Array.isArray(devices) &&
    devices.length <= BATCH_MOST &&
    devices.every(isDevice);
  if (!good) throw new UsageError(`${path} is laid out as no batch is.`);
  return { product, keyVersion, purposes, pskLabel, devices };
}

/** Throw UsageError where the psk keys of a batch are derived for another label than the one of the firmware's profile. */
export function holdToProfile({ about, pskLabel }: Batch, profile: string, wanted: PskLabel): void {
  if (pskLabel !== wanted)
    throw new UsageError(
      `${about} has psk keys of the label ${pskLabel}, and the profile ${profile} takes those of ${wanted}: npm run keys -- batch --profile ${profile}.`,
    );
}

const KEY_DIGITS = new RegExp(`^[0-9a-f]{${KEY_LENGTH * 2}}$`);
