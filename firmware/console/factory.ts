// The factory reset, as sections: nothing that a key, a password or a record of use could be read from stays in flash.

import { flash } from "hal:flash";
import { restart } from "hal:system";
import { board } from "board";
import type { Bytes } from "../bytes";
import { ANSWER_WRONG, LOCKED } from "../tls/alert";
import type { Answer } from "./console";
import { role } from "./unlock";

/** "key" and a zero, as a header's second word. */
const KEY_NAME = 0x79656b;

/** The code that must be sent back, 4 digits; "" when there is none. */
let code: Bytes = "";

/** `factory`: a code; `factory CODE`: the reset, after which nothing is answered. Unlocked already. Throws LOCKED, ANSWER_WRONG. */
export function factory(words: Bytes[]): Answer {
  if (role !== "r") throw LOCKED;
  const given = section(import("./unlock")).typed(words[1]);
  const wanted = code;
  code = "";
  if (!given) {
    section(import("../crypto/ctr_drbg")).seed();
    code = section(import("./unlock")).digits(section(import("../crypto/ctr_drbg")).random(3), 4);
    return { code: code };
  }
  if (given !== wanted) throw ANSWER_WRONG;
  return section(import("./factory")).wipe();
}

/**
 * Overwrite every file and every remain of one but the code, whose names begin with ".": Storage's own erase leaves the
 * bytes; erase the journal; then start anew. The record's name goes last: until then the next start wipes again.
 */
export function wipe(): undefined {
  const pages = require("Flash");
  const end: number = board.storageStart + process.env.STORAGE;
  for (let at: number = board.storageStart; at < end; ) {
    // a header is size (3 bytes), flags and name (28); where none is the next page may begin with one
    const head = new Int32Array(pages.read(8, at).buffer);
    const size = head[0] & 0xffffff;
    if (head[0] && head[0] !== -1 && at + 32 + size <= end) {
      if ((head[1] & 255) !== 46)
        for (let i = (size + 31) & -4; i > (head[1] === KEY_NAME ? 4 : 0); i -= 4)
          pages.write("\0\0\0\0", at + i);
      at += (size + 35) & -4;
    } else at = (at | (board.pageLength - 1)) + 1;
  }
  for (let i = 2 * board.journalLength; i; ) pages.erasePage(board.journalStart + (i -= board.pageLength));
  flash.erase("key");
  restart();
}
