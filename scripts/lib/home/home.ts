// The key folder of a person who has no factory: four masters and a ledger, in a private folder of one's own. setup makes it at
// first, and gateway, console and push take their keys from it. Leaves out passphrases and shares, which custody/ has for fleets.
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { type Master, masterFromBytes } from "../custody/master";
import { checkFolder, makeFolder } from "../files/new_file";
import { readSecret, writeSecret } from "../files/private_file";
import { PURPOSES, type Purpose } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";

/** Where the folder is, unless it is named. */
export function homeFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return join(environment.XDG_CONFIG_HOME || join(homedir(), ".config"), "tls-psk-firmware");
}

export interface Home {
  folder: string;
  /** The ledger in it. */
  ledger: string;
  /** Whether it was made just now. */
  isNew: boolean;
}

/** Whether there is a key folder. */
export function hasHome(folder = homeFolder()): boolean {
  return existsSync(folder) && statSync(folder).isDirectory();
}

/**
 * Open the folder, or make it, mode 0700, with four new masters: all of it or nothing. Throws UsageError: it cannot be made,
 * others can look into it, a master is missing or weak.
 */
export function openHome(folder = homeFolder(), { make = false } = {}): Home {
  const isNew = make && !hasHome(folder);
  if (isNew) makeHome(folder);
  if (!hasHome(folder))
    throw new UsageError(`there is no key folder ${folder}; npm run setup makes it with your first board.`);
  if (process.platform !== "win32" && statSync(folder).mode & 0o077)
    throw new UsageError(`others can look into ${folder}, where your keys are: chmod 700 it.`);
  for (const purpose of PURPOSES) homeMaster(purpose, folder).close();
  return { folder, ledger: join(folder, "ledger.sqlite"), isNew };
}

/** Refuse a folder that openHome() would not open, nor could make; nothing is made. Throws UsageError. */
export function checkHome(folder = homeFolder()): void {
  if (hasHome(folder)) openHome(folder);
  else checkFolder(folder);
}

/** Open one of its masters. */
export function homeMaster(purpose: Purpose, folder = homeFolder()): Master {
  return masterFromBytes(
    readSecret(join(folder, purpose)),
    purpose,
    "kdf",
    `the master ${purpose} of ${folder}`,
  );
}

/** Under another name first, so that a folder without all of its keys is never there. */
function makeHome(folder: string): void {
  let made: string | undefined;
  try {
    makeFolder(dirname(folder));
    made = mkdtempSync(`${folder}.`);
    chmodSync(made, 0o700);
    for (const purpose of PURPOSES) writeSecret(join(made, purpose), randomKey());
    renameSync(made, folder);
  } catch (error) {
    if (made) rmSync(made, { recursive: true, force: true });
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot make the key folder ${folder}: ${fileFault(error)}.`);
  }
}
