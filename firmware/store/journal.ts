// The journal: what the device must know after a power cut, in raw flash, as sections. Two halves of board.journalLength
// bytes from board.journalStart on, an address of whole halves; in each, from its beginning on, places of 32 bytes: a
// record of 16 bytes, then its seal, the first 16 bytes of SHA-256(`ota` key of the file || record). Numbers are big-endian.
//
//   STATE  kind 1 (1), active slot (1), attempts: 0 confirmed, else 1 + starts so far (1), erases of the other slot since an
//          image was confirmed last (1), code of the last revert, 0: none (2), 0 (2), floor: the sequence at or below which
//          nothing is taken (4), number (4)
//   STORE  kind 3 to 6 (1), a number of the product's (../product/device.ts): its digits, and spaces behind them (11), number (4)
//   SEQUENCE  kind 7 (1), 0 (3), number below or at which all of ESP are used up (4), 0 (4), number (4): sequence.ts
//   LOG    kind 2 (1), step (1), code (2), boots (3), false answers at the console (1), sessions (2), failed attempts (2),
//          number (4)
//
// The newest valid record of each kind counts: the one with the highest number of its kind. In use is the half that holds
// the newest STATE. When it is full the other one is erased and begins with copies of the newest LOG and of each STORE, and under ESP of the SEQUENCE, whether this
// image's product has a store or not, then comes a STATE: the newest, with the next number. Until that one stands the full half is in use, so that
// a power cut anywhere loses nothing. A record that a cut has torn counts as none, but takes its place up. The seal is no CMAC because the loader holds SHA-256 anyway, and AES would
// cost it a quarter of its bytes; both parts have a fixed length, so that a key as prefix is sound.
// Leaves out devices without a whole key record, for tests: there nothing is written, and so nothing found.
import { flash } from "hal:flash";
import { board } from "board";
import type { Bytes } from "../bytes";
import { CONSOLE, ESP, UPDATES } from "../profile";
import { key } from "./key";
import { OTA_KEY, RECORD_LENGTH } from "./key_record";

/** Kinds of records. */
export const STATE = 1;
export const LOG = 2;
/** The first of four, one for each place. */
export const STORE = 3;
export const STORE_PLACES = 4;
/** Of the profile `esp` alone. */
export const SEQUENCE = 7;

/** Bytes of a record, of a place: a record with its seal. */
export const RECORD_BYTES = 16;
export const PLACE = 32;

/** Where the fields begin that every record has. */
export const AT_KIND = 0; // 1
export const AT_NUMBER = 12; // 4
/** Those of a STATE. */
export const AT_ACTIVE = 1; // 1
export const AT_ATTEMPTS = 2; // 1
export const AT_ERASES = 3; // 1
export const AT_REVERT = 4; // 2
export const AT_FLOOR = 8; // 4
/** That of a SEQUENCE. */
export const AT_RESERVED = 4; // 4
/** Those of a LOG. */
export const AT_STEP = 1; // 1
export const AT_CODE = 2; // 2
export const AT_BOOTS = 4; // 3
export const AT_TRIES = 7; // 1
export const AT_SESSIONS = 8; // 2
export const AT_FAILURES = 10; // 2

/** Places that `append` leaves free behind what it has written: for the loader, which only writes on. */
const SPARE = 16;
/** What a place of erased flash adds up to. */
const ERASED = 255 * PLACE;

/**
 * The place to write to in the half of the record that `newest` has found: the first behind it that nothing was written to,
 * not even torn; an address of whole halves where there is none, 0 where there is no record.
 */
export let place: number;

/** Find the newest valid record of a kind, and its `place`. Returns its 16 bytes and its seal, "" where there is none. */
export function newest(kind: number): Bytes {
  let best = "";
  place = -PLACE;
  // the native SHA-256 wants its result in one run of free variables, and where there is none the error's own text is the end
  E.defrag();
  // from behind: the first valid one of a half is its newest, and the seals of the others are not looked at
  for (let at = board.journalStart + 2 * board.journalLength; (at -= PLACE) >= board.journalStart; ) {
    const record = E.toString(require("Flash").read(PLACE, at));
    if (
      record.charCodeAt(AT_KIND) === kind &&
      record.substr(AT_NUMBER, 4) > best.substr(AT_NUMBER) &&
      section(import("./journal")).seal(record) === record
    ) {
      best = record;
      place = at;
    }
  }
  while ((place += PLACE) % board.journalLength && E.sum(require("Flash").read(PLACE, place)) < ERASED);
  return best;
}

/** Put the seal behind the first 16 bytes of `record`. */
export function seal(record: Bytes): Bytes {
  record = record.substr(0, RECORD_BYTES);
  return (
    record +
    section(import("../crypto/sha256_of"))(
      (UPDATES ? (flash.read("key") as Bytes) : key).substr(OTA_KEY, 16),
      record,
    ).substr(0, PLACE - RECORD_BYTES)
  );
}

/** Count up the number of a record of 16 bytes. */
export function countUp(record: Bytes): Bytes {
  const bytes = E.toUint8Array(record);
  let i = RECORD_BYTES;
  while (!(++bytes[--i] & 255));
  return E.toString(bytes);
}

/** Write a record: the first 12 bytes of `data`, its kind first. Turns over to the other half in time. */
export function append(data: Bytes): void {
  if (!CONSOLE || !key[RECORD_LENGTH - 1]) return;
  let kind = data.charCodeAt(AT_KIND);
  const last = section(import("./journal")).newest(kind).substr(AT_NUMBER, 4) || "\0\0\0\0";
  data = section(import("./journal")).countUp(data.substr(0, AT_NUMBER) + last);
  // where nothing is known slot 0 is active
  const state = section(import("./journal")).newest(STATE) || "\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
  let at = place;
  const taken = at % board.journalLength;
  if (!taken || taken > board.journalLength - PLACE * (1 + SPARE)) {
    // a STATE puts the half to use: with a number of its own, and behind what must not be lost
    if (kind !== STATE) data = section(import("./journal")).countUp(state.substr(0, RECORD_BYTES)) + data;
    for (kind = LOG; kind <= (ESP ? SEQUENCE : STORE + STORE_PLACES - 1); kind++)
      data = section(import("./journal")).newest(kind).substr(0, RECORD_BYTES) + data;
    const middle = board.journalStart + board.journalLength;
    at = at > middle ? board.journalStart : middle;
    if (board.journalLength === board.pageLength) require("Flash").erasePage(at);
    else
      for (let page = at; page < at + board.journalLength; page += board.pageLength)
        require("Flash").erasePage(page);
  }
  for (let i = 0; i < data.length; i += RECORD_BYTES, at += PLACE)
    require("Flash").write(section(import("./journal")).seal(data.substr(i, RECORD_BYTES)), at);
}
