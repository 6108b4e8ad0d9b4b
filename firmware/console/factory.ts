// The factory reset, as sections: nothing that a key, a password or a record of use could be read from stays in flash.

import { flash } from "hal:flash";
import { board } from "board";
import type { Bytes } from "../bytes";
import { RECORD_LENGTH } from "../key_record";
import { SLOT_BYTES } from "../ota/manifest";
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
 * Erase the pages behind the slots, where settings and all else lie, and the journal; overwrite the key record; then start
 * anew, blank. The record's name goes last: until then the next start wipes again.
 */
export function wipe(): undefined {
  for (let at = board.slotsStart + 2 * SLOT_BYTES; at < STORAGE_END; at += board.pageLength)
    require("Flash").erasePage(at);
  for (let i = 2 * board.journalLength; i; )
    require("Flash").erasePage(board.journalStart + (i -= board.pageLength));
  // its data: size and name, 32 bytes, stand before them
  for (let i = 32; i < 32 + RECORD_LENGTH; i += 4) require("Flash").write("\0\0\0\0", board.storageStart + i);
  flash.erase("key");
  section(import("hal:system")).restart();
}
