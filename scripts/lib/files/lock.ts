// A lock beside a file, that one process at a time holds: an empty SQLite database in an exclusive transaction, so that the
// system's own file locks stand behind it, on every system, and go with the process however it ends. The file stays.
import { existsSync } from "node:fs";
import { DatabaseSync } from "@photostructure/sqlite";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { withdrawEmpty } from "./new_file";

const SQLITE_BUSY = 5;

/** Take the lock of a file, or throw a UsageError with the sentence `held` where another has it. Returns its end. */
export function takeLock(path: string, held: string): () => void {
  const file = `${path}.lock`;
  const isNew = !existsSync(file);
  let database: InstanceType<typeof DatabaseSync> | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec("PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE");
    return database.close.bind(database);
  } catch (error) {
    database?.close();
    const isHeld = (error as { errcode?: number }).errcode === SQLITE_BUSY;
    if (isNew && !isHeld) withdrawEmpty(file);
    throw new UsageError(isHeld ? held : `cannot lock ${path}: ${fileFault(error)}.`);
  }
}
