// The devices of a key folder: which board each is, in a file beside the ledger, so that an update finds its image.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { quoted } from "../cli/show";
import { PRIVATE, replaceFile } from "../files/new_file";

export interface HomeDevice {
  identity: string;
  /** Its file of boards/. */
  board: string;
}

const fileOf = (folder: string) => join(folder, "devices.json");

/** The devices by serial. Throws UsageError where the file is none. */
export function homeDevices(folder: string): Record<string, HomeDevice> {
  const path = fileOf(folder);
  if (!existsSync(path)) return {};
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Record<string, HomeDevice>;
  } catch (error) {
    throw new UsageError(`${path} is damaged: ${fileFault(error)}.`);
  }
}

/** Remember a device. */
export function rememberDevice(folder: string, serial: string, device: HomeDevice): void {
  const all = { ...homeDevices(folder), [serial]: device };
  replaceFile(fileOf(folder), Buffer.from(`${JSON.stringify(all, undefined, 2)}\n`), PRIVATE);
}

/** Find a device. Throws UsageError where the folder has none of that serial. */
export function homeDevice(folder: string, serial: string): HomeDevice {
  const all = homeDevices(folder);
  if (!Object.hasOwn(all, serial))
    throw new UsageError(
      `${folder} knows no device ${quoted(serial)}; it knows ${Object.keys(all).join(", ") || "none yet: npm run setup"}.`,
    );
  return all[serial];
}
