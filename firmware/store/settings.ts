// The settings of the device as sections: JSON, padded with spaces, in places of the file `conf`, one behind the other. The
// bench lays the file out, with its own settings in the first place; each change takes the next one, whose mark is written
// last: a power cut leaves the old or the new settings, whole. Nothing in Storage is created, erased or moved in the field.
import { flash } from "hal:flash";
import { board } from "board";
import type { NetworkSettings } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { SETTINGS_LIMIT, SETTINGS_PLACE, UPDATES } from "../profile";
import { FLASH_FAILED, FLASH_FULL, VALUE_REFUSED } from "../tls/alert";
import { slotKeys } from "./key";

/** What `conf` holds; each may be missing on a device that is not provisioned. */
export interface Settings extends NetworkSettings {
  id?: string;
  host?: string;
  port?: number;
  /** 0: take a server without extended_master_secret (tls/server_hello.ts). */
  ems?: number;
  /** Of ota/held.ts. */
  window?: number;
  battery?: number;
}

/**
 * Read the settings, the identity with the version of the keys that count, or, for what is written again, as it lies there; {}
 * where there are none that are whole.
 */
export function readSettings(isRaw?: boolean): Settings {
  let at = board.settingsLength;
  // the first place, the bench's, needs no mark
  while ((at -= SETTINGS_PLACE) && flash.read("conf", at + SETTINGS_LIMIT, 1) !== "\n");
  let settings: Settings = {};
  try {
    settings = JSON.parse(flash.read("conf", at, SETTINGS_LIMIT) as Bytes);
  } catch (_error) {}
  if (UPDATES && !isRaw && slotKeys > 1 && settings.id)
    settings.id = "v" + (slotKeys - 1) + settings.id.substr(settings.id.indexOf("."));
  return settings;
}

/**
 * Change the setting `name`, one that there is. Throws VALUE_REFUSED, also where all of them together are too long; FLASH_FULL before anything is
 * written; FLASH_FAILED where flash does not hold what was written, and then the old settings stay.
 */
export function changeSetting(name: Bytes, value: Bytes): void {
  const changed = section(import("./settings")).readSettings(true) as any;
  const old = changed[name];
  const number = (value as any) | 0;
  // of texts and numbers each stays itself when it is made its own kind
  const isNumber = old === 0 + old;
  changed[name] = isNumber ? number : value;
  const text = JSON.stringify(changed).padEnd(SETTINGS_LIMIT);
  if (
    name === "id" ||
    // a port: 1 to 65535, in no other way of writing
    (isNumber ? "" + number !== value || !number || number >> 16 : old !== "" + old) ||
    text[SETTINGS_LIMIT]
  )
    throw VALUE_REFUSED;
  const file = "conf";
  let at = 0;
  // all of the first write unit: a cut may have left only a later byte of it changed
  while (flash.read(file, (at += SETTINGS_PLACE), 4) !== "\xff\xff\xff\xff")
    if (at > board.settingsLength) throw FLASH_FULL;
  flash.write(file, text, at);
  if (flash.read(file, at, SETTINGS_LIMIT) !== text) throw FLASH_FAILED;
  flash.write(file, "\n", at + SETTINGS_LIMIT);
}
