// The state of a rollout, a file that is only added to: one line of JSON for the plan, then one for each thing that happened.
// Whatever ends the program, the next start reads it and goes on; a line that was cut is dropped. Times are UTC, ISO 8601.
//   {"rollout":1,"product","sequence","version","digest","stopAt","waitMinutes","rings":[[serial, ...], ...]}
//   {"at","begin":ring}   {"at","published":ring}   {"at","serial","result","code"?}   {"at","end":ring}
//   {"at","stopped":why}   {"at","done":true}
// Results: confirmed, failed (code: why), silent. A later line about the same serial holds.
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../files/fault";
import { PUBLIC, writeNewFile } from "../files/new_file";

/** Value of `rollout` in the plan. */
const FORMAT = 1;

export interface Plan {
  product: string;
  sequence: number;
  version: string;
  /** Of the image, hex. */
  digest: string;
  /** Percent of a ring that may fail; more, and the rollout stops. */
  stopAt: number;
  /** How long a ring is waited for; who has said nothing by then is silent, and counts as failed. */
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
  | { stopped: string }
  | { done: true };

export class RolloutState {
  readonly plan: Plan;
  readonly results = new Map<string, { result: Result; code?: number }>();
  /** When each ring began, milliseconds since 1970, by its number from 0. */
  readonly begun = new Map<number, number>();
  /** When all manifests of each ring were at the broker, alike. */
  readonly published = new Map<number, number>();
  readonly ended = new Set<number>();
  stopped: string | undefined;
  done = false;
  private readonly descriptor: number;
  /** Bytes of the file that were read or written here. */
  private known = 0;

  /** Begin a rollout in a new file. */
  static create(path: string, plan: Plan): RolloutState {
    writeNewFile(path, Buffer.from(`${JSON.stringify({ rollout: FORMAT, ...plan })}\n`), PUBLIC);
    return new RolloutState(path);
  }

  /** Open a rollout. Throws UsageError where the file is none. */
  constructor(readonly path: string) {
    if (!existsSync(path)) throw new UsageError(`there is no rollout ${path}.`);
    try {
      this.descriptor = openSync(path, "r+");
    } catch (error) {
      throw new UsageError(`cannot open the rollout ${path}: ${fileFault(error)}.`);
    }
    const text = readFileSync(path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const [first, ...lines] = whole.split("\n");
    const plan = parse(first) as (Plan & { rollout: number }) | undefined;
    if (plan?.rollout !== FORMAT || !isPlan(plan)) {
      closeSync(this.descriptor);
      throw new UsageError(`${path} is no rollout's state of this version.`);
    }
    const { rollout: _, ...rest } = plan;
    this.plan = rest;
    for (const line of lines) this.read(line);
    this.known = Buffer.byteLength(whole);
    if (whole.length < text.length) ftruncateSync(this.descriptor, this.known);
  }

  private read(line: string): void {
    const event = parse(line) as (RolloutEvent & { at: string }) | undefined;
    if (event) this.apply(event, Date.parse(event.at));
  }

  private apply(event: RolloutEvent, atMs: number): void {
    if ("begin" in event) this.begun.set(event.begin, this.begun.get(event.begin) ?? atMs);
    else if ("published" in event)
      this.published.set(event.published, this.published.get(event.published) ?? atMs);
    else if ("end" in event) this.ended.add(event.end);
    else if ("serial" in event) this.results.set(event.serial, { result: event.result, code: event.code });
    else if ("stopped" in event) this.stopped = event.stopped;
    else if ("done" in event) this.done = true;
  }

  /** Add what happened now. What a device's next telemetry would tell again need not be on the disk at once. */
  append(event: RolloutEvent): void {
    const at = new Date();
    const line = Buffer.from(`${JSON.stringify({ at: at.toISOString(), ...event })}\n`);
    this.readBehind();
    for (let done = 0; done < line.length; )
      done += writeSync(this.descriptor, line, done, line.length - done, this.known + done);
    this.known += line.length;
    if (!("serial" in event)) fsyncSync(this.descriptor);
    this.apply(event, at.getTime());
  }

  /** Read what another program has added meanwhile: `stop`. */
  readBehind(): void {
    const length = fstatSync(this.descriptor).size - this.known;
    if (length <= 0) return;
    const bytes = Buffer.alloc(length);
    const text = bytes.toString("utf8", 0, readSync(this.descriptor, bytes, 0, length, this.known));
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    for (const line of whole.split("\n")) this.read(line);
    this.known += Buffer.byteLength(whole);
  }

  /** The serials of a ring that have no result, or are silent. */
  open(ring: number): string[] {
    return this.plan.rings[ring].filter(
      (serial) => (this.results.get(serial)?.result ?? "silent") === "silent",
    );
  }

  /** How many of a ring have each result; `open` have none. */
  counts(ring: number): Record<Result | "open", number> {
    const counts = { confirmed: 0, failed: 0, silent: 0, open: 0 };
    for (const serial of this.plan.rings[ring]) counts[this.results.get(serial)?.result ?? "open"]++;
    return counts;
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function isPlan(plan: Plan): boolean {
  const { product, sequence, digest, stopAt, waitMinutes, rings } = plan;
  return (
    [product, digest].every((text) => typeof text === "string") &&
    [sequence, stopAt, waitMinutes].every((number) => typeof number === "number") &&
    Array.isArray(rings) &&
    rings.every((ring) => Array.isArray(ring) && ring.every((serial) => typeof serial === "string"))
  );
}
