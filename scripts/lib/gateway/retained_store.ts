// Retained messages in one SQLite file, so that they outlive the gateway and cost no memory. SQLite because the project has
// it already (the bench's ledger), because it is one file that a power cut leaves whole, and because a device's quota is a
// query; aedes-persistence-level would bring a second store that can do less.
// Messages that come in one turn of the event loop are written in one transaction, and each is acknowledged when that is on
// the disk (synchronous = FULL).
// Leaves out: sessions and wills, which end with their connections here.
import { existsSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "@photostructure/sqlite";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { takeLock } from "../files/lock";
import { withdrawEmpty } from "../files/new_file";
import { matches } from "./topics";

export interface Retained {
  topic: string;
  payload: Buffer;
  qos: 0 | 1;
  /** The device's client id, or "" for the operator's. */
  owner: string;
}

interface Waiting extends Retained {
  resolve(): void;
  reject(error: Error): void;
}

const IN_MEMORY = ":memory:"; // as SQLite calls it
const PAGE = 256; // messages read at once

export class RetainedStore {
  private readonly database: InstanceType<typeof DatabaseSync>;
  private readonly statements: Record<
    "put" | "remove" | "get" | "count" | "page",
    InstanceType<typeof StatementSync>
  >;
  private readonly unlock: () => void;
  private waiting: Waiting[] = [];
  private isDue = false;

  /** Open or make a store; without a path it lives in memory. Throws UsageError. */
  constructor(path = IN_MEMORY) {
    this.unlock =
      path === IN_MEMORY ? () => {} : takeLock(path, "another gateway keeps its retained messages there.");
    const isNew = path !== IN_MEMORY && !existsSync(path);
    let database: InstanceType<typeof DatabaseSync> | undefined;
    try {
      database = new DatabaseSync(path, { timeout: 1_000 });
      this.database = database;
      this.database.exec(
        `PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS retained (
           topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS retained_owner ON retained (owner) WHERE owner <> '';`,
      );
      this.statements = {
        put: this.database.prepare(
          "INSERT INTO retained VALUES (?, ?, ?, ?) ON CONFLICT (topic) DO UPDATE SET payload = excluded.payload, qos = excluded.qos, owner = excluded.owner",
        ),
        remove: this.database.prepare("DELETE FROM retained WHERE topic = ?"),
        get: this.database.prepare("SELECT topic, payload, qos, owner FROM retained WHERE topic = ?"),
        count: this.database.prepare(
          "SELECT count(*) AS count FROM retained WHERE owner = ? AND owner <> ''",
        ),
        page: this.database.prepare(
          `SELECT topic, payload, qos, owner FROM retained WHERE topic > ? AND topic < ? ORDER BY topic LIMIT ${PAGE}`,
        ),
      };
    } catch (error) {
      database?.close();
      if (isNew) withdrawEmpty(path);
      this.unlock();
      throw new UsageError(`the retained messages in ${path} cannot be opened: ${fileFault(error)}.`);
    }
  }

  /** Retain a message; an empty payload takes it away. Resolves when it is written. */
  put(message: Retained): Promise<void> {
    const { payload, qos } = message;
    const there = this.waiting.length ? undefined : this.get(message.topic);
    if (there ? there.qos === qos && there.payload.equals(payload) : !payload.length && !this.waiting.length)
      return Promise.resolve(); // it stands there as it is
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...message, resolve, reject });
      if (this.isDue) return;
      this.isDue = true;
      setImmediate(() => this.write());
    });
  }

  private write(): void {
    const batch = this.waiting;
    this.waiting = [];
    this.isDue = false;
    if (!batch.length) return;
    try {
      this.database.exec("BEGIN");
      for (const { topic, payload, qos, owner } of batch)
        if (payload.length) this.statements.put.run(topic, payload, qos, owner);
        else this.statements.remove.run(topic);
      this.database.exec("COMMIT");
    } catch (error) {
      try {
        this.database.exec("ROLLBACK");
      } catch {} // there was no transaction left
      for (const { reject } of batch) reject(error as Error);
      return;
    }
    for (const { resolve } of batch) resolve();
  }

  get(topic: string): Retained | undefined {
    const row = this.statements.get.get(topic) as (Retained & { payload: Uint8Array }) | undefined;
    return row && { ...row, payload: Buffer.from(row.payload) };
  }

  /** How many topics a device retains a message on. */
  count(owner: string): number {
    return Number((this.statements.count.get(owner) as { count: number }).count);
  }

  /** All that match one of the filters, in the order of their topics; read page by page while others write. */
  *match(filters: readonly string[]): Generator<Retained> {
    for (const filter of filters) {
      if (!/[+#]/.test(filter)) {
        const one = this.get(filter);
        if (one) yield one;
        continue;
      }
      const prefix = filter.slice(0, filter.search(/[+#]/));
      // `a/#` takes `a` as well (MQTT 3.1.1, 4.7.1.2); pages begin after the prefix itself.
      const parent = filter.endsWith("/#") ? [prefix.slice(0, -1)] : [];
      for (const topic of [...parent, prefix]) {
        const one = topic && matches(filter, topic) ? this.get(topic) : undefined;
        if (one) yield one;
      }
      let after = prefix;
      for (;;) {
        const page = this.statements.page.all(after, `${prefix}\u{10ffff}`) as (Retained & {
          payload: Uint8Array;
        })[];
        for (const row of page)
          if (matches(filter, row.topic)) yield { ...row, payload: Buffer.from(row.payload) };
        if (page.length < PAGE) break;
        after = page[page.length - 1].topic;
      }
    }
  }

  close(): void {
    this.write();
    this.database.close();
    this.unlock();
  }
}
