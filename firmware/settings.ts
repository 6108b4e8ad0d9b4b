// The settings of the device, JSON in the file `conf` or `conf2`, as sections. A new version is written under the name that
// has no whole one, then the old one is erased: a power cut leaves the old or the new settings, whole. Each change takes
// Storage away for good, for Storage is never compacted in the field, where a cut would lose more than settings.
import { flash } from "hal:flash";
import { board } from "board";
import type { NetworkSettings } from "../hal/hal";
import type { Bytes } from "./bytes";
import { slotKeys } from "./key";
import { UPDATES } from "./profile";
import { FLASH_FAILED, FLASH_FULL, VALUE_REFUSED } from "./tls/alert";

/** What `conf` holds; each may be missing on a device that is not provisioned. */
export interface Settings extends NetworkSettings {
  id?: string;
  host?: string;
  port?: number;
  /** Of ota/held.ts. */
  window?: number;
  battery?: number;
}

/**
 * Least length of the file, bytes: between it and twice as many every length has a bit in common, and so a header that is
 * written over what a cut has left of one is a header again.
 */
const LEAST = 128;

/** Read the settings, the identity with the version of the keys that count; {} where there are none that are whole. */
export function readSettings(): Settings {
  const settings = flash.readJSON("conf", true) || flash.readJSON("conf2", true) || {};
  if (UPDATES && slotKeys > 1 && settings.id)
    settings.id = "v" + (slotKeys - 1) + settings.id.substr(settings.id.indexOf("."));
  return settings;
}

/**
 * Change the setting `name`, one that there is. Throws VALUE_REFUSED; FLASH_FULL before anything is written; FLASH_FAILED where flash does not
 * hold what was written, and then the old settings stay.
 */
export function changeSetting(name: Bytes, value: Bytes): void {
  const changed = section(import("./settings")).readSettings() as any;
  const old = changed[name];
  const number = (value as any) | 0;
  // of texts and numbers each stays itself when it is made its own kind
  const isNumber = old === 0 + old;
  if (
    name === "id" ||
    // a port: 1 to 65535, in no other way of writing
    (isNumber ? "" + number !== value || !number || number >> 16 : old !== "" + old)
  )
    throw VALUE_REFUSED;
  changed[name] = isNumber ? number : value;
  const text = JSON.stringify(changed).padEnd(LEAST);
  // 32 bytes of header, 3 to fill a word; a header that is torn in Storage's last page would be its end
  if (flash.getFree() < text.length + 35 + board.pageLength) throw FLASH_FULL;
  const isFirst = flash.readJSON("conf", true);
  const next = isFirst ? "conf2" : "conf";
  flash.write(next, text);
  if (flash.read(next) !== text) {
    flash.erase(next);
    throw FLASH_FAILED;
  }
  flash.erase(isFirst ? "conf" : "conf2");
}
