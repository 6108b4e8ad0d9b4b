// A simulated board as it leaves the bench, with the loader, an image in slot 0 and its keys. Not started yet.
import type { Board } from "../../../boards/board";
import { Machine, type MachineOptions } from "../../../hal/simulator/machine";
import { settingsFile } from "../bench/settings_file";
import { buildBundle, LOADER } from "../bundle/build";
import type { Endpoint } from "../cli/options";
import type { DeviceKeys } from "../custody/master";
import type { Identity } from "../keys/identity";
import { keyRecord } from "../keys/kdf";
import { storageFiles } from "../ota/layout";
import { imageOf, type Update } from "../ota/update_file";

const loaders = new Map<string, Promise<string>>();

/** Build the loader of a board, once. */
function loaderOf(board: string): Promise<string> {
  let loader = loaders.get(board);
  if (!loader) loaders.set(board, (loader = buildBundle({ board, entry: LOADER }).then(({ code }) => code)));
  return loader;
}

/** Lay a board's flash down: loader, the image of an update, keys, settings. */
export async function deviceFromBench(
  board: Board,
  image: Update,
  { identity, keys, server }: { identity: Identity; keys: DeviceKeys; server: Endpoint },
  options: Partial<MachineOptions> = {},
): Promise<Machine> {
  const code = imageOf(image.encoding, image.pieces).toString("latin1");
  const conf = { id: identity.text, ...server, ssid: "simulated", pass: "simulated" };
  const { product, version, sequence } = image;
  const files = {
    ...storageFiles(board, code, await loaderOf(board.name), { product, version, sequence }),
    key: keyRecord(keys).toString("latin1"),
    conf: settingsFile(board, conf),
  };
  return new Machine({ board, files, ...options });
}
