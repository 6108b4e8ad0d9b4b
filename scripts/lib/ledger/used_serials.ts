// The serials in use, kept in the ledger as runs of numbers, so that the next free one is found at once however long the ledger is.
// They follow from the entries and are counted on from where they were counted last.
// Leaves out: whether a serial may be taken (ledger.ts asks the entries), and serials that are no number (keys/serials.ts).
import { type Numbered, numbered } from "../keys/serials";
import { type Database, DERIVED, inTransaction } from "./database";

interface Run {
  first: number;
  last: number;
}

export interface UsedSerials {
  /** The run of serials in use that a serial lies in. */
  runAround(product: string, at: Numbered): Run | undefined;
}

/** Count on, and give the runs. Throws DeviceError where the file cannot be written. */
export function usedSerials(path: string, database: Database): UsedSerials {
  const isMade = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'used_until'").get();
  if (!isMade || countedUntil(database) !== lastSequence(database))
    inTransaction(path, database, () => countOn(database));
  const before = runBefore(database);
  return {
    runAround(product, { head, digits, number }) {
      const run = before.get(product, head, digits, number) as Run | undefined;
      return run && run.last >= number ? run : undefined;
    },
  };
}

function countedUntil(database: Database): number {
  const row = database.prepare("SELECT sequence FROM used_until").get() as { sequence: number } | undefined;
  return row?.sequence ?? 0;
}

function lastSequence(database: Database): number {
  const row = database.prepare("SELECT max(sequence) AS last FROM entries").get() as { last: number | null };
  return row.last ?? 0;
}

/** The last run that begins at a number or before it. */
function runBefore(database: Database) {
  return database.prepare(
    "SELECT first, last FROM used_runs WHERE product = ? AND head = ? AND digits = ? AND first <= ? ORDER BY first DESC LIMIT 1",
  );
}

function countOn(database: Database): void {
  if (!database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'used_until'").get())
    for (const statement of DERIVED) database.exec(statement);
  const before = runBefore(database);
  const remove = database.prepare(
    "DELETE FROM used_runs WHERE product = ? AND head = ? AND digits = ? AND first BETWEEN ? AND ?",
  );
  const insert = database.prepare("INSERT INTO used_runs VALUES (?, ?, ?, ?, ?)");
  /** Add a run to those that it touches. */
  const add = (product: string, { head, digits, number }: Numbered, last: number) => {
    const key = [product, head, digits] as const;
    const left = before.get(...key, number) as Run | undefined;
    const right = before.get(...key, last + 1) as Run | undefined;
    const from = left && left.last >= number - 1 ? left.first : number;
    remove.run(...key, from, last + 1);
    insert.run(...key, from, Math.max(last, right?.last ?? last));
  };
  const fresh = database
    .prepare(
      "SELECT DISTINCT product, serial FROM entries WHERE sequence > ? AND type IN ('begin', 'scrap') ORDER BY product, serial",
    )
    .all(countedUntil(database)) as { product: string; serial: string }[];
  // Most of them follow one another, in the order of their text as in that of their numbers.
  let run: { product: string; first: Numbered; last: number } | undefined;
  for (const { product, serial } of fresh) {
    const at = numbered(serial);
    if (!at) continue;
    const { head, digits } = run?.first ?? {};
    if (run?.product === product && head === at.head && digits === at.digits && run.last === at.number - 1)
      run.last++;
    else {
      if (run) add(run.product, run.first, run.last);
      run = { product, first: at, last: at.number };
    }
  }
  if (run) add(run.product, run.first, run.last);
  database.prepare("INSERT OR REPLACE INTO used_until VALUES (1, ?)").run(lastSequence(database));
}
