// The bench's ledger: append-only, each entry chained to the one before (ledger/entry.ts), in one SQLite file that the
// processes of several benches share (ledger/database.ts). It decides what may follow: a serial belongs to one chip, a
// scrapped one comes never again, a reserved one is its station's alone. A bench without the network has a ledger of
// its own, which begins with its reservation and takes no serial outside it; merge() takes its entries over later.
// Leaves out: the chain's check (ledger/verify.ts) and what is counted (ledger/report.ts).
import { existsSync, rmSync } from "node:fs";
import type { Ledger, LedgerEntry, LedgerUnit, Yield } from "../bench/interfaces";
import { UsageError } from "../cli/exit";
import { checkRange, isInRange, numbered, overlap, type Range, serialOf, serialsOf } from "../keys/serials";
import { type Access, type Database, inTransaction, openDatabase } from "./database";
import { COLUMN_NAMES, checkRow, FIRST_PREVIOUS, type Fields, type Row, rowHash, rowOf } from "./entry";
import { localMidnight } from "./report";
import { usedSerials } from "./used_serials";
import { type Anchor, ENTRIES_IN_ORDER, verifyLedger } from "./verify";

/** Open a ledger; one that is not there is made, unless `access` says otherwise. */
export function openLedger(path: string, access: Access = "create"): LedgerFile {
  return new LedgerFile(path, openDatabase(path, access));
}

/** The reason of a reservation that lives on in another ledger. */
const OFFLINE = "offline";

/** Today's numbers of one station as far as they have been counted: each unit's last result. */
interface Today {
  station: string;
  since: string;
  /** The last entry that was counted. */
  sequence: number;
  results: Map<string, boolean>;
}

/** A range that a station holds, as its entry has it. */
type Reservation = Pick<
  Row,
  "product" | "serial" | "lastSerial" | "reservedFor" | "reason" | "hash" | "origin"
>;

/** A ledger in its file; every call is synchronous. A refusal is a UsageError, and nothing is written. */
export class LedgerFile implements Ledger {
  private readonly insert;
  private readonly last;
  private readonly ofSerial;
  private readonly reservations;
  private counted: Today | undefined;

  constructor(
    readonly path: string,
    private readonly database: Database,
  ) {
    const names = COLUMN_NAMES.join(", ");
    this.insert = database.prepare(
      `INSERT INTO entries (${names}) VALUES (${COLUMN_NAMES.map(() => "?").join(", ")})`,
    );
    this.last = database.prepare("SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1");
    this.ofSerial = database.prepare(
      "SELECT * FROM entries WHERE product = ? AND serial = ? AND type <> 'reserve' ORDER BY sequence",
    );
    this.reservations = database.prepare(
      "SELECT product, serial, lastSerial, reservedFor, reason, hash, origin FROM entries WHERE type = 'reserve' ORDER BY sequence",
    );
  }

  /** Append one entry; it is on the disk when this returns. */
  append(entry: LedgerEntry): void {
    const fields = rowOf(entry, new Date());
    inTransaction(this.path, this.database, () => {
      this.refuse(fields);
      this.add(fields, "");
    });
  }

  /** What is known of a serial; a run that failed before the serial was bound to a chip is nothing. */
  unit(product: string, serial: string): LedgerUnit | undefined {
    const rows = this.ofSerial.all(product, serial) as unknown as Row[];
    const begun = rows.findLast((row) => row.type === "begin");
    const scrapped = rows.some((row) => row.type === "scrap");
    if (!begun && !scrapped) return undefined;
    const passed = rows.findLast((row) => row.type === "unit" && row.result === "pass");
    const keyed = passed ?? begun;
    return {
      serial,
      product,
      chip: begun?.chip ?? "",
      keyVersion: keyed?.keyVersion ?? 0,
      checkValue: keyed?.checkValue ?? "",
      state: scrapped ? "scrapped" : passed ? "passed" : "begun",
      imageDigest: rows.findLast((row) => row.imageDigest !== "")?.imageDigest ?? "",
    };
  }

