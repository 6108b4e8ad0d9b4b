// One interface for a master, wherever it is kept: a sealed file, a raw file of 16 bytes (throwaway ones of
// `npm run derive`), or a token. Gateway, bench and release scripts open theirs here and derive device keys from it.
// A place is written FILE or pkcs11:...; what a sealed file or token says of purpose and scheme is held to.
// Leaves out: making masters (scripts/keys.ts).
import { UsageError } from "../cli/exit";
import { readSecret } from "../files/private_file";
import { leafOf, TREE_LABEL } from "../keys/epoch_tree";
import type { Identity } from "../keys/identity";
import {
  type AesKey,
  aesKey,
  deriveDeviceKey,
  keyCheckValue,
  type Label,
  type PskLabel,
  PURPOSES,
  type Purpose,
  SCHEME_NAMES,
  type SchemeName,
} from "../keys/kdf";
import { strongKey } from "../keys/weak_keys";
import { keyIn, openWithPassphrase, readSealedFile } from "./sealed_file";
import { Secrets } from "./secrets";
import { checkToken, isTokenUri, openTokenKey, parseTokenUri, type TokenUri } from "./token";

export interface Master {
  readonly purpose: Purpose;
  readonly scheme: SchemeName;
  /** Where it is, for sentences. */
  readonly about: string;
  checkValue(): string;
  /**
   * Derive the key of one device for this master's purpose, or another label of it, of its epoch where it says one: 16 bytes, which the caller
   * wipes.
   */
  deviceKey(identity: Identity, label?: Label): Buffer;
  /** Wipe it, or end the token's session. */
  close(): void;
}

/** The four keys of one device, 16 bytes each. */
export type DeviceKeys = Record<Purpose, Buffer>;

/** Where a bench gets device keys from: the four masters, or a factory's batch (batch.ts). */
export interface KeySource {
  readonly about: string;
  /** What the `psk` of each device is derived for. */
  readonly pskLabel: PskLabel;
  /** The four keys of one device; the caller wipes them. Throws UsageError where there are none. */
  deviceKeys(identity: Identity): Promise<DeviceKeys>;
  close(): Promise<void>;
}

function masterOf(
  key: AesKey,
  purpose: Purpose,
  scheme: SchemeName,
  about: string,
  close: () => void,
): Master {
  return {
    purpose,
    scheme,
    about,
    checkValue: () => keyCheckValue(key),
    deviceKey(identity, label = purpose) {
      if (identity.epoch === undefined) return deriveDeviceKey(key, identity, scheme, label);
      if (label !== "psk") throw new UsageError("an identity with an epoch has a key for TLS 1.2 alone.");
      const root = deriveDeviceKey(key, identity, scheme, TREE_LABEL);
      const leaf = leafOf(root, identity.epoch);
      root.fill(0);
      return leaf;
    },
    close,
  };
}

/** Take 16 bytes at hand as a master; closing it wipes them. Refuses a weak one. */
export function masterFromBytes(
  bytes: Buffer,
  purpose: Purpose = "psk",
  scheme: SchemeName = "kdf",
  about = "the master",
): Master {
  strongKey(bytes, about);
  return masterOf(aesKey(bytes), purpose, scheme, about, () => bytes.fill(0));
}

export interface MasterWanted {
  /** What it must be; undefined takes what the place says. */
  purpose?: Purpose;
  /** For a raw file, and to be agreed with elsewhere; default kdf. */
  scheme?: SchemeName;
  secrets: Secrets;
  /** The passphrase's name in `secrets`. */
  name: string;
}

/** Open a master at its place. Throws UsageError: nothing there, wrong passphrase or PIN, another purpose, a weak key. */
export async function openMaster(place: string, wanted: MasterWanted): Promise<Master> {
  if (!isTokenUri(place)) {
    const { bytes, purpose, scheme, about } = await openMasterFile(place, wanted);
    return masterFromBytes(bytes, purpose, scheme, about);
  }
  const uri = parseTokenUri(place);
  const key = await withPin(uri, wanted.secrets, wanted.name, (pin) => openTokenKey(uri, pin));
  try {
    return masterOf(key, ...settled({ ...key }, wanted, key.about), key.about, key.close);
  } catch (error) {
    key.close();
    throw error;
  }
}

/**
 * Look at where masters are, before the first of them asks for anything. Throws UsageError: nothing there, a raw key that is weak, no
 * such token.
 */
export async function checkPlaces(places: readonly string[]): Promise<void> {
  for (const place of places)
    if (isTokenUri(place)) await checkToken(parseTokenUri(place));
    else if (!readSealedFile(place)) readSecret(place).fill(0);
}

