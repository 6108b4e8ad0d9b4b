// The interpreter's own prompt, as a blank board has it: expressions out, answers back. A line that begins with DLE is
// neither echoed nor kept in the history. Each answer carries the number of its question and a checksum, so that noise
// on the line, an old answer or anything else that the board prints is never taken for one.
// Leaves out files: what is written to flash goes through the espruino package (upload.ts).
import type { Port } from "./port";

const NO_ECHO = "\x10"; // DLE at the start of a line
const CTRL_C = "\x03";
/** The prompt, and the one of a line that has brackets open. */
export const PROMPT = /(^|[\r\n]|\x1b\[J)([>:])$/;
const ANSWER_TIMEOUT_MS = 1500;
const PROMPT_TIMEOUT_MS = 400;
const BUSY_MS = 1200;
const TRIES = 3;

/** Nothing that makes sense came back. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
}

/** Checksum of an answer, the same in both worlds: int32, h = h * 31 + character. */
export function checksum(text: string): number {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) | 0;
  return sum;
}

const ON_DEVICE =
  'function(s){s+="";var h=0;for(var i=0;i<s.length;i++)h=(h*31+s.charCodeAt(i))|0;return s+"|"+h}';

let questions = 0;

/** Get the prompt: break off what may have been typed before. Throws NoAnswer where none comes. */
export async function findPrompt(port: Port): Promise<void> {
  let seen = await exchange(port, "\n", PROMPT, PROMPT_TIMEOUT_MS);
  // it may only be busy, and Linux's interpreter ends at the second Ctrl-C
  seen ??= await exchange(port, "\n", PROMPT, BUSY_MS);
  for (let attempt = 0; attempt < TRIES && seen?.[2] !== ">"; attempt++) {
    await exchange(port, CTRL_C, PROMPT, PROMPT_TIMEOUT_MS);
    // whoever was here before may have switched the echo off, and the prompt with it
    seen = await exchange(port, "echo(1)\n", PROMPT, PROMPT_TIMEOUT_MS);
  }
  if (seen?.[2] !== ">") throw new NoAnswer(`${port.name}: no prompt`);
}

/**
 * Evaluate an expression on the board and get it as text: printable ASCII without "|". Asked again up to three times,
 * so it must do no harm twice. Throws NoAnswer; an exception on the board is no answer.
 */
export async function ask(port: Port, expression: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<string> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const answer = await askOnce(port, expression, timeoutMs);
    if (answer !== undefined) return answer;
    await findPrompt(port);
  }
  throw new NoAnswer(`${port.name}: no answer`);
}

/** The same, once: for what is not to be done twice. Undefined where no good answer came. */
export async function askOnce(
  port: Port,
  expression: string,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<string | undefined> {
  const number = ++questions;
  const code = `${NO_ECHO}console.log("<#${number} "+(${ON_DEVICE})(${expression})+"#>")\n`;
  const found = await exchange(port, code, new RegExp(`<#${number} ([ -~]*)\\|(-?\\d+)#>`), timeoutMs);
  return found && checksum(found[1]) === Number(found[2]) ? found[1] : undefined;
}

/** Have a statement done that gives no answer, a restart for example. */
export function tell(port: Port, statement: string): Promise<void> {
  return port.write(`${NO_ECHO}${statement}\n`);
}

/**
 * Read a file of Storage over the line, as base64 in one stream. Noise may have changed it: whoever knows its digest
 * compares. Undefined where there is no such file, or nothing whole came.
 */
export async function readFile(
  port: Port,
  name: string,
  onBytes: (count: number) => void = () => {},
): Promise<Buffer | undefined> {
  const file = `require("Storage").read(${JSON.stringify(name)})`;
  const length = Number(await ask(port, `(${file}||"").length`));
  if (!length) return undefined;
  const number = ++questions;
  const piece = 384; // bytes: a multiple of 3, so that no base64 is padded before the end
  const code =
    `${NO_ECHO}console.log("<#${number}");(function(f){for(var i=0;i<f.length;i+=${piece})` +
    `console.log(btoa(f.substr(i,${piece})))})(${file});console.log("#${number}>")\n`;
  let heard = 0;
  const found = await exchange(
    port,
    code,
    new RegExp(`<#${number}\\s([^#]*)#${number}>`),
    ANSWER_TIMEOUT_MS,
    (count) => {
      heard += count;
      onBytes(Math.min(length, (heard * 3) / 4));
    },
  );
  return found ? Buffer.from(found[1].replace(/[^A-Za-z0-9+/=]/g, ""), "base64") : undefined;
}

/**
 * Send, and wait for a match in what comes back; undefined when nothing has come for `quietMs`, or what comes does not
 * end. Throws PortClosed when the port goes.
 */
export async function exchange(
  port: Port,
  text: string,
  pattern: RegExp,
  quietMs: number,
  onBytes: (count: number) => void = () => {},
): Promise<RegExpMatchArray | undefined> {
  let received = "";
  let stop = () => {};
  const matched = new Promise<RegExpMatchArray | undefined>((resolve) => {
    let timer = setTimeout(() => resolve(undefined), quietMs);
    // a device that never stops talking holds nobody up
    const limit = setTimeout(() => resolve(undefined), quietMs + 60_000);
    const silence = port.listen((bytes) => {
      received += bytes.toString("latin1");
      onBytes(bytes.length);
      clearTimeout(timer);
      const found = received.match(pattern);
      if (found) resolve(found);
      else timer = setTimeout(() => resolve(undefined), quietMs);
    });
    stop = () => {
      silence();
      clearTimeout(timer);
      clearTimeout(limit);
    };
  });
  try {
    await port.write(text);
    return await Promise.race([matched, port.gone()]);
  } finally {
    stop();
  }
}