  /** The station that alone may use a serial; one with a ledger of its own is said to be offline, and may not here. */
  reservedFor(product: string, serial: string): string | undefined {
    const row = this.reservation(product, serial);
    return row && this.holderOf(row);
  }

  private holderOf(row: Reservation): string {
    return row.reason === OFFLINE && !this.isOffline()
      ? `${row.reservedFor}, which is offline`
      : row.reservedFor;
  }

  serialWithCheckValue(
    product: string,
    checkValue: string,
    keyVersion: number,
    except = "",
  ): string | undefined {
    const row = this.database
      .prepare(
        "SELECT serial FROM entries WHERE checkValue = ? AND product = ? AND keyVersion = ? AND serial <> ? LIMIT 1",
      )
      .get(checkValue.toUpperCase(), product, keyVersion, except) as { serial: string } | undefined;
    return row?.serial;
  }

  /** Units of today by their last result. Each call counts the entries that are new since the one before. */
  today(station: string): Yield {
    const since = localMidnight(new Date()).toISOString();
    if (this.counted?.station !== station || this.counted.since !== since)
      this.counted = { station, since, sequence: this.lastBefore(since), results: new Map() };
    const { results } = this.counted;
    const { sequence: head } = this.head();
    const rows = this.database
      .prepare(
        "SELECT product, serial, result FROM entries WHERE sequence > ? AND sequence <= ? AND time >= ? AND station = ? " +
          "AND type = 'unit' ORDER BY sequence",
      )
      .all(this.counted.sequence, head, since, station) as Pick<Row, "product" | "serial" | "result">[];
    for (const { product, serial, result } of rows) results.set(`${product}/${serial}`, result === "pass");
    this.counted.sequence = head;
    const passed = [...results.values()].filter(Boolean).length;
    return { passed, failed: results.size - passed };
  }

  /** The serials of a range that a station may begin: not begun, not scrapped, not reserved for another; in order. */
  *freeSerials(product: string, station: string, range: Range): Generator<string> {
    const others = this.ranges(product)
      .filter((row) => this.holderOf(row) !== station)
      .map(rangeOf);
    const [first, last] = [numbered(range.first), numbered(range.last)];
    if (!first || !last) {
      for (const serial of serialsOf(range))
        if (!this.unit(product, serial) && !others.some((other) => isInRange(serial, other))) yield serial;
      return;
    }
    const used = usedSerials(this.path, this.database);
    for (let at = first; at.number <= last.number; at = { ...at, number: at.number + 1 }) {
      const serial = serialOf(at);
      const other = others.find((each) => isInRange(serial, each));
      const end = other ? numbered(other.last)?.number : used.runAround(product, at)?.last;
      if (end === undefined) yield serial;
      else at = { ...at, number: end };
    }
  }
  close(): void {
    this.database.close();
  }

  /** Number and hash of the last entry: what to note elsewhere as an anchor. */
  head(): Anchor {
    return (this.last.get() as Anchor | undefined) ?? { sequence: 0, hash: FIRST_PREVIOUS };
  }

  /** The entries from `since` to before `until`, of one station or of all. */
  *entries(filter: { since?: Date; until?: Date; station?: string } = {}): Generator<Row> {
    const rows = this.database
      .prepare(
        "SELECT * FROM entries WHERE time >= ? AND time < ? AND (? = '' OR station = ?) ORDER BY sequence",
      )
      .iterate(
        filter.since?.toISOString() ?? "",
        filter.until?.toISOString() ?? "9999",
        filter.station ?? "",
        filter.station ?? "",
      );
    for (const row of rows) yield row as unknown as Row;
  }

  /** Whether this is the ledger of a bench without the network, which begins with another ledger's reservation. */
  isOffline(): boolean {
    const first = this.database.prepare("SELECT origin FROM entries WHERE sequence = 1").get();
    return Boolean((first as { origin: string } | undefined)?.origin);
  }

