// The file `conf` of a device (firmware/store/settings.ts) as the bench lays it out: its settings in the first place, the others erased.
import type { Board } from "../../../boards/board";
import { SETTINGS_LIMIT } from "../../../firmware/profile";
import { UsageError } from "../cli/exit";

/** Settings of one device, as the file `conf` holds them. */
export interface DeviceSettings {
  id: string;
  host: string;
  port: number;
  ssid: string;
  pass: string;
  /** When an update may begin, and the least battery for it, millivolts (firmware/ota/held.ts). */
  window?: number;
  battery?: number;
  /** 0: a server without extended_master_secret is taken. */
  ems?: number;
}

/** Write settings as they lie in a place of `conf`: JSON in UTF-8, padded. Throws UsageError where they are too long. */
export function settingsPlace(settings: object): Buffer {
  const text = Buffer.from(JSON.stringify(settings), "utf8");
  if (text.length > SETTINGS_LIMIT)
    throw new UsageError(
      `the settings are ${text.length} bytes as JSON, and a device has room for ${SETTINGS_LIMIT}: host, network or password are too long.`,
    );
  return Buffer.concat([text, Buffer.alloc(SETTINGS_LIMIT - text.length, " ")]);
}

/** Read the settings in the first place of a file. */
export function benchSettings(file: string): DeviceSettings {
  return JSON.parse(Buffer.from(file.slice(0, SETTINGS_LIMIT), "latin1").toString("utf8"));
}

/** Lay out the whole file of a board; one byte a character. */
export function settingsFile(board: Pick<Board, "settingsLength">, settings: object): string {
  return settingsPlace(settings).toString("latin1").padEnd(board.settingsLength, "\xff");
}
