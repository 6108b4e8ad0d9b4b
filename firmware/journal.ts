// The journal: what the device must know after a power cut, in raw flash, as sections. Two halves of board.journalLength
// bytes from board.journalStart on; in each, from its beginning on, places of 32 bytes: a record of 16 bytes, then its
// CMAC under the `ota` key. Numbers are big-endian.
//
//   STATE  kind 1 (1), active slot (1), attempts: 0 confirmed, else 1 + starts so far (1), 0 (1), code of the last
//          revert, 0: none (2), 0 (2), floor: the sequence at or below which nothing is taken (4), number (4)
//   LOG    kind 2 (1), step (1), code (2), boots (3), false answers at the console (1), sessions (2), failed attempts (2),
//          number (4)
//
// The newest valid record of each kind counts. Numbers run on over both kinds; the half that holds the highest is in use.
// When it is full the other one is erased and begins with copies of the newest of each kind, number and all, the older
// one first: until both stand the full half holds the highest number, and a power cut anywhere leaves it in use. A record
// that a cut has torn counts as none, but takes its place up. Leaves out devices without a whole key record, for tests:
// there nothing is written, and nothing found.
import { flash } from "hal:flash";
import { board } from "board";
import type { Bytes } from "./bytes";
import { OTA_KEY, RECORD_LENGTH } from "./key_record";
import { keyBytes } from "./port";

/** Kinds of records. */
export const STATE = 1;
export const LOG = 2;

/** Bytes of a record with its CMAC, of a place. */
export const PLACE = 32;
/** Places that `append` leaves free behind what it has written: for the loader, which only writes on. */
const SPARE = 16;
/** What 32 bytes of erased flash add up to. */
const ERASED = 255 * PLACE;

/** Address of the place behind the last one taken in the half in use; behind the half where it is full. Set by `newest`. */
export let free = 0;

/** Find the newest valid record of a kind, 0: of any. Returns its 16 bytes, "" where there is none. */
export function newest(kind: number): Bytes {
  const pages = require("Flash");
  let best = "";
  // where nothing is valid neither half is in use: whatever lies there, it is erased before the first record
  free = board.journalStart + board.journalLength;
  if (keyBytes === RECORD_LENGTH)
    for (let half = board.journalStart, turn = 0; turn < 2; turn++) {
      const start = half;
      let end = (half += board.journalLength);
      let at = end;
      while ((at -= PLACE) >= start) {
        const bytes = pages.read(PLACE, at);
        if (end === at + PLACE && E.sum(bytes) === ERASED) end = at;
        else if (kind ? bytes[0] === kind : bytes[0] <= LOG) {
          const record = E.toString(bytes);
          if (
            record.substr(12, 4) > best.substr(12) &&
            section(import("./journal")).seal(record.substr(0, 16)) === record
          ) {
            best = record.substr(0, 16);
            free = end;
            break;
          }
        }
      }
    }
  return best;
}

/** Put its CMAC behind a record of 16 bytes. */
export function seal(record: Bytes): Bytes {
  return (
    record + section(import("./crypto/cmac")).cmac((flash.read("key") as Bytes).substr(OTA_KEY, 16), record)
  );
}

/** Write a record: `data`, its kind first, 12 bytes; the number goes behind them. Turns over to the other half in time. */
export function append(data: Bytes): void {
  if (keyBytes < RECORD_LENGTH) return;
  const pages = require("Flash");
  const find = section(import("./journal")).newest;
  const state = find(STATE);
  const log = find(LOG);
  const next = E.toUint8Array(find(0).substr(12) || "\0\0\0\0");
  for (let i = 4; i-- && !(++next[i] & 255); );
  let records = [E.toString(data, next)];
  const middle = board.journalStart + board.journalLength;
  let at = free;
  let end = at > middle ? middle + board.journalLength : middle;
  if (end - at < PLACE * (1 + SPARE)) {
    // to the half that is not in use: the one that does not end here
    at = end > middle ? board.journalStart : middle;
    end = at + board.journalLength;
    for (let page = at; page < end; page += board.pageLength) pages.erasePage(page);
    records = state.substr(12) < log.substr(12) ? [state, log, records[0]] : [log, state, records[0]];
  }
  for (const record of records)
    if (record) {
      pages.write(section(import("./journal")).seal(record), at);
      at += PLACE;
    }
}