  /**
   * Reserve a range for a station, and where `into` names a file, note it in that station's own ledger, which is made
   * if it is not there. The range can then be used nowhere else any more.
   */
  reserve(
    range: Range & { product: string; reservedFor: string; who: string; station: string },
    into?: string,
  ): void {
    if (this.isOffline())
      throw new UsageError(`${this.path} lives on reservations itself and can give none.`);
    const fields = rowOf(
      {
        type: "reserve",
        who: range.who,
        station: range.station,
        fixture: 0,
        serial: range.first,
        lastSerial: range.last,
        reservedFor: range.reservedFor,
        product: range.product,
        chip: "",
        operation: "reserve",
        imageDigest: "",
        keyVersion: 0,
        checkValue: "",
        result: "reserved",
        ...(into === undefined ? {} : { reason: OFFLINE }),
        seconds: 0,
      },
      new Date(),
    );
    const isNew = into !== undefined && !existsSync(into);
    const offline = into === undefined ? undefined : openLedger(into);
    try {
      if (offline && offline.head().sequence > 0 && !offline.belongsTo(this))
        throw new UsageError(`${into} is no ledger of an offline bench that began with this one.`);
      const hash = inTransaction(this.path, this.database, () => {
        this.refuse(fields);
        return this.add(fields, "");
      });
      // In this order: what is cut in between is a range that nobody uses, not one that two benches use.
      if (offline) inTransaction(offline.path, offline.database, () => offline.add(fields, hash));
    } catch (error) {
      // An empty ledger would take every serial.
      if (isNew) rmSync(into);
      throw error;
    } finally {
      offline?.close();
    }
  }

  /** Take over the entries of an offline bench's ledger that are not here yet; all or none. */
  merge(path: string): { added: number; known: number } {
    const { faults } = verifyLedger(path);
    if (faults.length) throw new UsageError(`${path} does not verify: ${faults[0]}.`);
    const offline = openLedger(path, "read");
    try {
      if (!offline.belongsTo(this))
        throw new UsageError(`${path} is no ledger of an offline bench that began with this one.`);
      // every one of them, whatever its time says
      const rows = offline.database.prepare(ENTRIES_IN_ORDER).all() as unknown as Row[];
      return inTransaction(this.path, this.database, () => this.takeOver(path, rows));
    } finally {
      offline.close();
    }
  }

  private takeOver(path: string, rows: Row[]): { added: number; known: number } {
    const own = rows.filter((row) => row.origin === "");
    const merged = this.database
      .prepare("SELECT product, serial, origin FROM entries WHERE origin <> ''")
      .all() as Pick<Row, "product" | "serial" | "origin">[];
    const origins = new Set(merged.map((row) => row.origin));
    const known = own.filter((row) => origins.has(row.hash)).length;
    const ranges = rows.filter((row) => row.type === "reserve");
    const before = merged.filter((row) =>
      ranges.some((range) => range.product === row.product && isInRange(row.serial, rangeOf(range))),
    );
    if (before.length !== known || own.slice(0, known).some((row) => !origins.has(row.hash)))
      throw new UsageError(`${path} has lost entries that were merged from it before.`);
    for (const row of own.slice(known)) {
      try {
        this.add(this.mergeable(row), row.hash);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        throw new UsageError(`${path}, entry ${row.sequence}: ${error.message} Nothing was taken over.`);
      }
    }
    return { added: own.length - known, known };
  }

  /** Hold an entry of an offline bench to what append() holds its own to. Throws UsageError. */
  private mergeable(row: Row): Fields {
    const fields = checkRow(row);
    if (fields.type === "reserve") throw new UsageError("an offline bench gives no ranges.");
    const holder = this.reservation(row.product, row.serial)?.reservedFor;
    if (holder !== row.station) throw new UsageError(`${row.serial} is not reserved for ${row.station}.`);
    this.refuse(fields, holder);
    return fields;
  }

  /** Whether each reservation here was made by that ledger, and there is one. */
  private belongsTo(main: LedgerFile): boolean {
    const hashes = new Set((main.reservations.all() as unknown as Reservation[]).map((row) => row.hash));
    const own = this.reservations.all() as unknown as Reservation[];
    return own.length > 0 && own.every((row) => hashes.has(row.origin));
  }

