// The technician's terminal: lines typed, or from a pipe, go to the device's console, and its answers come back with their
// words (answer_text.ts), or with `json` as objects. `unlock` is answered by the console master where there is one.
// Leaves out the port and the opening of masters (scripts/console.ts).
import { createInterface, type Interface } from "node:readline";
import { ANSWER_WRONG, REQUEST_UNKNOWN, VALUE_REFUSED } from "../../../firmware/tls/alert";
import { DeviceError, UsageError } from "../cli/exit";
import { integer } from "../cli/options";
import { wrap } from "../cli/wrap";
import type { Master } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { answerRows, codeText, failureOf, isLogEntry, logText } from "./answer_text";
import { CHALLENGE_NONCE_LENGTH, challengeAnswer, decodeBase32, ROLES, type Role } from "./challenge";
import { challengeText, parseRole } from "./challenge_text";
import { COMMAND_TEXT, commandOf } from "./command_text";
import { qrForTerminal } from "./qr";
import { type Answer, type ConsoleSession, lineFault } from "./session";
import { lineOf, settingEffect } from "./settings_text";
import { stepText } from "./step_text";

export interface TerminalOptions {
  session: ConsoleSession;
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream;
  /** Refusals of what was typed. */
  errors: NodeJS.WritableStream;
  /** Objects, one a line, instead of words. */
  json?: boolean;
  /** The console master; absent: answers are typed. */
  master?: Master;
  /** The console master of a device that one's own key folder knows. */
  masterFor?(id: string): Master | undefined;
}

/** How the lines went, for the exit code. */
export interface TerminalResult {
  /** What the host or the device did not understand. */
  misused: number;
  /** What the device refused or failed at. */
  failed: number;
}

const DEFAULT_MINUTES = 60;
/** Codes with which the device says that what was typed is wrong. */
const MISUSE = [REQUEST_UNKNOWN, VALUE_REFUSED];
const LEAVE = ["exit", "quit"];

/** Words of the host's own, besides the device's. */
const OWN_WORDS = ["exit"];

export class Terminal {
  private readonly result: TerminalResult = { misused: 0, failed: 0 };
  private reader!: Interface;

  constructor(private readonly options: TerminalOptions) {}

  /** Serve lines until the input ends. Throws NoAnswer, and whatever ended the session. */
  async run(): Promise<TerminalResult> {
    const { input, output, session } = this.options;
    const isTerminal = input.isTTY === true;
    this.reader = createInterface({
      input,
      output: isTerminal ? output : undefined,
      terminal: isTerminal,
      prompt: "> ",
      completer: complete,
      historySize: 200,
      removeHistoryDuplicates: true,
    });
    try {
      // made before the first wait, so that no line is lost
      const lines = this.reader[Symbol.asyncIterator]();
      await session.open();
      if (isTerminal) await this.greet();
      this.prompt();
      for (let next = await lines.next(); !next.done; next = await lines.next()) {
        const line = lineOf(next.value);
        if (LEAVE.includes(line)) break;
        if (line) await this.line(line, lines);
        this.prompt();
      }
    } finally {
      this.reader.close();
    }
    return this.result;
  }

  private prompt(): void {
    if (this.options.input.isTTY) this.reader.prompt();
  }

  private async greet(): Promise<void> {
    this.say("The device's console. help lists its commands, Tab completes them, Ctrl-D ends.");
    await this.send("status", this.show);
  }

  private async line(line: string, lines: AsyncIterator<string>): Promise<void> {
    try {
      checkLine(line);
      const word = commandOf(line)?.word;
      const rest = line.split(/\s+/).slice(1);
      if (word === "unlock" && rest.length < 3) await this.unlock(rest, lines);
      else if (word === "json")
        throw new UsageError("this program sets json itself; start it with --json for objects.");
      else if (word === "help" && !this.options.json) await this.help();
      // here no error is an answer, not that something was done
      else if (word === "err" && !this.options.json)
        await this.send(line, (answer) => this.print(rowsOf(answer, this.columns)));
      else await this.send(line, this.show);
    } catch (error) {
      if (!(error instanceof UsageError) && !(error instanceof DeviceError)) throw error;
      if (error instanceof UsageError) this.result.misused++;
      else this.result.failed++;
      this.options.errors.write(`${wrap(error.message, this.columns, 2)}\n`);
    }
  }

  /** Send a line, show what comes, and count it. */
  private async send(line: string, show: (answer: Answer) => void): Promise<Answer[]> {
    const answers = await this.options.session.ask(line, show);
    const failure = failureOf(answers.at(-1) as Answer);
    const effect = settingEffect(line);
    if (effect && !failure && !this.options.json) this.say(effect);
    if (MISUSE.includes(failure)) this.result.misused++;
    else if (failure && commandOf(line)?.word !== "err") this.result.failed++;
    return answers;
  }

  // ------------------------------------------------------------------------------------------------ unlock

