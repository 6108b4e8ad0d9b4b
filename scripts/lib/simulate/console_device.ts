// A device that has left the bench, simulated, behind a line of its own: Storage as the bench lays it out, keys derived from
// masters. For tests, and for people who want to see the console before they hold a device (`npm run console -- --simulate`).
import type { Board } from "../../../boards/board";
import type { MachineOptions } from "../../../hal/simulator/machine";
import { LINE_RATE } from "../bench/port";
import { settingsFile } from "../bench/settings_file";
import { buildBundle, LOADER, readBoard } from "../bundle/build";
import type { DeviceKeys } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyRecord, PURPOSES, type Purpose } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { storageFiles } from "../ota/layout";
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

/** Make the device; its `start` powers it and gives the port's name. */
export async function simulatedDevice(options: SimulatedDeviceOptions): Promise<SimulatedBoard> {
  const { board: name = "esp32-sim", masters, settings, files, machine, lineRate = LINE_RATE } = options;
  const board = (await readBoard(name)) as unknown as Board;
  const code = options.code ?? {
    firmware: (await buildBundle({ board: name })).code,
    loader: (await buildBundle({ board: name, entry: LOADER })).code,
  };
  return new SimulatedBoard({
    board,
    chip: "simulated",
    lineRate,
    files: {
      ...storageFiles(board, code.firmware, code.loader, { version: "0.1.0" }),
      key: keyRecord(deviceKeys(masters, settings.id)).toString("latin1"),
      conf: settingsFile(board, settings),
      ...files,
    },
    machine,
  });
}
