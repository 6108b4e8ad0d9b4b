// Batches: the derived keys of a range of serials for a contract factory, sealed for its X25519 key, so that no factory
// ever holds a master. A holder who has one master only makes a part; the factory opens the parts together.
//   header: product, keyVersion, first serial, count, left out (places from 0), purposes with their schemes, in order
//   contents: key[16] of each purpose, serial after serial, those left out excepted
// Left out are serials whose check value another serial of the batch has already (row 3): of 10,000 random values of 24
// bits about three pairs are equal; and the one in a million whose key looks weak (row 1).
// Leaves out: which serials are done, which the ledger knows; who made a batch: compare its digest with the maker.
import type { KeyObject } from "node:crypto";
import { UsageError } from "../cli/exit";
import { type Identity, parseIdentity } from "../keys/identity";
import {
  KEY_LENGTH,
  keyCheckValue,
  PURPOSES,
  type Purpose,
  SCHEME_NAMES,
  type SchemeName,
} from "../keys/kdf";
import { masterFault } from "../keys/weak_keys";
import type { DeviceKeys, KeySource, Master } from "./master";
import { digestText, openAsFactory, readSealed, sealForFactory } from "./sealed_file";

export const BATCH_MOST = 10_000; // serials: ten days of a bench

/** A run of serials of one product under one key version; the first ends with digits, which count up. */
export interface SerialRange {
  product: string;
  keyVersion: number;
  first: string;
  count: number;
}

/** List the identities of a range. Throws UsageError where a serial is none, or the digits do not suffice. */
export function identitiesOf({ product, keyVersion, first, count }: SerialRange): Identity[] {
  const [, stem, digits] = /^(.*?)(\d{1,15})$/.exec(first) ?? [];
  if (digits === undefined)
    throw new UsageError(`the serial ${JSON.stringify(first)} does not end with digits to count.`);
  const start = Number(digits);
  if (String(start + count - 1).length > digits.length)
    throw new UsageError(`${count} serials from ${first} do not fit into its ${digits.length} digits.`);
  return Array.from({ length: count }, (_, i) =>
    parseIdentity(`v${keyVersion}.${product}.${stem}${String(start + i).padStart(digits.length, "0")}`),
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
export function makeBatch(range: SerialRange, masters: readonly Master[], factory: KeyObject): MadeBatch {
  const leftOut: { place: number; serial: string; reason: string }[] = [];
  const seen = new Map<string, string>();
  const kept: Buffer[] = [];
  for (const [place, identity] of identitiesOf(range).entries()) {
    const keys = masters.map((master) => master.deviceKey(identity));
    const fault = keysFault(
      masters.map(({ purpose }) => purpose),
      keys,
      identity.serial,
      seen,
    );
    if (fault) {
      leftOut.push({ place, serial: identity.serial, reason: fault });
      for (const key of keys) key.fill(0);
    } else kept.push(...keys);
  }
  if (kept.length === 0) throw new UsageError("none of these serials has a key of its own.");
  const contents = Buffer.concat(kept);
  for (const key of kept) key.fill(0);
  const fields = {
    ...range,
    leftOut: leftOut.map(({ place }) => place),
    purposes: masters.map(({ purpose, scheme }) => ({ purpose, scheme })),
  };
  const bytes = sealForFactory("batch", fields, contents, factory);
  contents.fill(0);
  return { bytes, digest: digestText(bytes), count: range.count - leftOut.length, leftOut };
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
  range: SerialRange;
  purposes: Purpose[];
  digest: string;
  keys: Map<string, DeviceKeys>;
}

/**
 * Open a batch, or its parts together, with the factory's private key (openFactoryKey). Throws UsageError where a part
 * does not open, parts do not belong together, or keys are weak or not each device's own.
 */
export function openBatch(paths: readonly string[], factory: KeyObject): Batch {
  const parts = paths.map((path) => openPart(path, factory));
  const [{ range }] = parts;
  for (const [i, part] of parts.entries()) {
    if (part.range.product !== range.product || part.range.keyVersion !== range.keyVersion)
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
    if (identity.product !== range.product || identity.keyVersion !== range.keyVersion)
      throw new UsageError(
        `${about} is for v${range.keyVersion}.${range.product}, not for ${identity.text}.`,
      );
    const key = parts.find((part) => part.purposes.includes(purpose))?.keys.get(identity.serial)?.[purpose];
    if (!key || !places.has(identity.serial))
      throw new UsageError(`${about} has no ${purpose} key for the serial ${identity.serial}.`);
    return Buffer.from(key);
  };
  return {
    about,
    product: range.product,
    keyVersion: range.keyVersion,
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

function openPart(path: string, factory: KeyObject): Part {
  const file = readSealed(path, "batch");
  const contents = openAsFactory(file, factory);
  const { range, leftOut, purposes } = fieldsOf(file.fields, path);
  const identities = identitiesOf(range).filter((_, place) => !leftOut.has(place));
  if (contents.length !== identities.length * purposes.length * KEY_LENGTH)
    throw new UsageError(`${path} has another number of keys than its header says.`);
  const keys = new Map<string, DeviceKeys>();
  const seen = new Map<string, string>();
  for (const [i, { serial }] of identities.entries()) {
    const own = purposes.map((_, j) => {
      const at = (i * purposes.length + j) * KEY_LENGTH;
      return contents.subarray(at, at + KEY_LENGTH);
    });
    const fault = keysFault(purposes, own, serial, seen);
    if (fault) throw new UsageError(`${path}, serial ${serial}: ${fault}.`);
    keys.set(serial, Object.fromEntries(purposes.map((purpose, j) => [purpose, own[j]])) as DeviceKeys);
  }
  return { range, purposes, digest: file.digest, keys };
}

/** The header was sealed with the contents, but whoever has the public key can seal: hold it to what it may be. */
function fieldsOf(fields: Record<string, unknown>, path: string) {
  const { product, keyVersion, first, count, leftOut, purposes } = fields as Record<string, never>;
  const isNumber = (value: unknown, most: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
  const listed = (Array.isArray(purposes) ? purposes : []) as { purpose: Purpose; scheme: SchemeName }[];
  const good =
    typeof product === "string" &&
    typeof first === "string" &&
    isNumber(keyVersion, 99_999) &&
    isNumber(count, BATCH_MOST) &&
    Array.isArray(leftOut) &&
    (leftOut as unknown[]).every((place) => isNumber(place, BATCH_MOST)) &&
    listed.length > 0 &&
    listed.every((row) => PURPOSES.includes(row?.purpose) && SCHEME_NAMES.includes(row?.scheme)) &&
    new Set(listed.map(({ purpose }) => purpose)).size === listed.length;
  if (!good) throw new UsageError(`${path} has a header that no batch has.`);
  return {
    range: { product, keyVersion, first, count } as SerialRange,
    leftOut: new Set<number>(leftOut),
    purposes: listed.map(({ purpose }) => purpose),
  };
}
