// The console's line protocol from the host's side, in JSON mode: a line out, objects back, one exchange at a time.
// Bytes come and go as latin1 text, so that a terminal over a port (port.ts) and the page over Web Serial share it.
// A device that restarts comes back in its mode for people: that is seen by its answers, JSON is asked for anew, and
// what may be asked twice is.
// Leaves out what an answer means (answer_text.ts) and what carries the bytes.
import { LINE_LIMIT } from "../../../firmware/profile";
import { REQUEST_UNKNOWN } from "../../../firmware/tls/alert";
import { quoted, showSaid } from "../cli/show";
import { type CommandText, commandOf } from "./command_text";
import { settingFault } from "./settings_text";

/** One object that the device answers. */
export type Answer = Record<string, string | number>;

/** The device does not answer, or not as a console does: a sentence. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
}

/** A line longer than any answer is noise. */
const ANSWER_LIMIT = 2048;

const PATIENCE_MS = 2000;
/** The same once an answer was missed: a board that has its ciphers in the interpreter is busy for seconds with a handshake. */
const SLOW_MS = 10_000;
/** An answer of several objects is over when nothing has come for this long: 17 bytes of the line would take 1.5 ms. */
const QUIET_MS = 250;
/** How often, and for how long each time, JSON mode is asked for: together longer than a restart. */
const OPEN_TRIES = 12;
const OPEN_MS = 500;

/** What a device that restarts would say. */
const DONE: Answer = { err: 0 };
const DEFAULT: CommandText = { about: "", ends: "one" };

export class ConsoleSession {
  private text = "";
  private lines: string[] = [];
  private wake: (() => void) | undefined;
  private turn: Promise<unknown> = Promise.resolve();
  private isOpen = false;
  private fault: Error | undefined;

  /** `send` takes text to the device; it may reject. */
  constructor(private readonly send: (text: string) => Promise<void>) {}

  /** Take what came from the device. */
  receive(text: string): void {
    const parts = (this.text + text).split(/[\r\n]+/);
    this.text = (parts.pop() as string).slice(-ANSWER_LIMIT);
    this.lines.push(...parts.map((line) => line.trim()).filter(Boolean));
    if (this.lines.length) this.wake?.();
  }

  /** The line is gone: whoever waits or asks gets this error. */
  end(fault: Error): void {
    this.fault = fault;
    this.wake?.();
  }

  /** Find the device and switch it to JSON. Throws NoAnswer. */
  open(): Promise<void> {
    return this.inTurn(() => this.switchOn());
  }

  /**
   * Send a line and give the objects that it is answered with; `onAnswer` gets each as it comes. Throws NoAnswer where
   * none comes.
   */
  ask(line: string, onAnswer: (answer: Answer) => void = () => {}): Promise<Answer[]> {
    return this.inTurn(async () => {
      const row = commandOf(line)?.row ?? DEFAULT;
      if (!this.isOpen) await this.switchOn();
      const patienceMs = row.patienceMs ?? PATIENCE_MS;
      const answers = await this.exchange(line, row, patienceMs, onAnswer);
      if (answers.length) return answers;
      if (row.restartsWith !== undefined && line.split(" ").length >= row.restartsWith) {
        this.isOpen = false;
        onAnswer(DONE);
        return [DONE];
      }
      await this.switchOn();
      const again = row.repeatable
        ? await this.exchange(line, row, Math.max(patienceMs, SLOW_MS), onAnswer)
        : [];
      if (again.length) return again;
      throw new NoAnswer(`the device gave no answer to "${line.split(" ")[0]}"; it may have restarted.`);
    });
  }

