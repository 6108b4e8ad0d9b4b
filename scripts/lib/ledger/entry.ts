// One entry of the ledger: its columns, what each may hold, and the hash that chains it to the one before:
// SHA-256 over the JSON array (UTF-8, no spaces) of all columns but `hash`, in the order of COLUMNS; `previous` is the
// hash of the entry before, 64 zeros for the first. Any language with SHA-256 and JSON can check it.
// No column takes a key: each has its form, and where people write words, what looks like 16 bytes is refused (R25).
// Leaves out: which entries may follow each other (ledger.ts).
import { createHash } from "node:crypto";
import { FAILURES, type LedgerEntry, OPERATIONS, STEPS } from "../bench/interfaces";
import { UsageError } from "../cli/exit";
import { quoted } from "../cli/show";
import { NO_PRODUCT, PRODUCT } from "../keys/identity";
import { SERIAL } from "../keys/serials";
import { looksLikeKey } from "../keys/weak_keys";

/** An entry as it stands in the ledger: no column is ever empty of a value, "" and 0 say that nothing is meant. */
export interface Row {
  /** From 1, without gaps. */
  sequence: number;
  /** UTC, ISO 8601 with milliseconds; a merged entry keeps the time at which it was made. */
  time: string;
  type: LedgerEntry["type"];
  who: string;
  station: string;
  fixture: number;
  serial: string;
  lastSerial: string;
  reservedFor: string;
  product: string;
  chip: string;
  operation: LedgerEntry["operation"];
  imageDigest: string;
  keyVersion: number;
  checkValue: string;
  result: LedgerEntry["result"];
  step: string;
  failure: string;
  reason: string;
  seconds: number;
  /** Seconds of each step: a JSON object in the order of STEPS, or "". */
  steps: string;
  /** Hash of the entry in another ledger that this one was taken over from, or "". */
  origin: string;
  previous: string;
  hash: string;
}
export type Column = keyof Row;

/** A column's type in SQLite and the form of its text. */
interface ColumnRule {
  type: "INTEGER" | "REAL" | "TEXT";
  form?: RegExp;
  /** The form in words, for the sentence that refuses. */
  words?: string;
}

// A person's or a station's name; with a letter or a digit first no spreadsheet takes it for a formula.
const NAME = {
  form: /^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,30}$/u,
  words: "1 to 31 letters, digits, spaces, . _ @ -, a letter or a digit first",
};
const SHA256_OR_NONE = { form: /^([0-9a-f]{64})?$/, words: "a SHA-256 as 64 hex digits" };
const words = (list: readonly string[]) => ({
  form: new RegExp(`^(${list.join("|")})$`),
  words: `one of ${list.join(", ")}`,
});

/** Every column in the order in which it is hashed. */
export const COLUMNS: Record<Column, ColumnRule> = {
  sequence: { type: "INTEGER" },
  time: { type: "TEXT", form: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, words: "a time" },
  type: { type: "TEXT", ...words(["begin", "unit", "scrap", "reserve"]) },
  who: { type: "TEXT", ...NAME },
  station: { type: "TEXT", ...NAME },
  fixture: { type: "INTEGER" },
  serial: { type: "TEXT", ...SERIAL },
  lastSerial: { type: "TEXT", form: /^([A-Za-z0-9][A-Za-z0-9_-]{0,30})?$/, words: SERIAL.words },
  reservedFor: { type: "TEXT", form: new RegExp(`^$|${NAME.form.source}`, "u"), words: NAME.words },
  product: {
    type: "TEXT",
    form: /^\w[\x21-\x7e]{0,30}$/,
    words: "1 to 31 printable characters, a letter or a digit first",
  },
  chip: {
    type: "TEXT",
    form: /^(\w[\x21-\x7e]{0,30})?$/,
    words: "at most 31 printable characters, a letter or a digit first",
  },
  operation: { type: "TEXT", ...words([...OPERATIONS, "scrap", "reserve"]) },
  imageDigest: { type: "TEXT", ...SHA256_OR_NONE },
  keyVersion: { type: "INTEGER" },
  checkValue: { type: "TEXT", form: /^([0-9A-F]{24})?$/, words: "24 hex digits: 6 of each key" },
  result: { type: "TEXT", ...words(["begun", "pass", "fail", "scrapped", "reserved"]) },
  step: { type: "TEXT", ...words([...STEPS, ""]) },
  failure: { type: "TEXT", ...words([...Object.keys(FAILURES), ""]) },
  reason: {
    type: "TEXT",
    form: /^([\p{L}\p{N}][^\p{C}]{0,159})?$/u,
    words: "at most 160 characters, a letter or a digit first",
  },
  seconds: { type: "REAL" },
  steps: { type: "TEXT", form: /^(\{[\x20-\x7e]*\})?$/, words: "seconds by step" },
  origin: { type: "TEXT", ...SHA256_OR_NONE },
  previous: { type: "TEXT", form: /^[0-9a-f]{64}$/, words: "a SHA-256 as 64 hex digits" },
  hash: { type: "TEXT", form: /^[0-9a-f]{64}$/, words: "a SHA-256 as 64 hex digits" },
};
export const COLUMN_NAMES = Object.keys(COLUMNS) as Column[];

