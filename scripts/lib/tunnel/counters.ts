// The sequence numbers of a tunnel's devices, in one SQLite file, so that no end of this program, and no power cut, repeats one: what is sent under
// a key that never changes must never have a number twice, and what came must never be taken twice. Of what is sent a block is reserved ahead; of what
// came the highest is on the disk before the datagram goes anywhere (synchronous = FULL).
// Leaves out copies: of a file that was put back numbers are used again, so there is one file for the life of the keys.
import { existsSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "@photostructure/sqlite";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { takeLock } from "../files/lock";
import { withdrawEmpty } from "../files/new_file";

const IN_MEMORY = ":memory:"; // as SQLite calls it
/** As many numbers are reserved at a time. */
export const BLOCK = 1_024;
/** The last that is used: what a device takes is a number of 31 bits. */
export const LAST_NUMBER = 0x7fffffff;
/** Numbers below the highest that are remembered one by one (RFC 4303, 3.4.3); at a start none is. */
const WINDOW = 64n;

interface Row {
  received: number;
  reserved: number;
}

export class Counters {
  private readonly database: InstanceType<typeof DatabaseSync>;
  private readonly find: InstanceType<typeof StatementSync>;
  private readonly put: InstanceType<typeof StatementSync>;
  private readonly unlock: () => void;
  private readonly open = new Map<string, Counter>();

  /** Open or make a file; without a path it lives in memory, for tests. Throws UsageError. */
  constructor(path = IN_MEMORY) {
    this.unlock =
      path === IN_MEMORY ? () => {} : takeLock(path, "another tunnel keeps its sequence numbers there.");
    const isNew = path !== IN_MEMORY && !existsSync(path);
    let database: InstanceType<typeof DatabaseSync> | undefined;
    try {
      database = new DatabaseSync(path, { timeout: 1_000 });
      this.database = database;
      this.database.exec(
        `PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS sequence (
           identity TEXT PRIMARY KEY, received INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID;`,
      );
      this.find = this.database.prepare("SELECT received, reserved FROM sequence WHERE identity = ?");
      this.put = this.database.prepare(
        `INSERT INTO sequence VALUES (?, ?, ?)
         ON CONFLICT (identity) DO UPDATE SET received = excluded.received, reserved = excluded.reserved`,
      );
    } catch (error) {
      database?.close();
      if (isNew) withdrawEmpty(path);
      this.unlock();
      throw new UsageError(`the sequence numbers in ${path} cannot be opened: ${fileFault(error)}.`);
    }
  }

  /** Those of one device, by its identity. */
  of(identity: string): Counter {
    let counter = this.open.get(identity);
    if (!counter) {
      const row = this.find.get(identity) as Row | undefined;
      counter = new Counter(row ?? { received: 0, reserved: 0 }, ({ received, reserved }) =>
        this.put.run(identity, received, reserved),
      );
      this.open.set(identity, counter);
    }
    return counter;
  }

  close(): void {
    this.database.close();
    this.unlock();
  }
}

/** The numbers of one device, both ways. */
export class Counter {
  /** As it is on the disk. */
  private readonly row: Row;
  private sent: number;
  /** A bit each of the highest that came, the lowest bit, and those below. */
  private window = (1n << WINDOW) - 1n;

  constructor(
    row: Row,
    private readonly keep: (row: Row) => void,
  ) {
    this.row = { ...row };
    this.sent = row.reserved;
  }

  /** Whether a number may be taken: it is new, and not too old to tell. */
  isNew(number: number): boolean {
    const age = BigInt(this.row.received - number);
    return (
      number > 0 && number <= LAST_NUMBER && (age < 0n || (age < WINDOW && !((this.window >> age) & 1n)))
    );
  }

  /** Note a number that came under a good ICV: the highest is on the disk before this returns. Throws what SQLite throws. */
  accept(number: number): void {
    const ahead = BigInt(number - this.row.received);
    if (ahead > 0n) {
      this.window = ((this.window << (ahead < WINDOW ? ahead : WINDOW)) | 1n) & ((1n << WINDOW) - 1n);
      this.keep({ ...this.row, received: number });
      this.row.received = number;
      // what a device takes is above what it has sent (firmware/store/sequence.ts)
      if (this.sent < number) this.sent = number;
    } else this.window |= 1n << -ahead;
  }

  /** Take the next number to send under, reserved on the disk; undefined: the key is used up. Throws what SQLite throws. */
  next(): number | undefined {
    if (this.sent >= LAST_NUMBER) return undefined;
    const number = this.sent + 1;
    if (number > this.row.reserved) {
      const reserved = number + BLOCK;
      this.keep({ ...this.row, reserved });
      this.row.reserved = reserved;
    }
    this.sent = number;
    return number;
  }
}
