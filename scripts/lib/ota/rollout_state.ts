// The state of a rollout, a file that is only added to: one line of JSON for the plan, then one for each thing that happened,
// each in one write. Whatever ends the program, the next start reads it and goes on; a line that was cut is passed over. One
// program at a time runs the rollout (`lock`), others read it or add to it meanwhile. Times are UTC, ISO 8601, for people.
//   {"rollout":1,"product","sequence","version","digest","stopAt","waitMinutes","rings":[[serial, ...], ...]}
//   {"at","begin":ring}   {"at","published":ring}   {"at","serial","result","code"?}   {"at","end":ring}
//   {"at","heard":serial,"boots","reverted"}   {"at","stopped":why}   {"at","done":true}
// Results: confirmed, failed (code: why), silent. A later line about the same serial holds. `heard` is what a device said of
// itself before it had tried the update.
import { closeSync, existsSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { DeviceError, UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { takeLock } from "../files/lock";
import { PUBLIC, writeNewFile } from "../files/new_file";

/** Value of `rollout` in the plan. */
const FORMAT = 1;
const READ_AT_ONCE = 1 << 20; // bytes

export interface Plan {
  product: string;
  sequence: number;
  version: string;
  /** Of the image, hex. */
  digest: string;
  /** Percent of a ring that may fail or stay silent; more, and the rollout stops. */
  stopAt: number;
  /** How long a ring is waited for; who has said nothing by then is silent. */
  waitMinutes: number;
  /** Serials, ring by ring. */
  rings: string[][];
}

export type Result = "confirmed" | "failed" | "silent";
export type RolloutEvent =
  | { begin: number }
  | { published: number }
  | { end: number }
  | { serial: string; result: Result; code?: number }
  | { heard: string; boots: number; reverted: number }
  | { stopped: string }
  | { done: true };

/** `read` changes nothing; `write` adds lines. */
export type Access = "read" | "write";

export class RolloutState {
  readonly plan: Plan;
  readonly results = new Map<string, { result: Result; code?: number }>();
  readonly heard = new Map<string, { boots: number; reverted: number }>();
  /** When each ring began, milliseconds since 1970, by its number from 0. */
  readonly begun = new Map<number, number>();
  /** When all manifests of each ring were at the broker, alike. */
  readonly published = new Map<number, number>();
  readonly ended = new Set<number>();
  stopped: string | undefined;
  done = false;
  private readonly ringOf = new Map<string, number>();
  private readonly tallies: Record<Result, number>[] = [];
  private readonly descriptor: number;
  /** Bytes of the file that were read: whole lines. */
  private known = 0;

  /** Begin a rollout in a new file. */
  static create(path: string, plan: Plan): RolloutState {
    writeNewFile(path, Buffer.from(`${JSON.stringify({ rollout: FORMAT, ...plan })}\n`), PUBLIC);
    return new RolloutState(path, "write");
  }

  /** Open a rollout. Throws UsageError where the file is none. */
  constructor(
    readonly path: string,
    access: Access,
  ) {
    if (!existsSync(path)) throw new UsageError(`there is no rollout ${path}.`);
    try {
      this.descriptor = openSync(path, access === "read" ? "r" : "a+");
    } catch (error) {
      throw new UsageError(`cannot open the rollout ${path}: ${fileFault(error)}.`);
    }
    const plans: Plan[] = [];
    this.readLines((line) => {
      if (plans.length > 0) this.take(line);
      else plans.push(this.planOf(line));
    });
    this.plan = plans[0] ?? this.planOf("");
  }

  /** Be the one program that runs this rollout, until the returned function is called. Throws UsageError where another is. */
  lock(): () => void {
    const release = takeLock(this.path, `another program runs the rollout ${this.path} already.`);
    this.readBehind();
    return release;
  }

  /** Read the plan, the first line, which all others are about. Throws UsageError where it is none. */
  private planOf(line: string): Plan {
    const { rollout, ...plan } = (parse(line) ?? {}) as Plan & { rollout?: number };
    if (rollout !== FORMAT || !isPlan(plan)) {
      closeSync(this.descriptor);
      throw new UsageError(`${this.path} is no rollout's state of this version.`);
    }
    for (const [ring, serials] of plan.rings.entries()) {
      this.tallies.push({ confirmed: 0, failed: 0, silent: 0 });
      for (const serial of serials) this.ringOf.set(serial, ring);
    }
    return plan;
  }

  private take(line: string): void {
    const event = parse(line) as (RolloutEvent & { at: string }) | undefined;
    if (!event) return;
    const atMs = Date.parse(event.at);
    if ("begin" in event) this.begun.set(event.begin, this.begun.get(event.begin) ?? atMs);
    else if ("published" in event)
      this.published.set(event.published, this.published.get(event.published) ?? atMs);
    else if ("end" in event) this.ended.add(event.end);
    else if ("serial" in event) this.takeResult(event.serial, event.result, event.code);
    else if ("heard" in event) this.heard.set(event.heard, { boots: event.boots, reverted: event.reverted });
    else if ("stopped" in event) this.stopped = event.stopped;
    else if ("done" in event) this.done = true;
  }

  private takeResult(serial: string, result: Result, code?: number): void {
    const tally = this.tallies[this.ringOf.get(serial) ?? -1];
    if (!tally) return;
    const before = this.results.get(serial);
    if (before) tally[before.result]--;
    tally[result]++;
    this.results.set(serial, { result, code });
  }

  /** Add what happened now. What a device's next telemetry would tell again need not be on the disk at once. */
  append(event: RolloutEvent): void {
    this.readBehind();
    // behind a line that was cut
    const isCut = fstatSync(this.descriptor).size > this.known;
    const line = Buffer.from(
      `${isCut ? "\n" : ""}${JSON.stringify({ at: new Date().toISOString(), ...event })}\n`,
    );
    try {
      if (writeSync(this.descriptor, line) !== line.length)
        throw Object.assign(new Error(), { code: "ENOSPC" });
      if (!("serial" in event || "heard" in event)) fsyncSync(this.descriptor);
    } catch (error) {
      throw new DeviceError(
        `cannot write the rollout ${this.path}: ${fileFault(error)}; nothing more goes out, and the same command goes on.`,
      );
    }
    this.readBehind();
  }

  /** Read what was added meanwhile, by this program or another: `stop`. */
  readBehind(): void {
    this.readLines((line) => this.take(line));
  }

  /** Read the whole lines behind those that are known. */
  private readLines(onLine: (line: string) => void): void {
    let rest = Buffer.alloc(0);
    for (let at = this.known; ; ) {
      const left = fstatSync(this.descriptor).size - at;
      if (left <= 0) return;
      const bytes = Buffer.alloc(Math.min(left, READ_AT_ONCE));
      const length = readSync(this.descriptor, bytes, 0, bytes.length, at);
      if (length === 0) return;
      at += length;
      const text = Buffer.concat([rest, bytes.subarray(0, length)]);
      let from = 0;
      for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10, from)) {
        this.known += end + 1 - from;
        onLine(text.toString("utf8", from, end));
        from = end + 1;
      }
      rest = text.subarray(from);
    }
  }

  /** The serials of a ring that have no result, or are silent. */
  open(ring: number): string[] {
    return this.plan.rings[ring].filter(
      (serial) => (this.results.get(serial)?.result ?? "silent") === "silent",
    );
  }

  /** How many of a ring have each result; `open` have none. */
  counts(ring: number): Record<Result | "open", number> {
    const tally = this.tallies[ring];
    const open = this.plan.rings[ring].length - tally.confirmed - tally.failed - tally.silent;
    return { ...tally, open };
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

function parse(line: string): unknown {
  try {
    const parsed = JSON.parse(line);
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isPlan(plan: Plan): boolean {
  const { product, sequence, version, digest, stopAt, waitMinutes, rings } = plan;
  return (
    [product, version, digest].every((text) => typeof text === "string") &&
    [sequence, stopAt, waitMinutes].every((number) => typeof number === "number") &&
    Array.isArray(rings) &&
    rings.every((ring) => Array.isArray(ring) && ring.every((serial) => typeof serial === "string"))
  );
}
