// A device's answers in words: for each name in an object what its number means, and for whole objects of the log and of
// a handshake one line. Shared by terminal and page. Leaves out how it is laid out there.
import { errorText } from "../cli/error_text";
import type { Answer } from "./session";
import { stepText } from "./step_text";

/** One name of an answer, for people. */
export interface Row {
  name: string;
  value: string;
  /** What it means; "" where the value says it all. */
  words: string;
}

type Words = (value: string | number) => Omit<Row, "name">;

const plain: Words = (value) => ({ value: String(value), words: "" });
const unit =
  (words: string): Words =>
  (value) => ({ value: String(value), words });
const step: Words = (value) => ({ value: String(value), words: `it is ${stepText(Number(value)).doing}` });
const failedStep: Words = (value) => ({ value: String(value), words: stepText(Number(value)).word });
const flag =
  (yes: string, no: string): Words =>
  (value) => ({ value: String(value), words: Number(value) ? yes : no });
const code: Words = (value) => ({ value: `E${value}`, words: codeText(Number(value)) });
const duration: Words = (value) => ({
  value: `${value} s`,
  words: Number(value) < 120 ? "" : durationText(Number(value)),
});

/** Names of the answers; one that is not here is shown as it is. */
const WORDS: Readonly<Record<string, Words>> = {
  step,
  err: code,
  at: failedStep,
  rev: code,
  up: duration,
  wait: duration,
  mem: unit("variables in use"),
  fail: unit("failed attempts since the broker last accepted it"),
  lock: flag("locked", "unlocked"),
  pass: flag("there is one", "there is none"),
  seq: unit("sequence of the image"),
  slot: unit("slot of the running image"),
  got: unit("pieces of the update that is under way are there"),
  hold: flag("an update is held back by window or battery", "none is held back"),
  window: unit("hours, from and to, in which an update may begin; 24: any"),
  battery: unit("millivolts, below which none begins"),
  ms: unit("milliseconds"),
  boots: unit("starts"),
  sessions: unit("sessions"),
  fails: unit("failed attempts"),
  tries: unit("false answers since the last right one"),
  nonce: (value) => ({ value: grouped(String(value)), words: "" }),
};

/** What an error code means; 0 is none. */
export function codeText(value: number): string {
  return value === 0 ? "none" : (errorText(value) ?? "a code of which this version has no sentence");
}

/** Say a time as people do: the two greatest units of it. */
export function durationText(seconds: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ] as const;
  const greatest = units.findIndex(([, length]) => seconds >= length);
  const first = greatest < 0 ? units.length - 1 : greatest;
  return units
    .slice(first, first + 2)
    .map(([name, length], i) => `${Math.floor((i ? seconds % units[first][1] : seconds) / length)} ${name}`)
    .join(" ");
}

/** Write base 32 so that it can be read out: groups of four, the last of up to seven. */
export function grouped(digits: string): string {
  return digits.replace(/(.{4})(?=.{4})/g, "$1-");
}

/** Say what each name of an answer means. */
export function answerRows(answer: Answer): Row[] {
  return Object.entries(answer).map(([name, value]) => ({ name, ...(WORDS[name] ?? plain)(value) }));
}

/** One event of the log. */
export function logText({ n, at, err, boots }: Answer): string {
  return `${n}  boot ${boots}  ${eventText(Number(at), Number(err))}`;
}

/** What happened: a start of the device, an error at a step, or that a step was reached. */
export function eventText(at: number, err: number): string {
  if (at === 0) return `started (reset cause ${err})`;
  const { word } = stepText(at);
  return err ? `${word}: E${err}  ${codeText(err)}` : word;
}

/** Whether it is one line of the log. */
export function isLogEntry(answer: Answer): boolean {
  return answer.n !== undefined && answer.at !== undefined;
}

/** Whether a command was refused or failed: an error by itself, or one at the end of a session's steps. */
export function failureOf(answer: Answer): number {
  const names = Object.keys(answer);
  return names.every((name) => ["err", "ms", "step"].includes(name)) ? Number(answer.err ?? 0) : 0;
}