  /** The last entry before the first of a day. */
  private lastBefore(since: string): number {
    const row = this.database
      .prepare("SELECT min(+sequence) AS first FROM entries WHERE time >= ?")
      .get(since);
    return ((row as { first: number | null }).first ?? this.head().sequence + 1) - 1;
  }

  /**
   * Throw a UsageError where an entry must not follow what is there. Runs inside the entry's transaction. `holder`: who may use
   * the serial.
   */
  private refuse(fields: Fields, holder = this.reservedFor(fields.product, fields.serial)): void {
    if (fields.type === "reserve") return this.refuseReservation(fields);
    const { type, product, serial, station } = fields;
    const unit = this.unit(product, serial);
    const { keyVersion, checkValue } = fields;
    // What goes wrong is written down even of a scrapped unit, and of a serial that is not bound to a chip yet.
    const isFailure = type === "unit" && fields.result === "fail";
    if (unit?.state === "scrapped" && !isFailure) throw new UsageError(`${serial} is scrapped, for ever.`);
    if (holder === undefined && this.isOffline())
      throw new UsageError(`${serial} is not reserved for ${station}, which is offline.`);
    if (holder !== undefined && holder !== station && (type !== "scrap" || this.isOffline()))
      throw new UsageError(`${serial} is reserved for ${holder}.`);
    if (type === "scrap" || isFailure) return;
    if (type === "unit" && !unit) throw new UsageError(`${serial} was never begun.`);
    if (unit && keyVersion < unit.keyVersion)
      throw new UsageError(`${serial} has key version ${unit.keyVersion} already, and none goes back.`);
    if (!unit) return;
    // A run's end may not know the chip: a locked device does not tell it.
    if (unit.chip && unit.chip !== fields.chip && (type === "begin" || fields.chip))
      throw new UsageError(`${serial} belongs to another unit, whose chip is ${unit.chip}.`);
    if (type !== "begin") return;
    const sameVersion = unit.state === "passed" && keyVersion === unit.keyVersion;
    if (sameVersion && checkValue && checkValue !== unit.checkValue)
      throw new UsageError(
        `${serial} has the keys ${unit.checkValue} of version ${unit.keyVersion}, and now it would get ` +
          `${checkValue}: these keys come from another master.`,
      );
  }

  private refuseReservation(fields: Fields): void {
    const range = checkRange(rangeOf(fields));
    const taken = this.ranges(fields.product).find((row) => overlap(rangeOf(row), range));
    if (taken)
      throw new UsageError(
        `${taken.serial}..${taken.lastSerial} is reserved for ${taken.reservedFor} already.`,
      );
    const used = this.database
      .prepare(
        "SELECT DISTINCT serial FROM entries WHERE product = ? AND serial BETWEEN ? AND ? AND type IN ('begin', 'scrap')",
      )
      .all(fields.product, range.first, range.last) as { serial: string }[];
    const inside = used.find(({ serial }) => isInRange(serial, range));
    if (inside) throw new UsageError(`${inside.serial} of this range has been used already.`);
  }

  private reservation(product: string, serial: string): Reservation | undefined {
    return this.ranges(product).find((row) => isInRange(serial, rangeOf(row)));
  }

  private ranges(product: string): Reservation[] {
    return (this.reservations.all() as unknown as Reservation[]).filter((row) => row.product === product);
  }

  /** Chain an entry to the last one; returns its hash. */
  private add(fields: Fields, origin: string): string {
    const head = this.head();
    const row = { sequence: head.sequence + 1, ...fields, origin, previous: head.hash };
    const hash = rowHash(row);
    this.insert.run(...COLUMN_NAMES.map((name) => ({ ...row, hash })[name]));
    return hash;
  }
}

function rangeOf(row: Pick<Row, "serial" | "lastSerial">): Range {
  return { first: row.serial, last: row.lastSerial };
}
