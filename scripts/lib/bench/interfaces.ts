// What the bench's parts say to each other, types only: the engine emits events and takes commands, the terminal's
// view and the operators' page are listeners; the ledger, the labels and the keys come in through theirs (KeySource of custody/master.ts).
// Nothing here ever carries a key. Leaves out how a device is spoken to (prompt.ts, line_protocol.ts).

// ------------------------------------------------------------------------------------------------ the steps

/** The steps of a unit, in their order. What of it is done, the device says (steps.ts). */
export const STEPS = [
  "detect",
  "flash",
  "verify",
  "self-test",
  "write-keys",
  "prove",
  "lock",
  "ledger",
  "label",
] as const;
export type StepName = (typeof STEPS)[number];

/** What is done to a unit. A scrap needs no device: it is a command of its own. */
export const OPERATIONS = ["provision", "rework", "rekey"] as const;
export type Operation = (typeof OPERATIONS)[number];

// ------------------------------------------------------------------------------------------------ fixtures

/**
 * A fixture's state. `empty`: nothing plugged in; `detecting`: asked who it is; `ready`: a device is there and waits
 * for a serial or for the start; `running`: at `step`; `passed`, `failed`: until it is unplugged or started again.
 */
export type FixtureState = "empty" | "detecting" | "ready" | "running" | "passed" | "failed";

/** A fixture as it stands: all that a tile shows. */
export interface FixtureView {
  /** Number from 1, in the order of the command line; ports found later come after. */
  fixture: number;
  /** `/dev/ttyUSB0` or `tcp://127.0.0.1:2323`. */
  port: string;
  state: FixtureState;
  operation: Operation;
  /** Scanned, or told by the device itself. */
  serial?: string;
  /** The device's own id (process.env.SERIAL). */
  chip?: string;
  /** While running and when failed: at which step. */
  step?: StepName;
  /** 0 to 1 over all steps. */
  progress: number;
  /** Seconds since the start; stands still at the end. */
  seconds: number;
  /** When failed: a word of FAILURES for machines, and a sentence for people. */
  failure?: Failure;
  /** When passed: the four check values, 24 hex digits (the first six are the psk key's); key version. */
  checkValue?: string;
  keyVersion?: number;
}

/** Why a fixture failed: `code` is a fixed word, `text` a sentence. */
export interface Failure {
  code: FailureCode;
  text: string;
}

export const FAILURES = {
  "no-answer": "nothing on the port answers",
  unplugged: "the device went away",
  "wrong-board": "the device is another board",
  "flash-failed": "the bundle did not reach the flash",
  "digest-differs": "what was read back is not the bundle",
  "self-test-failed": "the device failed its own test",
  "keys-refused": "the device did not take the keys",
  "keys-differ": "the device holds other keys than this serial's",
  "proof-wrong": "the device did not prove its keys",
  "not-locked": "the raw prompt still answers",
  "serial-taken": "the serial belongs to another unit",
  "other-serial": "the device is another serial",
  scrapped: "the serial is scrapped",
  "bad-key": "the key source has no good key for the serial",
  ledger: "the ledger could not be written",
  label: "the label could not be written",
  internal: "the bench itself failed",
} as const;
export type FailureCode = keyof typeof FAILURES;

// ------------------------------------------------------------------------------------------------- events

/** The stream: each is one JSON object a line under `--json`, and one message to the page. */
export type BenchEvent =
  /** Once, and to each new listener: everything as it stands. */
  | ({ kind: "bench" } & BenchView)
  /** A fixture changed: its whole view, at most 10 a second for a fixture while only `progress` moves. */
  | ({ kind: "fixture" } & FixtureView)
  /** A step of a fixture ended. `skipped`: the device said that it was done already. */
  | {
      kind: "step";
      fixture: number;
      serial?: string;
      step: StepName;
      result: "done" | "skipped" | "failed";
      seconds: number;
      failure?: Failure;
    }
  /** A unit ended. */
  | {
      kind: "result";
      fixture: number;
      serial: string;
      operation: Operation;
      result: "pass" | "fail";
      seconds: number;
      step?: StepName;
      failure?: Failure;
      checkValue?: string;
      keyVersion?: number;
    }
  /** A serial was scrapped, a scan refused: a sentence to show beside the scan field. */
  | { kind: "notice"; level: "info" | "error"; text: string }
  /** Today's numbers, after each result. */
  | ({ kind: "yield" } & Yield);

export interface Yield {
  /** Units of today (local time) that ended, by their last result. */
  passed: number;
  failed: number;
}

