// Sequence numbers of ESP (RFC 4303, 2.2 and 3.4.3), as sections: what is sent has each once in the life of a key, through every power cut,
// and what comes is taken once. The journal keeps one number, below or at which all are used up, both ways. Before a higher one is sent or taken,
// a record that is BLOCK ahead of it stands in flash and was read back; a start goes on behind it. So a cut costs numbers, and no record
// is less than BLOCK above the one before: a key has at most 2^19 of them, which the journal writes with 2,400 erases of a page.
//
// For the same reason the other end must number what it sends above what comes from here (../README.md 14).
import { type Bytes, uint16 } from "../bytes";
import { ESP_REPLAY, FLASH_FAILED, SEQUENCE_END } from "../tls/alert";
import { AT_RESERVED, SEQUENCE } from "./journal";

/** As many numbers are reserved at a time. */
export const BLOCK = 4096;
/** The last that is used: above it a number is no integer of 32 bits, which the interpreter computes fastest with. */
const LAST = 0x7fffffff;
/** Numbers below the highest that are remembered one by one (RFC 4303, 3.4.3: 32 at least). */
const WINDOW = 32;

/** What flash says; undefined: it was not read since the start. */
let reserved: number | undefined;
/** The last number that was sent. */
let sent: number;
/** The highest that came, and of it and those below a bit each that came, the lowest bit its own. */
let highest: number;
let came: number;

/** Tell what the newest record says. */
export function inFlash(): number {
  const record = section(import("./journal")).newest(SEQUENCE);
  return record ? uint16(record, AT_RESERVED) * 65536 + uint16(record, AT_RESERVED + 2) : 0;
}

/** Have all numbers up to `n` reserved, and at the first call since a start those behind all that were. Throws FLASH_FAILED. */
export function reserve(n: number): void {
  if (n <= (reserved as number)) return;
  const end = n + BLOCK;
  section(import("./journal")).append(
    E.toString(SEQUENCE, 0, 0, 0, end >> 24, end >> 16, end >> 8, end, "\0\0\0\0") as Bytes,
  );
  if (section(import("./sequence")).inFlash() !== end) throw FLASH_FAILED;
  reserved = end;
}

/** Begin behind all numbers that were used before the start. */
export function begin(): void {
  if (reserved !== undefined) return;
  reserved = highest = sent = section(import("./sequence")).inFlash();
  came = -1;
}

/** Take the next number to send under. Throws SEQUENCE_END: the key is used up. */
export function next(): number {
  section(import("./sequence")).begin();
  if (sent >= LAST) throw SEQUENCE_END;
  section(import("./sequence")).reserve(sent + 1);
  return ++sent;
}

/** Throw ESP_REPLAY where the number `n` came already, or is too old to tell. */
export function check(n: number): void {
  section(import("./sequence")).begin();
  const age = highest - n;
  if (age >= 0 && (age >= WINDOW || (came >> age) & 1)) throw ESP_REPLAY;
  if (n > LAST) throw ESP_REPLAY;
}

/** Note that `n` came, under a good ICV. */
export function accept(n: number): void {
  section(import("./sequence")).reserve(n);
  const ahead = n - highest;
  if (ahead > 0) {
    came = ahead < WINDOW ? (came << ahead) | 1 : 1;
    highest = n;
  } else came |= 1 << -ahead;
}