  /** Leave the device as people find it. */
  async close(): Promise<void> {
    if (this.isOpen && !this.fault) await this.ask("json off").catch(() => {});
    this.isOpen = false;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => {});
    return mine;
  }

  private async exchange(
    line: string,
    row: CommandText,
    patienceMs: number,
    onAnswer: (answer: Answer) => void,
  ): Promise<Answer[]> {
    const answers: Answer[] = [];
    this.lines = [];
    await this.send(`${toLatin1(line)}\n`);
    for (;;) {
      const isMore = answers.length > 0 && row.ends === "quiet";
      const said = await this.nextLine(isMore ? QUIET_MS : patienceMs);
      if (said === undefined) return answers;
      // what is not in the table may answer anything: `prove`, the bench's, a line of its own
      const isOther = row === DEFAULT && said !== line;
      const answer = parseAnswer(said) ?? (isOther ? { text: showSaid(said) } : undefined);
      if (!answer) {
        // in its mode for people, where the echo comes first
        if (said === line || /^\w+:/.test(said)) this.isOpen = false;
        if (!this.isOpen) return answers;
        continue;
      }
      answers.push(answer);
      onAnswer(answer);
      if (row.ends === "one" || (row.ends === "session" && isLast(answer))) return answers;
    }
  }

  private async switchOn(): Promise<void> {
    const others: string[] = [];
    for (let attempt = 0; attempt < OPEN_TRIES; attempt++) {
      this.lines = [];
      // the first ends what noise may have left
      await this.send("\njson on\n");
      const deadline = Date.now() + OPEN_MS;
      for (
        let said: string | undefined;
        (said = await this.nextLine(deadline - Date.now())) !== undefined;
      ) {
        if (parseAnswer(said)?.err === 0) {
          if ((this.isOpen = await this.isInStep())) return;
          break;
        }
        others.push(said);
      }
    }
    throw new NoAnswer(whoAnswers(others));
  }

  /**
   * Ask once, and pass over all that comes before the answer: what a slow device owed to earlier lines. False: no answer came,
   * or noise hit it.
   */
  private async isInStep(): Promise<boolean> {
    await this.send("id\n");
    for (let said: string | undefined; (said = await this.nextLine(SLOW_MS)) !== undefined; ) {
      const answer = parseAnswer(said);
      if (answer?.id !== undefined) return true;
      if (!answer && said.startsWith("{")) return false;
    }
    return false;
  }

  /** The next line; undefined after `timeoutMs` without one. */
  private async nextLine(timeoutMs: number): Promise<string | undefined> {
    if (!this.lines.length && !this.fault)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, timeoutMs));
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.wake = undefined;
    if (this.fault) throw this.fault;
    return this.lines.shift();
  }
}

/** Read a line of the device as an answer: an object, or `E` and a code in its mode for people; undefined: neither. */
export function parseAnswer(line: string): Answer | undefined {
  const code = /^E(\d{1,3})$/.exec(line);
  if (code) return { err: Number(code[1]) };
  if (!line.startsWith("{")) return undefined;
  try {
    const members = Object.entries(JSON.parse(line) as object);
    // what the device does not know (its address, before it has one) is null or false
    const flat = members.map(([name, value]) => [
      showSaid(name),
      typeof value === "number" ? value : showSaid(String(value || "")),
    ]);
    return members.some(([, value]) => value && typeof value === "object")
      ? undefined
      : Object.fromEntries(flat);
  } catch {
    return undefined;
  }
}

/** Say why a line is none for the device, or return undefined. */
export function lineFault(line: string): string | undefined {
  if (/\p{Cc}/u.test(line)) return "a line for the device holds no control characters.";
  const length = toLatin1(line).length;
  if (length > LINE_LIMIT) return `the line is longer than the ${LINE_LIMIT} bytes that the device takes.`;
  return settingFault(line);
}

/** Text as the line carries it: UTF-8, a character a byte. */
function toLatin1(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Whether an answer of several objects ends with this one. */
function isLast(answer: Answer): boolean {
  return answer.err !== undefined || answer.step === undefined || answer.step === 8;
}

/** Why there is no console, from the lines that came instead of its answer. */
function whoAnswers(lines: readonly string[]): string {
  const code = parseAnswer(lines.at(-1) ?? "")?.err;
  if (code === REQUEST_UNKNOWN)
    return "the device's firmware has no console: it knows the bench's requests only (E26).";
  if (code !== undefined) return `the device answers E${code} to everything.`;
  if (lines.some((line) => /^Uncaught|^[>=]/.test(line)))
    return "the interpreter's prompt answers: the device holds no keys yet, it is one for the bench.";
  if (lines.length) return `what answers is no console of this firmware: ${quoted(lines[0])}.`;
  return "nothing answers: check cable, power and port; a device that starts takes a few seconds.";
}
