// Serials, and ranges of them: those that differ in their last digits only, as SN0000100 to SN0000199.
// Leaves out: who holds a range (ledger.ts).
import { UsageError } from "../cli/exit";
import { quoted } from "../cli/show";
import { looksLikeKey } from "./weak_keys";

/** 31 characters hold no key of 16 bytes in hex. */
export const SERIAL = { form: /^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$/, words: "1 to 31 letters, digits, _ or -" };

/** Check a serial; returns it. Throws UsageError, without what could be a key in its sentence. */
export function checkSerial(text: string): string {
  if (SERIAL.form.test(text)) return text;
  if (looksLikeKey(text)) throw new UsageError("the serial holds what could be a key.");
  throw new UsageError(`the serial ${quoted(text)} is not ${SERIAL.words}.`);
}

export interface Range {
  first: string;
  last: string;
}

export const RANGE_MAX = 1_000_000; // serials

/** Split a serial into its fixed head and its digits at the end. */
function parts(serial: string): { head: string; digits: string } {
  const [, head, digits] = /^(.*?)(\d*)$/.exec(serial) as RegExpExecArray;
  return { head, digits };
}

/** Check a range; throws a UsageError where the ends do not belong together. */
export function checkRange({ first, last }: Range): Range {
  const [from, to] = [parts(checkSerial(first)), parts(checkSerial(last))];
  if (!from.digits || from.head !== to.head || from.digits.length !== to.digits.length)
    throw new UsageError(
      `${first} and ${last} are no range: they must be alike but for their last digits, and equally long.`,
    );
  if (last < first) throw new UsageError(`the range ${first}..${last} ends before it begins.`);
  if (BigInt(to.digits) - BigInt(from.digits) >= RANGE_MAX)
    throw new UsageError(`the range ${first}..${last} is longer than ${RANGE_MAX} serials.`);
  return { first, last };
}

/** Parse `FIRST..LAST`, or one serial as a range of one. */
export function parseRange(text: string): Range {
  const [first, last, more] = text.split("..");
  if (more !== undefined) throw new UsageError(`"${text}" is not FIRST..LAST.`);
  return last === undefined
    ? { first: checkSerial(first), last: checkSerial(first) }
    : checkRange({ first, last });
}

/** The range of `count` serials from `first` on. Throws UsageError where its digits do not suffice. */
export function rangeFrom(first: string, count: number): Range {
  const { head, digits } = parts(checkSerial(first));
  if (!digits) throw new UsageError(`the serial ${quoted(first)} does not end with digits to count.`);
  const end = String(BigInt(digits) + BigInt(count - 1));
  if (end.length > digits.length)
    throw new UsageError(`${count} serials from ${first} do not fit into its ${digits.length} digits.`);
  return { first, last: head + end.padStart(digits.length, "0") };
}

/** A serial as a number among those with the same head and length. */
export interface Numbered {
  head: string;
  /** How many digits it ends with. */
  digits: number;
  number: number;
}

const DIGITS_MAX = 15; // of a number that a double holds

/** Take a serial apart; undefined where it has no digits at its end, or more than a number holds. */
export function numbered(serial: string): Numbered | undefined {
  const { head, digits } = parts(serial);
  if (!digits || digits.length > DIGITS_MAX) return undefined;
  return { head, digits: digits.length, number: Number(digits) };
}

/** And together again. */
export function serialOf({ head, digits, number }: Numbered): string {
  return head + String(number).padStart(digits, "0");
}

/** Whether a serial lies in a range: equally long with the same head, so the order of text is that of the numbers. */
export function isInRange(serial: string, { first, last }: Range): boolean {
  if (serial === first) return true;
  const sameForm = serial.length === first.length && parts(serial).head === parts(first).head;
  return sameForm && serial >= first && serial <= last;
}

/** Whether two ranges share a serial. */
export function overlap(a: Range, b: Range): boolean {
  return isInRange(a.first, b) || isInRange(b.first, a);
}

/** Every serial of a range, in order. */
export function* serialsOf({ first, last }: Range): Generator<string> {
  const { head, digits } = parts(first);
  if (!digits) {
    yield first;
    return;
  }
  const end = BigInt(parts(last).digits);
  for (let number = BigInt(digits); number <= end; number++)
    yield head + String(number).padStart(digits.length, "0");
}
