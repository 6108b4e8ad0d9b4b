// `err` and `log`, a section: the journal's events, newest first, from the place of the next one backwards through both
// halves. A turn over leaves copies: what is not older than the one before is passed over.
import { board } from "board";
import { type Bytes, uint16 } from "../bytes";
import { AT_BOOTS, AT_CODE, AT_KIND, AT_NUMBER, AT_STEP, LOG, PLACE, place } from "../store/journal";
import type { Answer } from "./console";

/** Which answer is meant: the newest failure (`err`), or the latest events (`log`). */
export const NEWEST = 0;
export const LATEST = 1;
/** Events that `log` tells. */
const MOST = 8;
/** Bytes of both halves. */
const LENGTH = 2 * board.journalLength;

/** Say the newest failure, or the newest events. */
export default function history(which: number): Answer {
  const isLog = which === LATEST;
  let left = isLog ? MOST : 1;
  let before: Bytes = "\xff";
  section(import("../store/journal")).newest(LOG);
  for (let i = 0, at = place; i < LENGTH && left; i += PLACE) {
    at -= PLACE;
    if (at < board.journalStart) at += LENGTH;
    const record = E.toString(require("Flash").read(PLACE, at));
    const step = record.charCodeAt(AT_STEP);
    const code = uint16(record, AT_CODE);
    const number = record.substr(AT_NUMBER, 4);
    if (
      record.charCodeAt(AT_KIND) === LOG &&
      number < before &&
      (isLog || (step && code)) &&
      section(import("../store/journal")).seal(record) === record
    ) {
      before = number;
      left--;
      section(import("./console")).say({
        n: uint16(number, 2),
        at: step,
        err: code,
        boots: (record.charCodeAt(AT_BOOTS) << 16) | uint16(record, AT_BOOTS + 1),
      });
    }
  }
  // no failure
  if (left && !isLog) return 0;
}