  /** `unlock [ROLE [MINUTES]]`: by the master, or by an answer that is typed. */
  private async unlock(rest: string[], lines: AsyncIterator<string>): Promise<void> {
    const role = parseRole(rest[0] ?? ROLES.service);
    const minutes = rest[1] === undefined ? DEFAULT_MINUTES : integer(1, 255)(rest[1]);
    const { json, session, input } = this.options;
    const [challenge] = await session.ask("unlock");
    if (challenge.nonce === undefined) {
      this.result.failed++;
      return this.show(challenge);
    }
    const { id, nonce, boots } = challenge as { id: string; nonce: string; boots: number };
    const master = this.options.master ?? this.options.masterFor?.(id);
    if (master) {
      const answer = answerBy(master, { id, nonce, boots }, role, minutes);
      const [done] = await this.send(`unlock ${role} ${minutes} ${answer}`, json ? this.show : () => {});
      if (json) return;
      if (done.err === ANSWER_WRONG)
        this.say(`E${ANSWER_WRONG}  ${codeText(ANSWER_WRONG)} This master is not the one of ${id}.`);
      else if (done.err) this.show(done);
      else this.say(`unlocked for ${minutes} minutes${role === ROLES.reset ? ", with factory reset" : ""}`);
      return;
    }
    this.show(challenge);
    if (json || !input.isTTY) return;
    const text = challengeText({ id, nonce, boots });
    this.print(`${qrForTerminal(text)}\n${text}\n`);
    this.say(
      "Read this to the service desk, or let it be scanned. Type the line that comes back, or the answer alone.",
    );
    this.reader.setPrompt("answer> ");
    this.reader.prompt();
    const typed = await lines.next();
    this.reader.setPrompt("> ");
    const line = typed.done ? "" : typed.value.trim();
    if (!line) return this.say("given up; the device stays as it is");
    checkLine(line);
    await this.send(
      /^unlock\s/i.test(line) ? line : `unlock ${role} ${minutes} ${line.replace(/\s+/g, "-")}`,
      this.show,
    );
  }

  // -------------------------------------------------------------------------------------------------- show

  private readonly show = (answer: Answer): void => {
    const { columns } = this;
    this.print(this.options.json ? `${JSON.stringify(withWords(answer))}\n` : textOf(answer, columns));
  };

  /** The device's own words with their sentences. */
  private async help(): Promise<void> {
    const [answer] = await this.options.session.ask("help");
    const said = Object.values(answer)
      .join(" ")
      .split(/[\s,]+/);
    const rows = Object.entries(COMMAND_TEXT).filter(([word]) => said.includes(word.split(" ")[0]));
    const heads = rows.map(([word, { takes }]) => (takes ? `${word} ${takes}` : word));
    const width = Math.max(...heads.map(({ length }) => length));
    const { columns } = this;
    for (const [i, [, { about, service }]] of rows.entries())
      this.print(
        `${wrap(`${heads[i].padEnd(width)}  ${about}${service ? " (unlocked only)" : ""}`, columns, width + 2)}\n`,
      );
    this.print(`${"exit".padEnd(width)}  Leave; Ctrl-D as well.\n`);
  }

  private print(text: string): void {
    this.options.output.write(text);
  }

  /** A sentence of the host's own. */
  private say(text: string): void {
    this.print(`${wrap(text, this.columns, 2)}\n`);
  }

  private get columns(): number | undefined {
    return (this.options.output as { columns?: number }).columns;
  }
}

/** An answer in lines for people, broken at the terminal's `columns`. */
export function textOf(answer: Answer, columns?: number): string {
  const names = Object.keys(answer);
  if (names.length === 1 && answer.err !== undefined)
    return answer.err ? `${wrap(`E${answer.err}  ${codeText(Number(answer.err))}`, columns, 6)}\n` : "done\n";
  if (isLogEntry(answer)) return `${wrap(logText(answer), columns, 4)}\n`;
  if (names.includes("step") && names.every((name) => name === "step" || name === "ms"))
    return `${answer.step}  ${stepText(Number(answer.step)).word.padEnd(13)}${answer.ms === undefined ? "" : `${answer.ms} ms`}\n`;
  return rowsOf(answer, columns);
}

/** Each name of an answer on a line of its own. */
export function rowsOf(answer: Answer, columns?: number): string {
  const rows = answerRows(answer);
  const width = Math.max(...rows.map(({ name }) => name.length));
  const valueWidth = Math.max(...rows.filter(({ words }) => words).map(({ value }) => value.length), 0);
  return rows
    .map(
      ({ name, value, words }) =>
        `${wrap(`${name.padEnd(width)}  ${words ? `${value.padEnd(valueWidth)}  ${words}` : value}`, columns, width + 2 + (words ? valueWidth + 2 : 0))}\n`,
    )
    .join("");
}

/** An answer for machines: the device's names, and the words for its numbers beside them. */
export function withWords(answer: Answer): Answer {
  const words: Answer = {};
  if (answer.step !== undefined) words.stepText = stepText(Number(answer.step)).word;
  if (answer.at !== undefined) words.atText = stepText(Number(answer.at)).word;
  if (answer.err !== undefined && !(isLogEntry(answer) && answer.at === 0))
    words.errText = codeText(Number(answer.err));
  return { ...answer, ...words };
}

/** Refuse what the device would drop. */
function checkLine(line: string): void {
  const fault = lineFault(line);
  if (fault) throw new UsageError(fault);
}

/** Answer a challenge as the service desk does. Throws DeviceError where what the device says is none. */
function answerBy(
  master: Master,
  challenge: { id: string; nonce: string; boots: number },
  role: Role,
  minutes: number,
): string {
  const nonce = decodeBase32(challenge.nonce);
  if (nonce?.length !== CHALLENGE_NONCE_LENGTH) throw new DeviceError("the device's challenge is none.");
  const key = master.deviceKey(parseIdentity(challenge.id));
  try {
    return challengeAnswer(key, { role, nonce, boots: challenge.boots, minutes });
  } finally {
    key.fill(0);
  }
}

/** Complete the word that is being typed (node:readline). */
export function complete(line: string): [string[], string] {
  const words = [...Object.keys(COMMAND_TEXT).filter((word) => word !== "json"), ...OWN_WORDS];
  const hits = words.filter((word) => word.startsWith(line.toLowerCase()));
  return [hits.map((word) => (COMMAND_TEXT[word]?.takes ? `${word} ` : word)), line];
}