export interface BenchView {
  station: string;
  who: string;
  product: string;
  board: string;
  /** Digest of the firmware (scripts/lib/ota/digest.ts), hex. */
  imageDigest: string;
  operation: Operation;
  fixtures: FixtureView[];
  today: Yield;
}

// ------------------------------------------------------------------------------------------------ commands

/**
 * What an operator can do. `scan`: a serial for `fixture`, or for the first that is ready and has none. `start`: all
 * that are ready with a serial, or one. `scrap`: for ever. `operation`: for what starts from now on.
 */
export type BenchCommand =
  | { command: "scan"; serial: string; fixture?: number }
  | { command: "start"; fixture?: number }
  | { command: "scrap"; serial: string; reason: string }
  | { command: "operation"; operation: Operation }
  /** Take back a scanned serial that has not been started. */
  | { command: "clear"; fixture: number };

/** What the page and the terminal hold of the bench. */
export interface BenchApi {
  view(): BenchView;
  /** Do it. A refusal throws a UsageError with a sentence; nothing was changed. */
  command(command: BenchCommand): void;
  /** Get every event from now on, a `bench` event first. Returns the unsubscriber. */
  subscribe(listener: (event: BenchEvent) => void): () => void;
}

// ------------------------------------------------------------------------------------------ ledger, labels

/** One entry as the bench gives it; the ledger adds number, time and hashes. */
export interface LedgerEntry {
  /** `begin`: a serial is bound to a chip, right before its keys are written. `unit`: a run's end. */
  type: "begin" | "unit" | "scrap" | "reserve";
  who: string;
  station: string;
  /** 0 where no fixture is meant (scrap, reserve). */
  fixture: number;
  /** For `reserve`: the first of the range. */
  serial: string;
  /** For `reserve`: the last of the range, and for whom (`station` of the bench that is offline). */
  lastSerial?: string;
  reservedFor?: string;
  product: string;
  /** Chip id; "" for scrap and reserve. */
  chip: string;
  operation: Operation | "scrap" | "reserve";
  /** The same, hex; "" where none was written. */
  imageDigest: string;
  /** 0 where no key is meant. */
  keyVersion: number;
  /**
   * Check values of psk, ota, console, rekey in this order, 24 hex digits; "" where none. All four together: 3 bytes
   * alone are alike by chance among some thousand devices.
   */
  checkValue: string;
  result: "begun" | "pass" | "fail" | "scrapped" | "reserved";
  /** At a failure: step and FailureCode. */
  step?: StepName;
  failure?: FailureCode;
  /** Why, in an operator's words: scrap. */
  reason?: string;
  /** Seconds that each step took, and all. */
  seconds: number;
  steps?: Partial<Record<StepName, number>>;
}

/** What the ledger knows of a serial. */
export interface LedgerUnit {
  serial: string;
  product: string;
  /** Chip of the last `begin`, which comes right before keys are written: the serial is this chip's from then on. */
  chip: string;
  /** Of the last entry with a key. */
  keyVersion: number;
  checkValue: string;
  /** `begun`: bound to a chip, never passed; `passed`: passed at least once; `scrapped`: for ever. */
  state: "begun" | "passed" | "scrapped";
  /** Of the last entry that has one. */
  imageDigest: string;
}

/** scripts/lib/ledger/ledger.ts: `openLedger(path: string): Ledger`. All calls are synchronous and throw on failure. */
export interface Ledger {
  append(entry: LedgerEntry): void;
  unit(product: string, serial: string): LedgerUnit | undefined;
  /** For whom a serial is reserved: a station's name, or undefined. */
  reservedFor(product: string, serial: string): string | undefined;
  /** Another serial than `except` with the same check values (all 24 digits) in an entry, or undefined (R3). */
  serialWithCheckValue(
    product: string,
    checkValue: string,
    keyVersion: number,
    except: string,
  ): string | undefined;
  today(station: string): Yield;
  /** The serials of a range that the station may begin, in order. */
  freeSerials(product: string, station: string, range: { first: string; last: string }): Iterable<string>;
  close(): void;
}

/** scripts/lib/bench/label.ts: write the label's files (SVG, PDF), over those of the same serial. Returns their paths. */
export type WriteLabel = (
  folder: string,
  label: { serial: string; product: string; identity: string },
) => Promise<string[]>;

/** scripts/lib/bench/bench_page.ts: serve the operators' page on 127.0.0.1; port 0 takes a free one. */
export type StartPage = (
  bench: BenchApi,
  options: { port: number },
) => Promise<{ url: string; close(): Promise<void> }>;
