// The settings of the device as sections: JSON, padded with spaces, in places of the file `conf`, one behind the other. The
// bench lays the file out, with its own settings in the first place; each change takes the next one, whose mark is written
// last: a power cut leaves the old or the new settings, whole. Nothing in Storage is created, erased or moved in the field.
import { flash } from "hal:flash";
import { board } from "board";
import { hasSettings } from "product";
import type { NetworkSettings } from "../../hal/hal";
import type { Bytes } from "../bytes";
import type { Settings as ProductSettings } from "../product/product";
import { SETTINGS_LIMIT, SETTINGS_PLACE, SMALL, UPDATES } from "../profile";
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

/** The mark behind a place: whose settings it holds. */
const DEVICES = "\n";
const PRODUCTS = "\t";

/**
 * Read the settings, the identity with the version of the keys that count, or, for what is written again, as it lies there; {}
 * where there are none that are whole. `areProducts`: those of products that were changed, by their names.
 */
export function readSettings(isRaw?: boolean, areProducts?: boolean): Settings {
  let at = board.settingsLength;
  // the first place, the bench's, needs no mark
  while (
    (at -= SETTINGS_PLACE) &&
    flash.read("conf", at + SETTINGS_LIMIT, 1) !== (hasSettings && areProducts ? PRODUCTS : DEVICES)
  );
  let settings: Settings = {};
  try {
    if (!hasSettings || !areProducts || at)
      settings = JSON.parse(flash.read("conf", at, SETTINGS_LIMIT) as Bytes);
  } catch (_error) {}
  // the library's name and what it holds are two variables
  if (SMALL) delete (global as any).JSON;
  if (UPDATES && !isRaw && slotKeys > 1 && settings.id)
    settings.id = "v" + (slotKeys - 1) + settings.id.substr(settings.id.indexOf("."));
  return settings;
}

/** Whether a product's setting may have this value; `row`: of its table (product/product.ts). */
export function mayBe(row: ProductSettings[string], value: any): boolean {
  const size = value === "" + value ? value.length : value;
  return typeof value === typeof row[0] && size >= row[1] && size <= row[2];
}

/** Tell a setting of the product's. */
export function own(name: Bytes): any {
  const row = section(import("product")).settings[name];
  const value = (section(import("./settings")).readSettings(true, true) as any)[name];
  return section(import("./settings")).mayBe(row, value) ? value : row[0];
}

/**
 * Change the setting `name`, one that there is. Throws VALUE_REFUSED, also where all of them together are too long; FLASH_FULL before anything is
 * written; FLASH_FAILED where flash does not hold what was written, and then the old settings stay. Those of products are kept by
 * their names, also those that this image does not know.
 */
export function changeSetting(name: Bytes, value: Bytes): void {
  const row = hasSettings && (section(import("product")).settings as any)[name];
  const changed = (
    hasSettings
      ? section(import("./settings")).readSettings(true, !!row)
      : section(import("./settings")).readSettings(true)
  ) as any;
  const old = hasSettings && row ? row[0] : changed[name];
  const number = (value as any) | 0;
  // of texts and numbers each stays itself when it is made its own kind
  const isNumber = old === 0 + old;
  changed[name] = isNumber ? number : value;
  const text = JSON.stringify(changed).padEnd(SETTINGS_LIMIT);
  if (
    name === "id" ||
    // in no other way of writing; the device's own: 1 to 65535, a port
    (isNumber
      ? "" + number !== value || (!(hasSettings && row) && (!number || number >> 16))
      : old !== "" + old) ||
    (hasSettings && row && !section(import("./settings")).mayBe(row, changed[name])) ||
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
  flash.write(file, hasSettings && row ? PRODUCTS : DEVICES, at + SETTINGS_LIMIT);
}
