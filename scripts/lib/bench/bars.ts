// The bench at a terminal: a bar for each fixture with its state, and a line for the scanner or the fingers. Enter with a
// serial gives it to the next fixture, Enter alone starts; `scrap SERIAL REASON` and `clear N` as they read. Where the
// output is no terminal there are no bars: one line for each result and each notice. With `json` every event is a line.
import { createInterface } from "node:readline";
import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { UsageError } from "../cli/exit";
import type { BenchApi, BenchCommand, BenchEvent, FixtureView } from "./interfaces";

const SCALE = 1000;
/** Columns that a sentence may take beside a bar. */
const NOTE_WIDTH = 60;
const CTRL_C = "\x03";

/** What a typed or scanned line asks for; the words are commands, everything else a serial. */
export function parseLine(line: string): BenchCommand {
  const [word, ...rest] = line.trim().split(/\s+/);
  if (word === "") return { command: "start" };
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
  if (rest.length) throw new UsageError(`"${line.trim()}" is neither a serial nor a command.`);
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
  if (event.kind === "notice") return event.text;
  if (event.kind !== "result") return undefined;
  const { serial, fixture, seconds, step, failure, keyVersion, checkValue } = event;
  const place = `fixture ${fixture}, ${seconds.toFixed(1)} s`;
  return event.result === "pass"
    ? `${serial} passed (${place}; key version ${keyVersion}, check value ${checkValue?.slice(0, 6)})`
    : `${serial} FAILED at ${step} (${place}): ${failure?.text}`;
}

/** Events as lines, on standard output; commands as lines from standard input. */
export function showLines(bench: BenchApi, json: boolean): () => void {
  const unsubscribe = bench.subscribe((event) => {
    const line = json ? JSON.stringify(event) : sentence(event);
    if (line) console.log(line);
  });
  const tell = (text: string) =>
    console.log(json ? JSON.stringify({ kind: "notice", level: "error", text }) : text);
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
    empty: serial ? `${serial}: plug it in again` : "empty",
    detecting: "who is it?",
    ready: serial ? `${serial}: Enter starts` : "waits for a serial",
    running: `${serial} ${step} ${seconds.toFixed(0)} s`,
    passed: `${serial} PASSED ${seconds.toFixed(1)} s, ${checkValue?.slice(0, 6)}`,
    failed: `${serial ?? ""} FAILED at ${step}: ${failure?.text}`.trim(),
  };
  return words[state].slice(0, NOTE_WIDTH);
}

/** A bar a fixture, and the scan field below. Resolves `onEnd` at Ctrl-C. */
export function showBars(bench: BenchApi, onEnd: () => void): () => void {
  const bars = new MultiBar(
    { format: "{fixture} {bar} {note}", barsize: 24, hideCursor: true, fps: 10, autopadding: true },
    Presets.shades_classic,
  );
  const field = bars.create(1, 0, { text: "" }, { format: "scan> {text}" });
  const rows = new Map<number, SingleBar>();
  let typed = "";
  let notice = "";
  const drawField = () => field.update(0, { text: typed + (notice && !typed ? notice : "") });
  const tell = (text: string) => {
    notice = text;
    drawField();
  };
  const draw = (view: FixtureView) => {
    const payload = { fixture: String(view.fixture).padStart(2), note: note(view) };
    const row = rows.get(view.fixture);
    if (row) row.update(Math.round(view.progress * SCALE), payload);
    else rows.set(view.fixture, bars.create(SCALE, Math.round(view.progress * SCALE), payload));
  };
  const unsubscribe = bench.subscribe((event) => {
    if (event.kind === "bench") for (const view of event.fixtures) draw(view);
    if (event.kind === "fixture") draw(event);
    if (event.kind === "notice") tell(event.text);
    if (event.kind === "yield") tell(`today ${event.passed} passed, ${event.failed} failed`);
  });
  const onKey = (bytes: Buffer) => {
    for (const character of bytes.toString("utf8")) {
      if (character === CTRL_C) return onEnd();
      if (character === "\r" || character === "\n") {
        notice = "";
        const line = typed;
        typed = "";
        doLine(bench, line, tell);
      } else if (character === "\x7f" || character === "\b") typed = typed.slice(0, -1);
      else if (character >= " ") typed += character;
    }
    drawField();
  };
  process.stdin.setRawMode(true);
  process.stdin.on("data", onKey);
  return () => {
    unsubscribe();
    process.stdin.off("data", onKey);
    process.stdin.setRawMode(false);
    process.stdin.pause();
    bars.stop();
  };
}
