// Whether a ledger is as it was written: SQLite's own check, the schema to the letter, then from the first entry to the last the chain
// and each column's form, and anchors, which are heads that were noted elsewhere. Without an anchor a chain cannot tell that
// its last entries were cut off, nor that somebody wrote all of it anew.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { type Database, openDatabase } from "./database";
import { COLUMN_NAMES, checkRow, FIRST_PREVIOUS, type Row, rowHash } from "./entry";

/** A place in the chain: number and hash of one entry; number 0 is the empty ledger. */
export interface Anchor {
  sequence: number;
  hash: string;
}

export interface Verification {
  entries: number;
  head: Anchor;
  /** Sentences; none where all is well. */
  faults: string[];
}

export const ENTRIES_IN_ORDER = `SELECT ${COLUMN_NAMES.join(", ")} FROM entries NOT INDEXED ORDER BY sequence`;

/** Verify the ledger in a file; throws a UsageError only where there is no file. */
export function verifyLedger(path: string, anchors: readonly Anchor[] = []): Verification {
  const empty = { entries: 0, head: { sequence: 0, hash: FIRST_PREVIOUS } };
  let database: Database;
  try {
    accessSync(path, constants.R_OK);
  } catch {
    throw new UsageError(`there is no ledger ${path} that can be read.`);
  }
  try {
    database = openDatabase(path, "read");
  } catch (error) {
    return { ...empty, faults: [(error as Error).message.replace(/\.$/, "")] };
  }
  try {
    const verification = verifyDatabase(database, anchors);
    if (statSync(path).size !== sizeOf(database))
      verification.faults.push("the file is cut short or too long");
    return verification;
  } catch (error) {
    return { ...empty, faults: [`the file is damaged: ${fileFault(error)}`] };
  } finally {
    database.close();
  }
}

function verifyDatabase(database: Database, anchors: readonly Anchor[]): Verification {
  const faults: string[] = [];
  const [check] = database.prepare("PRAGMA integrity_check(1)").all() as { integrity_check: string }[];
  if (check.integrity_check !== "ok") faults.push(`the file is damaged: ${check.integrity_check}`);
  const wanted = new Map(anchors.map((anchor) => [anchor.sequence, anchor.hash]));
  let head: Anchor = { sequence: 0, hash: FIRST_PREVIOUS };
  let entries = 0;
  for (const found of database.prepare(ENTRIES_IN_ORDER).iterate()) {
    const row = found as unknown as Row;
    const fault = rowFault(row, head);
    if (fault) faults.push(fault);
    const anchored = wanted.get(row.sequence);
    if (anchored && anchored !== row.hash)
      faults.push(`entry ${row.sequence} is another than the one that was anchored`);
    head = { sequence: row.sequence, hash: row.hash };
    entries++;
  }
  for (const { sequence } of anchors)
    if (sequence > head.sequence)
      faults.push(`entries are missing at the end: ${head.sequence} are there, ${sequence} were anchored`);
  return { entries, head, faults };
}

/** Bytes of the file by SQLite's own count. */
function sizeOf(database: Database): number {
  const { size } = database
    .prepare("SELECT page_count * page_size AS size FROM pragma_page_count, pragma_page_size")
    .get() as { size: number };
  return size;
}

function rowFault(row: Row, before: Anchor): string | undefined {
  if (row.sequence !== before.sequence + 1)
    return `entry ${before.sequence + 1} is missing: after ${before.sequence} comes ${row.sequence}`;
  if (row.previous !== before.hash) return `entry ${row.sequence} does not follow from the one before it`;
  if (rowHash(row) !== row.hash) return `entry ${row.sequence} was changed`;
  try {
    checkRow(row);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return `entry ${row.sequence}: ${error.message.replace(/\.$/, "")}`;
  }
  return undefined;
}

/** Parse an anchor, `NUMBER:HASH` as `ledger head` prints it. */
export function parseAnchor(text: string): Anchor {
  const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim());
  if (!match)
    throw new UsageError(`"${text.slice(0, 100)}" is no anchor, which is NUMBER:HASH as head prints it.`);
  return { sequence: Number(match[1]), hash: match[2] };
}

/** Read anchors: `NUMBER:HASH`, or the name of a file with one a line. */
export function readAnchors(text: string): Anchor[] {
  if (/^\d+:/.test(text)) return [parseAnchor(text)];
  let lines: string[];
  try {
    lines = readFileSync(text, "utf8").split("\n");
  } catch {
    throw new UsageError(`"${text}" is neither NUMBER:HASH nor a file that can be read.`);
  }
  const anchors = lines.filter((line) => line.trim()).map(parseAnchor);
  if (!anchors.length) throw new UsageError(`there is no anchor in ${text}.`);
  return anchors;
}
