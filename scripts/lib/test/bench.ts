// A bench of simulated boards for tests: the real bundle and program, the real ledger in a folder of its own, throwaway
// masters; a line ten times as fast as a real one, where a test does not ask for another.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { Bench, type BenchOptions } from "../bench/bench";
import { type Image, makeImage } from "../bench/image";
import type { BenchEvent } from "../bench/interfaces";
import { writeLabel } from "../bench/label";
import { LINE_RATE } from "../bench/port";
import { readBoard } from "../bundle/build";
import { type KeySource, keySourceOfMasters, masterFromBytes } from "../custody/master";
import { PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { type LedgerFile, openLedger } from "../ledger/ledger";
import { SimulatedBoard, type SimulatedBoardOptions } from "../simulate/simulated_board";
import { Watch } from "./device";

export const BOARD = "esp32-sim";
export const PRODUCT = "meter";
const images = new Map<string, Promise<Image>>();

/** The board's image under a profile, made once. */
export function imageOf(board: string, profile = "main"): Promise<Image> {
  const name = `${board} ${profile}`;
  let image = images.get(name);
  if (!image) {
    image = readBoard(board).then((data) => makeImage(data as unknown as Board, { profile }));
    images.set(name, image);
  }
  return image;
}

type Result = Extract<BenchEvent, { kind: "result" }>;
type StepEvent = Extract<BenchEvent, { kind: "step" }>;

export class TestBench extends Watch {
  readonly events: BenchEvent[] = [];
  readonly bench: Bench;
  readonly ledger: LedgerFile;

  private constructor(
    readonly folder: string,
    readonly board: Board,
    readonly boards: SimulatedBoard[],
    options: Partial<BenchOptions>,
    defaults: Pick<BenchOptions, "image" | "imageDigest" | "ports">,
  ) {
    super();
    this.ledger = openLedger(join(folder, "ledger.sqlite"));
    this.bench = new Bench({
      board,
      product: PRODUCT,
      keyVersion: 1,
      settings: { host: "127.0.0.1", port: 1, ssid: "simulated", pass: "simulated" },
      keys: masters(),
      ledger: this.ledger,
      who: "test",
      station: "bench1",
      operation: "provision",
      writeLabel: (label) => writeLabel(join(folder, "labels"), label),
      ...defaults,
      ...options,
    });
    this.bench.subscribe((event) => {
      this.events.push(event);
      this.wake();
    });
    this.bench.start();
  }

  /** Start a bench with a simulated board for each of `boards`, and further ports from `options`. */
  static async start(
    boards: Partial<SimulatedBoardOptions>[],
    options: Partial<BenchOptions> = {},
  ): Promise<TestBench> {
    const board = (options.board ?? (await readBoard(BOARD))) as unknown as Board;
    const simulated = boards.map(
      (each, i) => new SimulatedBoard({ board, chip: `chip-${i + 1}`, lineRate: LINE_RATE * 10, ...each }),
    );
    const ports = await Promise.all(simulated.map((each) => each.start()));
    const { bytes, digest } = await imageOf(board.name);
    return new TestBench(mkdtempSync(join(tmpdir(), "bench-")), board, simulated, options, {
      image: bytes,
      imageDigest: digest,
      ports: [...ports, ...(options.ports ?? [])],
    });
  }

  get results(): Result[] {
    return this.events.filter((event) => event.kind === "result");
  }

  get steps(): StepEvent[] {
    return this.events.filter((event) => event.kind === "step");
  }

  /** Number of entries in the ledger. */
  get entries(): number {
    return this.ledger.head().sequence;
  }

  /** Wait until every fixture has a device that waits for a serial or a start. */
  async ready(): Promise<void> {
    const isReady = () => this.bench.view().fixtures.every(({ state }) => state === "ready");
    if (!(await this.until(isReady, 10_000))) throw new Error(`not ready: ${this.states()}`);
  }

  /** Wait for so many results in all. */
  async done(count: number, timeoutMs = 60_000): Promise<Result[]> {
    if (!(await this.until(() => this.results.length >= count, timeoutMs)))
      throw new Error(`${this.results.length} of ${count} results: ${this.states()}`);
    return this.results;
  }

  /** Scan a serial into a fixture, start it, and wait for its result. */
  async run(serial: string, fixture = 1): Promise<Result> {
    const before = this.results.length;
    this.bench.command({ command: "scan", serial, fixture });
    this.bench.command({ command: "start", fixture });
    return (await this.done(before + 1)).at(-1) as Result;
  }

  states(): string {
    return JSON.stringify(this.bench.view().fixtures);
  }

  async stop(): Promise<void> {
    await this.bench.stop();
    await Promise.all(this.boards.map((board) => board.unplug()));
    this.ledger.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Four throwaway masters. */
export function masters(): KeySource {
  return keySourceOfMasters(PURPOSES.map((purpose) => masterFromBytes(randomKey(), purpose)));
}
