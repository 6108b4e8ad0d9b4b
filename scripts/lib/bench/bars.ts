// The bench at a terminal: a bar for each fixture with its state, and a line for the scanner or the fingers. Enter with a
// serial gives it to the next fixture, Enter alone starts; the page's commands are taken as well, with their slash or without. Where the
// output is no terminal there are no bars: one line for each result and each notice. With `json` every event is a line.
import { createInterface } from "node:readline";
import { StringDecoder } from "node:string_decoder";
import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { UsageError } from "../cli/exit";
import { oneLineEnd } from "../cli/line_ends";
import { show, showJson } from "../cli/show";
import { wrap } from "../cli/wrap";
import {
  type BenchApi,
  type BenchCommand,
  type BenchEvent,
  type FixtureView,
  OPERATIONS,
  type Operation,
} from "./interfaces";

const SCALE = 1000;
/** Columns of a bar, and of what stands before its note: number, spaces, bar. */
const BAR_WIDTH = 24;
const NOTE_COLUMN = 2 + 1 + BAR_WIDTH + 1;
/** Where a terminal does not say how wide it is. */
const COLUMNS = 80;
const FIELD = "scan> ";
const CTRL_C = "\x03";
const ESCAPE = "\x1b";

/** What a typed or scanned line asks for; the words are commands, everything else a serial. */
export function parseLine(line: string): BenchCommand {
  const isCommand = line.trim().startsWith("/");
  const [word, ...rest] = line.trim().replace(/^\//, "").split(/\s+/);
  if (word === "") return { command: "start" };
  if (isCommand && /^\d+$/.test(word) && rest.length === 1)
    return { command: "scan", serial: rest[0], fixture: Number(word) };
  if (isCommand && OPERATIONS.includes(word as Operation))
    return { command: "operation", operation: word as Operation };
  if (word === "start" && rest.length === 0) return { command: "start" };
  if (word === "start" || word === "clear") {
    const fixture = Number(rest[0]);
    if (rest.length !== 1 || !Number.isInteger(fixture) || fixture < 1)
      throw new UsageError(`"${word}" takes the number of a fixture.`);
    return { command: word, fixture };
  }
  if (word === "scrap") {
    if (rest.length < 2)
      throw new UsageError("scrap takes a serial and a reason: scrap SN0000001 cracked case");
    return { command: "scrap", serial: rest[0], reason: rest.slice(1).join(" ") };
  }
  if (rest.length || isCommand) throw new UsageError(`"${line.trim()}" is neither a serial nor a command.`);
  return { command: "scan", serial: word };
}

/** Do what a line asks for; a refusal becomes a notice. */
export function doLine(bench: BenchApi, line: string, tell: (text: string) => void): void {
  try {
    bench.command(parseLine(line));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tell(error.message);
  }
}

/** One line for what happened, or undefined where it is of no interest without bars. */
function sentence(event: BenchEvent): string | undefined {
  if (event.kind === "notice") return show(event.text);
  if (event.kind !== "result") return undefined;
  const { serial, fixture, seconds, step, failure, keyVersion, checkValue } = event;
  const place = `fixture ${fixture}, ${seconds.toFixed(1)} s`;
  return show(
    event.result === "pass"
      ? `${serial} passed (${place}; key version ${keyVersion}, check value ${checkValue?.slice(0, 6)})`
      : `${serial} FAILED at ${step} (${place}): ${failure?.text}`,
  );
}

/** Events as lines, on standard output; commands as lines from standard input. */
export function showLines(bench: BenchApi, json: boolean): () => void {
  const unsubscribe = bench.subscribe((event) => {
    const line = json ? showJson(event) : sentence(event);
    if (line) console.log(line);
  });
  const tell = (text: string) =>
    console.log(json ? showJson({ kind: "notice", level: "error", text }) : show(text));
  const input = createInterface({ input: process.stdin });
  input.on("line", (line) => doLine(bench, line, tell));
  return () => {
    unsubscribe();
    input.close();
  };
}

/** What stands beside a fixture's bar. */
export function note(view: FixtureView): string {
  const { state, serial, step, failure, seconds, checkValue } = view;
  const words: Record<FixtureView["state"], string> = {
    empty: serial ? `${serial} ${step ?? ""}: plug it in again` : "empty",
    detecting: "who is it?",
    ready: serial ? `${serial}: Enter starts` : "waits for a serial",
    running: `${serial} ${step} ${seconds.toFixed(0)} s`,
    passed: `${serial} PASSED ${seconds.toFixed(1)} s, ${checkValue?.slice(0, 6)}`,
    failed: `${serial ?? ""} FAILED at ${step}: ${failure?.text}`.trim(),
  };
  return show(words[state]);
}

/** A bar a fixture, the scan field above them, and above that what failed, in whole sentences. `onEnd`: Ctrl-C. */
export function showBars(bench: BenchApi, onEnd: () => void): () => void {
  const { stdin: input, stderr: output } = process;
  const columns = () => output.columns ?? COLUMNS;
  const bars = new MultiBar(
    { format: "{fixture} {bar} {note}", barsize: BAR_WIDTH, hideCursor: true, fps: 10, autopadding: true },
    Presets.shades_classic,
  );
  const field = bars.create(1, 0, { text: "" }, { format: `${FIELD}{text}` });
  const rows = new Map<number, SingleBar>();
  const scan = new ScanField((line) => doLine(bench, line, tell));
  let notice = "";
  const fitting = (text: string, from: number) => text.slice(0, columns() - from - 1);
  const drawField = () => field.update(0, { text: fitting(scan.asks || scan.typed || notice, FIELD.length) });
  function tell(text: string): void {
    notice = show(text);
    // what is longer than its line stands above the bars, whole
    if (notice.length > columns() - FIELD.length - 1) log(notice);
    drawField();
  }
  const log = (text: string) => bars.log(`${wrap(text, columns() - 1, 2)}\n`);
  const draw = (view: FixtureView) => {
    const payload = {
      fixture: String(view.fixture).padStart(2),
      note: fitting(note(view), NOTE_COLUMN),
    };
    const row = rows.get(view.fixture);
    if (row) row.update(Math.round(view.progress * SCALE), payload);
    else rows.set(view.fixture, bars.create(SCALE, Math.round(view.progress * SCALE), payload));
  };
  const unsubscribe = bench.subscribe((event) => {
    if (event.kind === "bench") for (const view of event.fixtures) draw(view);
    if (event.kind === "fixture") draw(event);
    if (event.kind === "notice") tell(event.text);
    if (event.kind === "yield") tell(`today ${event.passed} passed, ${event.failed} failed`);
    if (event.kind === "result" && event.result === "fail") log(sentence(event) ?? "");
  });
  const decoder = new StringDecoder("utf8");
  const onKey = (bytes: Buffer) => {
    const text = decoder.write(bytes);
    if (text.includes(CTRL_C)) return onEnd();
    notice = "";
    scan.take(text);
    drawField();
  };
  // whoever asked for a passphrase before has paused it
  input.setRawMode(true).on("data", onKey).resume();
  return () => {
    unsubscribe();
    input.off("data", onKey).setRawMode(false).pause();
    bars.stop();
  };
}

/** The line that a scanner or fingers fill. A scrap, which is for ever, asks for a second Enter. */
export class ScanField {
  typed = "";
  /** What a second Enter would do, in words; "" where nothing is asked. */
  asks = "";
  private readonly lineEnds = oneLineEnd();

  constructor(private readonly onLine: (line: string) => void) {}

  /** Take what was typed or scanned. */
  take(text: string): void {
    // arrows and their like: a sequence comes at once, Escape alone takes back what was typed
    if (text.startsWith(ESCAPE)) {
      if (text === ESCAPE) this.clear();
      return;
    }
    for (const character of this.lineEnds(text)) {
      if (character === "\n") this.enter();
      else if (character === "\x7f" || character === "\b") this.edit([...this.typed].slice(0, -1).join(""));
      else if (show(character) === character) this.edit(this.typed + character);
    }
  }

  private edit(typed: string): void {
    this.typed = typed;
    this.asks = "";
  }

  private clear(): void {
    this.edit("");
  }

  private enter(): void {
    const [word, serial, reason] = this.typed.trim().split(/\s+/);
    if (word?.replace(/^\//, "") === "scrap" && reason !== undefined && !this.asks) {
      this.asks = show(`${serial} for ever? Enter scraps it, Escape leaves it.`);
      return;
    }
    const line = this.typed;
    this.clear();
    this.onLine(line);
  }
}
