// The device's keys as they count now, in flash, with names of their own: reading them anew at each use is a hundred bytes. They
// lie in the slot that runs, where an update has brought others (ota/manifest.ts), else in the file `key`. The journal's seals
// stay those of the file's, so that new keys lose no record.
import { flash } from "hal:flash";
import { bundle } from "../boot/load_section";
import type { Bytes } from "../bytes";
import { AT_KEYS_VERSION } from "../ota/manifest";
import { AT_KEYS } from "../ota/slot";
import { UPDATES } from "../profile";
import { RECORD_LENGTH } from "./key_record";

/** The key version of the slot's keys plus 1; 0 or 1: it has none, and the identity in the settings is right. */
export const slotKeys = UPDATES ? (bundle.charCodeAt(AT_KEYS + AT_KEYS_VERSION) + 1) & 255 : 0;

/** The record (key_record.ts); 16 bytes are a key alone, for tests; "": there is none. */
export const key = (slotKeys > 1 ? bundle.substr(AT_KEYS, RECORD_LENGTH) : flash.read("key") || "") as Bytes;
