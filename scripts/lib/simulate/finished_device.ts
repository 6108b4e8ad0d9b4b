// A device that has left the bench, simulated: Storage as the bench lays it out, keys derived from masters. Behind a line of its own,
// for tests and for people who want to see the console before they hold a device (`npm run console -- --simulate`), or
// without one, for updates.
import type { Board } from "../../../boards/board";
import { Machine, type MachineOptions } from "../../../hal/simulator/machine";
import { LINE_RATE } from "../bench/port";
import { settingsFile } from "../bench/settings_file";
import { buildBundle, LOADER, readBoard } from "../bundle/build";
import type { Endpoint } from "../cli/options";
import type { DeviceKeys } from "../custody/master";
import { type Identity, parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyRecord, PURPOSES, type Purpose } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { storageFiles } from "../ota/layout";
import { imageOf, type Update } from "../ota/update_file";
import { SimulatedBoard } from "./simulated_board";

export type Masters = Record<Purpose, Buffer>;

export interface SimulatedDeviceOptions {
  /** A board that the simulator has. */
  board?: string;
  masters: Masters;
  settings: { id: string; host: string; port: number; ssid: string; pass: string };
  /** Firmware and loader; built where absent. */
  code?: { firmware: string; loader: string };
  /** Files of Storage besides, or instead. */
  files?: Record<string, string>;
  machine?: Partial<MachineOptions>;
  /** Bits per second; as a real one's where absent. */
  lineRate?: number;
}

/** Four throwaway masters. */
export function newMasters(): Masters {
  return Object.fromEntries(PURPOSES.map((purpose) => [purpose, randomKey()])) as Masters;
}

/** Derive a device's four keys. */
export function deviceKeys(masters: Masters, id: string): DeviceKeys {
  const identity = parseIdentity(id);
  const keyOf = (purpose: Purpose) => deriveDeviceKey(masters[purpose], identity, "kdf", purpose);
  return Object.fromEntries(PURPOSES.map((purpose) => [purpose, keyOf(purpose)])) as DeviceKeys;
}

/** What lies in the flash of a board when it leaves the bench: loader, image in slot 0, keys, settings. */
function finishedFiles(
  board: Board,
  code: { firmware: string; loader: string },
  told: { product?: string; version: string; sequence?: number },
  keys: DeviceKeys,
  settings: Parameters<typeof settingsFile>[1],
): Record<string, string> {
  return {
    ...storageFiles(board, code.firmware, code.loader, told),
    key: keyRecord(keys).toString("latin1"),
    conf: settingsFile(board, settings),
  };
}

async function loaderOf(board: string): Promise<string> {
  return (await buildBundle({ board, entry: LOADER })).code;
}

/** Make a device behind a line of its own; its `start` powers it and gives the port's name. */
export async function simulatedDevice(options: SimulatedDeviceOptions): Promise<SimulatedBoard> {
  const { board: name = "esp32-sim", masters, settings, files, machine, lineRate = LINE_RATE } = options;
  const board = (await readBoard(name)) as unknown as Board;
  const code = options.code ?? {
    firmware: (await buildBundle({ board: name })).code,
    loader: await loaderOf(name),
  };
  const keys = deviceKeys(masters, settings.id);
  return new SimulatedBoard({
    board,
    chip: "simulated",
    lineRate,
    files: { ...finishedFiles(board, code, { version: "0.1.0" }, keys, settings), ...files },
    machine,
  });
}

/** Make a device without a line, the image of an update in it. Not started yet. */
export async function deviceFromBench(
  board: Board,
  image: Update,
  { identity, keys, server }: { identity: Identity; keys: DeviceKeys; server: Endpoint },
  options: Partial<MachineOptions> = {},
): Promise<Machine> {
  const firmware = imageOf(image.encoding, image.pieces).toString("latin1");
  const code = { firmware, loader: await loaderOf(board.name) };
  const settings = { id: identity.text, ...server, ssid: "simulated", pass: "simulated" };
  return new Machine({ board, files: finishedFiles(board, code, image, keys, settings), ...options });
}
