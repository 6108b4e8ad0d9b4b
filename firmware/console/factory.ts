// The factory reset, as sections: nothing that a key, a password or a record of use could be read from stays in flash.

import { flash } from "hal:flash";
import { board } from "board";
import type { Bytes } from "../bytes";
import { AT_KEYS, AT_KEYS_VERSION, SLOT_BYTES } from "../ota/manifest";
import { UPDATES } from "../profile";
import { RECORD_LENGTH } from "../store/key_record";
import { ANSWER_WRONG, LOCKED } from "../tls/alert";
import type { Answer } from "./console";
import { role } from "./unlock";

/** Where Storage ends, an address. */
const STORAGE_END = board.storageStart + board.storageLength;

/** The code that must be sent back, 4 digits; undefined: there is none. */
let code: Bytes | undefined;

/** `factory`: a code; `factory CODE`: the reset, after which nothing is answered. Unlocked already. Throws LOCKED, ANSWER_WRONG. */
export function factory(_row: number, words: Bytes[]): Answer {
  if (role !== "r") throw LOCKED;
  const given = section(import("./unlock")).typed(words[1]);
  const wanted = code;
  code = undefined;
  if (!given) {
    section(import("../crypto/ctr_drbg")).seed();
    code = section(import("./unlock")).digits(section(import("../crypto/ctr_drbg")).random(3), 4);
    return { code: code };
  }
  if (given !== wanted) throw ANSWER_WRONG;
  return section(import("./factory")).wipe();
}

/**
 * Erase the pages behind the slots, where settings and all else lie, and the journal; overwrite the key records; then start
 * anew, blank. The name of the file goes last: until then the next start wipes again.
 */
export function wipe(): undefined {
  for (let at = board.slotsStart + 2 * SLOT_BYTES; at < STORAGE_END; at += board.pageLength)
    require("Flash").erasePage(at);
  for (let i = 2 * board.journalLength; i; )
    require("Flash").erasePage(board.journalStart + (i -= board.pageLength));
  const record = board.storageStart + 32; // of the file: its size and name stand before it
  const slots = board.slotsStart + AT_KEYS;
  for (let i = 0; i < RECORD_LENGTH; i += 4)
    if (UPDATES)
      for (const at of [slots, slots + SLOT_BYTES, record]) require("Flash").write("\0\0\0\0", at + i);
    else require("Flash").write("\0\0\0\0", record + i);
  // with its version a slot's record counts: until here it is one that is not whole, and wiped again
  if (UPDATES)
    for (const at of [slots, slots + SLOT_BYTES]) require("Flash").write("\0\0\0\0", at + AT_KEYS_VERSION);
  flash.erase("key");
  section(import("hal:system")).restart();
}
