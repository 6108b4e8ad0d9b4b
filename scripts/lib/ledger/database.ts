// The ledger's file: SQLite with one table whose triggers refuse any change of an entry and any entry out of its turn.
// The rollback journal with synchronous EXTRA, not WAL: an entry that append() returned for is on the disk, and it is
// in the one file, which can be carried on a stick while a bench is running. Many processes may write; each waits for
// its turn. Leaves out: what an entry says (entry.ts), and whether the chain holds (verify.ts).
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import type { DatabaseSync } from "@photostructure/sqlite";
import { DeviceError, UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { withdrawEmpty } from "../files/new_file";
import { COLUMN_NAMES, COLUMNS, FIRST_PREVIOUS } from "./entry";

export type Database = InstanceType<typeof DatabaseSync>;

const require = createRequire(import.meta.url);

const APPLICATION_ID = 0x544c_5053; // "TLPS", at byte 68 of the file (SQLite's file format, 1.3)
const FORMAT = 1;
const WAIT_MS = 30_000; // for other processes' turns

const columns = COLUMN_NAMES.map((name) =>
  name === "sequence" ? "sequence INTEGER PRIMARY KEY" : `${name} ${COLUMNS[name].type} NOT NULL`,
);
const refuse = (change: string) =>
  `CREATE TRIGGER no_${change.toLowerCase()} BEFORE ${change} ON entries BEGIN SELECT RAISE(ABORT, 'an entry stands for ever'); END`;

/** The whole schema, statement by statement as sqlite_schema holds it. */
export const SCHEMA: readonly string[] = [
  `CREATE TABLE entries (${columns.join(", ")}) STRICT`,
  "CREATE INDEX entries_by_serial ON entries (product, serial)",
  "CREATE INDEX entries_by_check_value ON entries (checkValue) WHERE checkValue <> ''",
  "CREATE INDEX entries_by_time ON entries (time)",
  "CREATE INDEX reservations ON entries (sequence) WHERE type = 'reserve'",
  refuse("UPDATE"),
  refuse("DELETE"),
  // Also against INSERT OR REPLACE, which would delete without asking the trigger above.
  "CREATE TRIGGER only_next BEFORE INSERT ON entries WHEN " +
    "NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM entries) OR NEW.previous <> " +
    `coalesce((SELECT hash FROM entries ORDER BY sequence DESC LIMIT 1), '${FIRST_PREVIOUS}') ` +
    "BEGIN SELECT RAISE(ABORT, 'an entry comes after the last one'); END",
];

/**
 * The serials in use as runs of numbers, counted up to an entry. All of it follows from the entries: it is made where it is not
 * there, and who takes a serial is held to the entries themselves.
 */
export const DERIVED: readonly string[] = [
  "CREATE TABLE used_runs (product TEXT NOT NULL, head TEXT NOT NULL, digits INTEGER NOT NULL, first INTEGER NOT NULL, " +
    "last INTEGER NOT NULL, PRIMARY KEY (product, head, digits, first)) STRICT, WITHOUT ROWID",
  "CREATE TABLE used_until (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL) STRICT",
];

/** How a ledger is opened: `create` makes a missing one, `read` writes nothing. */
export type Access = "create" | "write" | "read";

/**
 * Open the file of a ledger. A closed one keeps its file descriptor until its statements have been collected. Throws
 * a UsageError where it is none.
 */
export function openDatabase(path: string, access: Access): Database {
  const isNew = !existsSync(path);
  if (isNew) {
    if (access !== "create") throw new UsageError(`there is no ledger ${path}.`);
  } else if (!statSync(path).isFile()) throw new UsageError(`${path} is not a file.`);
  // A journal that a crash left behind is rolled back by whoever opens next, which takes a writer.
  const readOnly = access === "read" && !existsSync(`${path}-journal`);
  let database: Database | undefined;
  try {
    // loaded when a ledger is opened: not for --help
    const sqlite = require("@photostructure/sqlite") as typeof import("@photostructure/sqlite");
    database = new sqlite.DatabaseSync(path, { readOnly, timeout: WAIT_MS });
    database.exec("PRAGMA synchronous = EXTRA; PRAGMA trusted_schema = OFF");
    if (access === "create" && isEmpty(database)) create(database);
    const fault = schemaFault(database);
    if (fault) throw new UsageError(`${path} is not a ledger: ${fault}.`);
    return database;
  } catch (error) {
    database?.close();
    if (isNew) withdrawEmpty(path);
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path} cannot be opened as a ledger: ${fileFault(error)}.`);
  }
}

function isEmpty(database: Database): boolean {
  return schemaOf(database).length === 0 && pragma(database, "application_id") === 0;
}

/** Make the tables, unless another process has just done so. */
function create(database: Database): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    if (isEmpty(database)) {
      for (const statement of SCHEMA) database.exec(statement);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}`);
    }
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

/** Say what makes a database no ledger, or return undefined: every table, index and trigger must be ours to the letter. */
export function schemaFault(database: Database): string | undefined {
  if (pragma(database, "application_id") !== APPLICATION_ID) return "its application id is another";
  const format = pragma(database, "user_version");
  if (format !== FORMAT) return `its format is ${format}, not ${FORMAT}`;
  const found = schemaOf(database).filter((sql) => !DERIVED.includes(sql));
  const wanted = [...SCHEMA].sort();
  const differs = found.length !== wanted.length || found.some((sql, i) => sql !== wanted[i]);
  return differs ? "its tables or triggers are others" : undefined;
}

function schemaOf(database: Database): string[] {
  const rows = database.prepare("SELECT sql FROM sqlite_schema").all() as { sql: string | null }[];
  return rows.map(({ sql }) => String(sql)).sort();
}

function pragma(database: Database, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() as object)[0]);
}

/** Run in one transaction that no other process's comes between; nothing of it stays where it throws. */
export function inTransaction<T>(path: string, database: Database, work: () => T): T {
  try {
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      database.exec("COMMIT");
      return result;
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  } catch (error) {
    if (error instanceof UsageError || error instanceof DeviceError) throw error;
    throw new DeviceError(`the ledger ${path} could not be written: ${fileFault(error)}.`);
  }
}