/** Do something with a token under its PIN: from the URI's pin-source, else as any passphrase. */
export async function withPin<Result>(
  uri: TokenUri,
  secrets: Secrets,
  name: string,
  work: (pin: Buffer) => Promise<Result>,
): Promise<Result> {
  await checkToken(uri);
  const token = `the token ${JSON.stringify(uri.token)}`;
  if (uri.pinSource === undefined) return secrets.opening(name, token, work, "PIN");
  const source = new Secrets({ "passphrase-file": [`pin=${uri.pinSource}`] }, ["pin"]);
  return source.opening("pin", token, work, "PIN");
}

/** Open a master that is in a file; the caller wipes its bytes. For all but moving it elsewhere: openMaster(). */
export async function openMasterFile(
  path: string,
  wanted: MasterWanted,
): Promise<{ bytes: Buffer; purpose: Purpose; scheme: SchemeName; about: string }> {
  const sealed = readSealedFile(path);
  const about = `the ${sealed ? "sealed" : "raw"} file ${path}`;
  if (!sealed) {
    const [purpose, scheme] = settled({}, wanted, about);
    return { bytes: readSecret(path), purpose, scheme, about };
  }
  const contents = await wanted.secrets.opening(wanted.name, path, (passphrase) =>
    openWithPassphrase(sealed, passphrase, "master"),
  );
  const [purpose, scheme] = settled(contents, wanted, path);
  return { bytes: keyIn(contents, path), purpose, scheme, about };
}

/** Purpose and scheme out of what the place says and what is wanted. */
function settled(
  said: { readonly [field: string]: unknown },
  wanted: MasterWanted,
  about: string,
): [purpose: Purpose, scheme: SchemeName] {
  const purpose = said.purpose ?? wanted.purpose;
  const scheme = said.scheme ?? wanted.scheme ?? "kdf";
  if (purpose === undefined)
    throw new UsageError(`${about} does not say which of the masters it holds; --purpose says it.`);
  if (!PURPOSES.includes(purpose as Purpose) || !SCHEME_NAMES.includes(scheme as SchemeName))
    throw new UsageError(`${about} is of a purpose or scheme that this version does not know.`);
  if (wanted.purpose !== undefined && purpose !== wanted.purpose)
    throw new UsageError(`${about} is the master ${purpose}, and the master ${wanted.purpose} is needed.`);
  if (wanted.scheme !== undefined && scheme !== wanted.scheme)
    throw new UsageError(`${about} is for the scheme ${scheme}, not for ${wanted.scheme}.`);
  return [purpose as Purpose, scheme as SchemeName];
}

/** Open several masters, each purpose once; the passphrases go by the purposes' names. */
export async function openMasters(
  places: readonly { purpose: Purpose; place: string }[],
  secrets: Secrets,
): Promise<Master[]> {
  const twice = places.find(({ purpose }, i) =>
    places.some((other, j) => j < i && other.purpose === purpose),
  );
  if (twice) throw new UsageError(`the master ${twice.purpose} is given twice.`);
  await checkPlaces(places.map(({ place }) => place));
  const masters: Master[] = [];
  try {
    for (const { purpose, place } of places)
      masters.push(await openMaster(place, { purpose, secrets, name: purpose }));
  } catch (error) {
    for (const master of masters) master.close();
    throw error;
  }
  return masters;
}

/** Derive one device's key for a master's own purpose; that of the master `psk` for the label. The caller wipes it. */
export function deviceKeyFor(master: Master, identity: Identity, pskLabel: PskLabel): Buffer {
  return master.deviceKey(identity, master.purpose === "psk" ? pskLabel : master.purpose);
}

/** Refuse fewer than the four masters. Throws UsageError. */
export function needAllMasters(masters: readonly { purpose: Purpose }[]): void {
  const missing = PURPOSES.filter((purpose) => !masters.some((master) => master.purpose === purpose));
  if (missing.length) throw new UsageError(`a bench needs all four masters; missing: ${missing.join(", ")}.`);
}

/** Take the four masters as a bench's source of device keys. */
export function keySourceOfMasters(masters: readonly Master[], pskLabel: PskLabel = "psk"): KeySource {
  needAllMasters(masters);
  return {
    about: masters.map(({ about }) => about).join(", "),
    pskLabel,
    async deviceKeys(identity) {
      const keyOf = (master: Master): [Purpose, Buffer] => [
        master.purpose,
        strongKey(deviceKeyFor(master, identity, pskLabel), `the ${master.purpose} key of ${identity.text}`),
      ];
      return Object.fromEntries(masters.map(keyOf)) as DeviceKeys;
    },
    async close() {
      for (const master of masters) master.close();
    },
  };
}
