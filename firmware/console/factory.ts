// The factory reset, as sections: nothing that a key, a password or a record of use could be read from stays in flash.

import { flash } from "hal:flash";
import { board } from "board";
import { hasStop, hasStore } from "product";
import type { Bytes } from "../bytes";
import { KEYS_BYTES } from "../ota/manifest";
import { AT_KEYS, SLOT_BYTES } from "../ota/slot";
import { UPDATES } from "../profile";
import { CHECK_VALUES, RECORD_LENGTH } from "../store/key_record";
import { ANSWER_WRONG, LOCKED } from "../tls/alert";
import type { Answer } from "./console";
import { role } from "./unlock";

/** Where Storage ends, an address. */
const STORAGE_END = board.storageStart + board.storageLength;
/** Where a zero is the mark of a wipe: the journal's last byte, which no record reaches (SPARE in journal.ts). */
const MARK = board.journalStart + 2 * board.journalLength - 1;
/** Bytes of the check values. */
const CHECKS_LENGTH = RECORD_LENGTH - CHECK_VALUES;

/** The code that must be sent back, 4 digits; undefined: there is none. */
let code: Bytes | undefined;

/** `factory`: a code; `factory CODE`: the reset, after which nothing is answered. Unlocked already. Throws LOCKED, ANSWER_WRONG. */
export function factory(_which: number, words: Bytes[]): Answer {
  if (role !== "r") throw LOCKED;
  const given = section(import("./unlock")).typed(words[1]);
  const wanted = code;
  code = undefined;
  if (!given) {
    code = section(import("./unlock")).digits(section(import("./unlock")).challenge(), 4);
    return { code: code };
  }
  if (given !== wanted) throw ANSWER_WRONG;
  if (hasStop || hasStore) section(import("../app/application")).stop();
  section(import("./factory")).wipe();
}

/**
 * Destroy the check values of all key records, then the keys, then what lies behind the slots, settings and all, and the journal;
 * then start anew, blank. A mark comes first and the file's name last: at each start between them it is all done again.
 *
 * `isStart`: only where a cut has stopped that, or the bench's writing of the keys; else true. There is the mark then, or the check
 * values are not written yet, or no more: all the same byte, which those of four keys are not.
 */
export function wipe(isStart?: boolean): true | undefined {
  const raw = require("Flash");
  const checks = (flash.read("key") as Bytes).substr(CHECK_VALUES);
  if (isStart && checks !== checks[0].repeat(CHECKS_LENGTH) && raw.read(1, MARK)[0]) return true;
  raw.write("\0", MARK);
  const record = board.storageStart + 32; // of the file: its size and name stand before it
  const slots = board.slotsStart + AT_KEYS;
  // with those of a slot its version, by which its record counts
  for (const at of [CHECK_VALUES, 0])
    for (const keys of UPDATES ? [record, slots, slots + SLOT_BYTES] : [record])
      raw.write(
        "\0".repeat(at ? (keys > record ? KEYS_BYTES - CHECK_VALUES : CHECKS_LENGTH) : CHECK_VALUES),
        keys + at,
      );
  for (let at = STORAGE_END; at > board.slotsStart + 2 * SLOT_BYTES; )
    raw.erasePage((at -= board.pageLength));
  for (let i = 2 * board.journalLength; i; ) raw.erasePage(board.journalStart + (i -= board.pageLength));
  flash.erase("key");
  section(import("hal:system")).restart();
}
