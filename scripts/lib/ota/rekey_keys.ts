// Where the keys of a re-key come from. Those that the devices have: the `ota` and the `rekey` master, which the release
// station has anyway. The new ones: four masters, each an option of its own; or, where `psk` and `console` are in other
// hands, a batch to which each holder makes his part, as for a factory's bench (custody/batch.ts).

import { profileGiven } from "../bundle/profile_option";
import { UsageError } from "../cli/exit";
import type { Parsed } from "../cli/options";
import { needed } from "../cli/subcommands";
import { holdToProfile, openBatch, readBatch } from "../custody/batch";
import { checkPlaces, type KeySource, keySourceOfMasters, type Master, openMaster } from "../custody/master";
import { openFactoryKey, readSealed, type SealedFile } from "../custody/sealed_file";
import { Secrets } from "../custody/secrets";
import { PURPOSES } from "../keys/kdf";
import type { RekeyKeys } from "./rekey";
import { REKEY_KEYS_OPTIONS } from "./rekey_options";

type Given = Parsed<typeof REKEY_KEYS_OPTIONS>;

/** Open all that a re-key takes; the caller closes it. Throws UsageError, with nothing left open. */
export async function openRekeyKeys(given: Given): Promise<RekeyKeys & { close(): Promise<void> }> {
  refuseMissing(given);
  const names = ["ota", "rekey", ...PURPOSES.map((purpose) => `new-${purpose}`), "factory-key"];
  const secrets = new Secrets(given, names);
  const opened: { close(): void | Promise<void> }[] = [];
  const kept = <Kind extends { close(): void | Promise<void> }>(each: Kind): Kind => {
    opened.push(each);
    return each;
  };
  const close = async () => {
    for (const each of opened) await each.close();
  };
  const { scheme, "new-scheme": newScheme = scheme } = given;
  try {
    // all of them are looked at before the first asks for anything
    const places = [given.ota, given.rekey, ...PURPOSES.map((purpose) => given[`new-${purpose}` as const])];
    await checkPlaces(places.filter((place) => place !== undefined));
    const factoryKey = given["factory-key"] === undefined ? undefined : readSealed(given["factory-key"]);
    const parts = given.batch && readBatch(given.batch, given.digest ?? []);
    const present = async (purpose: "ota" | "rekey"): Promise<Master> =>
      kept(await openMaster(given[purpose] as string, { purpose, scheme, secrets, name: purpose }));
    const ota = await present("ota");
    const rekey = await present("rekey");
    if (parts && factoryKey)
      return { ota, rekey, next: kept(await batchOf(given, parts, factoryKey, secrets)), close };
    const masters: Master[] = [];
    for (const purpose of PURPOSES) {
      const name = `new-${purpose}` as const;
      const place = given[name];
      if (place === undefined) masters.push(purpose === "ota" ? ota : rekey);
      else masters.push(kept(await openMaster(place, { purpose, scheme: newScheme, secrets, name })));
    }
    return { ota, rekey, next: keySourceOfMasters(masters, profileGiven(given).pskLabel), close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    secrets.close();
  }
}

/** Refuse a command line that does not say where all keys come from, before any passphrase is asked for. */
function refuseMissing(given: Given): void {
  const named = PURPOSES.find((purpose) => given[`new-${purpose}`] !== undefined);
  if (given.batch && named) throw new UsageError(`--batch and --new-${named} exclude each other.`);
  const next = given.batch ? (["factory-key", "digest"] as const) : (["new-psk", "new-console"] as const);
  for (const name of ["ota", "rekey", ...next] as const)
    needed(given[name], `--${name} ${REKEY_KEYS_OPTIONS[name].value}`);
}

async function batchOf(
  given: Given,
  parts: readonly SealedFile[],
  factoryKey: SealedFile,
  secrets: Secrets,
): Promise<KeySource> {
  const { profile, pskLabel } = profileGiven(given);
  const keys = await openBatch(parts, await openFactoryKey(factoryKey, secrets, "factory-key"));
  holdToProfile(keys, profile, pskLabel);
  return keys;
}
