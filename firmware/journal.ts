// The journal: what the device must know after a power cut, in raw flash, as sections. Two halves of board.journalLength
// bytes from board.journalStart on, an address of whole halves; in each, from its beginning on, places of 32 bytes: a
// record of 16 bytes, then its seal, the first 16 bytes of SHA-256(`ota` key || record). Numbers are big-endian.
//
//   STATE  kind 1 (1), active slot (1), attempts: 0 confirmed, else 1 + starts so far (1), 0 (1), code of the last
//          revert, 0: none (2), 0 (2), floor: the sequence at or below which nothing is taken (4), number (4)
//   LOG    kind 2 (1), step (1), code (2), boots (3), false answers at the console (1), sessions (2), failed attempts (2),
//          number (4)
//
// The newest valid record of each kind counts: the one with the highest number of its kind. In use is the half that holds
// the newest STATE. When it is full the other one is erased and begins with copies, the newest LOG first, the newest STATE
// last: until that one stands the full half is in use, so that a power cut anywhere loses nothing. A record that a cut has
// torn counts as none, but takes its place up. The seal is no CMAC because the loader holds SHA-256 anyway, and AES would
// cost it a quarter of its bytes; both parts have a fixed length, so that a key as prefix is sound.
// Leaves out devices without a whole key record, for tests: there nothing is written, and so nothing found.
import { finish, RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import { board } from "board";
import type { Bytes } from "./bytes";
import { OTA_KEY, RECORD_LENGTH } from "./key_record";
import { keyBytes } from "./port";

/** Kinds of records. */
export const STATE = 1;
export const LOG = 2;

/** Bytes of a record with its seal, of a place. */
export const PLACE = 32;
/** Places that `append` leaves free behind what it has written: for the loader, which only writes on. */
const SPARE = 16;
/** What 32 bytes of erased flash add up to. */
const ERASED = 255 * PLACE;

/** Address of the record that `newest` has found; where it has found none, one behind which there is no place. */
export let found = 0;

/** Find the newest valid record of a kind. Returns its 16 bytes, "" where there is none. */
export function newest(kind: number): Bytes {
  let best = "";
  found = -PLACE;
  // from behind: the first valid one of a half is its newest, and the seals of the others are not looked at
  for (let at = board.journalStart + 2 * board.journalLength; (at -= PLACE) >= board.journalStart; ) {
    const record = E.toString(require("Flash").read(PLACE, at));
    if (
      record.charCodeAt(0) === kind &&
      record.substr(12, 4) > best.substr(12) &&
      section(import("./journal")).seal(record.substr(0, 16)) === record
    ) {
      best = record.substr(0, 16);
      found = at;
    }
  }
  return best;
}

/** Put its seal behind a record of 16 bytes. */
export function seal(record: Bytes): Bytes {
  const key = (flash.read("key") as Bytes).substr(OTA_KEY, 16);
  return record + E.toString(finish(32, RUNNING ? update(32, "", key + record) : [key, record])).substr(0, 16);
}

/** Count up the number of a record, 16 bytes, and seal it. */
export function next(record: Uint8Array): Bytes {
  let i = 16;
  while (!(++record[--i] & 255));
  return section(import("./journal")).seal(E.toString(record));
}

/** Find the first place behind the record found, in its half, that nothing was written to: an address, 0: there is none. */
export function freePlace(): number {
  while ((found += PLACE) % board.journalLength)
    if (E.sum(require("Flash").read(PLACE, found)) === ERASED) return found;
  return 0;
}

/** Write a record: the first 12 bytes of `data`, its kind first. Turns over to the other half in time. */
export function append(data: Bytes): void {
  if (keyBytes < RECORD_LENGTH) return;
  const pages = require("Flash");
  const middle = board.journalStart + board.journalLength;
  const find = section(import("./journal")).newest;
  const log = find(LOG);
  // slot 0 was active where nothing is known
  const state = find(STATE) || "\x01" + "\0".repeat(15);
  const last = data.charCodeAt(0) === LOG ? log : state;
  let records = [
    section(import("./journal")).next(E.toUint8Array(data.substr(0, 12), last.substr(12) || "\0\0\0\0")),
  ];
  let turned = found < middle ? middle : board.journalStart;
  let at = section(import("./journal")).freePlace();
  if (!at || at % board.journalLength > board.journalLength - PLACE * (1 + SPARE)) {
    for (let page = (at = turned); page < turned + board.journalLength; page += board.pageLength)
      pages.erasePage(page);
    records = [log, state, records[0]];
  }
  for (const record of records)
    if (record) {
      pages.write(record.length < PLACE ? section(import("./journal")).seal(record) : record, at);
      at += PLACE;
    }
}