export const FIRST_PREVIOUS = "0".repeat(64);
const SECONDS_MAX = 1_000_000;

/** Hash a row; its own `hash` does not enter. */
export function rowHash(row: Omit<Row, "hash">): string {
  const values = COLUMN_NAMES.filter((name) => name !== "hash").map((name) => row[name as keyof typeof row]);
  return createHash("sha256").update(JSON.stringify(values)).digest("hex");
}

/** The columns of an entry that its maker gives. */
export type Fields = Omit<Row, "sequence" | "origin" | "previous" | "hash">;

/** Lay out an entry; throws a UsageError with the first thing that is wrong with it. */
export function rowOf(entry: LedgerEntry, time: Date): Fields {
  const steps = STEPS.filter((step) => entry.steps?.[step] !== undefined).map(
    (step) => [step, milliseconds(`steps.${step}`, entry.steps?.[step] as number)] as const,
  );
  const row = {
    time: time.toISOString(),
    type: entry.type,
    who: entry.who,
    station: entry.station,
    fixture: wholeNumber("fixture", entry.fixture),
    serial: entry.serial,
    lastSerial: entry.lastSerial ?? "",
    reservedFor: entry.reservedFor ?? "",
    product: entry.product,
    chip: entry.chip,
    operation: entry.operation,
    imageDigest: entry.imageDigest,
    keyVersion: wholeNumber("keyVersion", entry.keyVersion),
    checkValue: entry.checkValue.toUpperCase(),
    result: entry.result,
    step: entry.step ?? "",
    failure: entry.failure ?? "",
    reason: entry.reason ?? "",
    seconds: milliseconds("seconds", entry.seconds),
    steps: steps.length ? JSON.stringify(Object.fromEntries(steps)) : "",
  };
  // First of all, so that no sentence below shows a key.
  for (const name of ["who", "station", "reservedFor", "product", "chip", "reason"] as const)
    refuseKey(name, row[name]);
  for (const [name, value] of Object.entries(row)) checkForm(name as Column, value);
  if (!PRODUCT.test(row.product))
    throw new UsageError(`a product has no ${NO_PRODUCT}; ${quoted(row.product)} is none.`);
  return row;
}

/**
 * Check an entry that another ledger has, as if it were made now; throws a UsageError where no append() would have written it so.
 * Returns the columns that its maker gave.
 */
export function checkRow(row: Row): Fields {
  const made = rowOf({ ...row, steps: stepsOf(row.steps) } as LedgerEntry, timeOf(row.time));
  for (const [name, value] of Object.entries(made))
    if (row[name as Column] !== value) throw new UsageError(`the ${name} is written as no ledger writes it.`);
  return made;
}

/** Seconds by step out of a ledger's column, which may hold anything: what is no step or no number is left out. */
export function stepsOf(text: string): NonNullable<LedgerEntry["steps"]> {
  let found: unknown;
  try {
    found = JSON.parse(text || "{}");
  } catch {
    return {};
  }
  const isSeconds = (value: unknown) => typeof value === "number" && value >= 0 && value <= SECONDS_MAX;
  const entries = Object.entries(found ?? {}).filter(
    ([name, value]) => (STEPS as readonly string[]).includes(name) && isSeconds(value),
  );
  return Object.fromEntries(entries);
}

function timeOf(text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new UsageError(`the time ${quoted(text)} is none.`);
  return time;
}

function checkForm(name: Column, value: string | number): void {
  const { form, words } = COLUMNS[name];
  if (!form || form.test(value as string)) return;
  refuseKey(name, String(value));
  throw new UsageError(`the ${name} ${quoted(String(value))} is not ${words}.`);
}

function refuseKey(name: Column, text: string): void {
  if (looksLikeKey(text))
    throw new UsageError(`the ${name} holds what could be a key, and no key may stand in the ledger.`);
}

function wholeNumber(name: Column, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new UsageError(`the ${name} ${value} is not a whole number from 0 to 65535.`);
  return value;
}

/** Seconds rounded to milliseconds. */
function milliseconds(name: string, seconds: number): number {
  if (!(seconds >= 0 && seconds <= SECONDS_MAX))
    throw new UsageError(`the ${name} ${seconds} are no number of seconds.`);
  return Math.round(seconds * 1000) / 1000;
}
