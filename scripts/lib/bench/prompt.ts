// The interpreter's own prompt, as a blank board has it: expressions out, answers back. A line that begins with DLE is
// neither echoed nor kept in the history. Each answer carries the number of its question and a checksum, so that noise
// on the line, an old answer or anything else that the board prints is never taken for one.
// And flash, read and written in pieces. Leaves out files: what flash is to hold is laid out beforehand (image.ts).
import type { Port } from "./port";

const NO_ECHO = "\x10"; // DLE at the start of a line
const CTRL_C = "\x03";
/** The prompt, and the one of a line that has brackets open. */
export const PROMPT = /(^|[\r\n]|\x1b\[J)([>:])$/;
const ANSWER_TIMEOUT_MS = 1500;
const PROMPT_TIMEOUT_MS = 400;
const BUSY_MS = 1200;
const TRIES = 3;
/** A write unit of any board's flash, bytes. */
const UNIT = 8;

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

/** Bytes of flash in one line: whole write units, and about what the espruino package sends in one. */
const PIECE = 512;

/**
 * Read flash over the line, as `require("Flash")` counts addresses: base64 in one stream, erased pieces as a dash. Noise may
 * have changed it: whoever knows what should be there compares. Undefined where nothing whole came.
 */
export async function readFlash(port: Port, address: number, length: number): Promise<Buffer | undefined> {
  const number = ++questions;
  const code =
    `${NO_ECHO}console.log("<#${number}");(function(f){for(var i=0;i<${length};i+=${PIECE}){` +
    `var p=f.read(Math.min(${PIECE},${length}-i),${address}+i);` +
    `console.log(E.sum(p)==255*p.length?"-":btoa(p))}})(require("Flash"));console.log("#${number}>")\n`;
  const pattern = new RegExp(`<#${number}\\s([^#]*)#${number}>`);
  const found = await exchange(port, code, pattern, ANSWER_TIMEOUT_MS);
  const lines = found?.[1].match(/[-A-Za-z0-9+/=]+/g) ?? [];
  const pieces = lines.map((line, i) =>
    line === "-" ? Buffer.alloc(Math.min(PIECE, length - i * PIECE), 0xff) : Buffer.from(line, "base64"),
  );
  const bytes = Buffer.concat(pieces);
  return bytes.length === length ? bytes : undefined;
}

/**
 * Write bytes into erased flash, in pieces, each of which the board checks before it writes it and answers for; what is
 * erased in them is left out. Whole write units. Throws NoAnswer; what the flash holds then is known by reading it.
 */
export async function writeFlash(
  port: Port,
  address: number,
  bytes: Buffer,
  onProgress: (share: number) => void = () => {},
): Promise<void> {
  for (let at = 0; at < bytes.length; at += PIECE) {
    const piece = bytes.subarray(at, at + PIECE);
    const isUsed = (byte: number) => byte !== 0xff;
    if (piece.some(isUsed)) {
      const from = Math.floor(piece.findIndex(isUsed) / UNIT) * UNIT;
      const data = piece.subarray(from, Math.ceil((piece.findLastIndex(isUsed) + 1) / UNIT) * UNIT);
      const sum = data.reduce((total, byte) => total + byte, 0);
      const write =
        `(function(d){return E.sum(d)==${sum}?(require("Flash").write(d,${address + at + from}),1):0})` +
        `(E.toUint8Array(atob("${data.toString("base64")}")))`;
      let isTaken = false;
      for (let attempt = 0; attempt < TRIES && !isTaken; attempt++)
        isTaken = (await ask(port, write)) === "1";
      if (!isTaken) throw new NoAnswer(`${port.name}: a piece did not come over the line`);
    }
    onProgress(Math.min(1, (at + PIECE) / bytes.length));
  }
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
): Promise<RegExpMatchArray | undefined> {
  let received = "";
  let stop = () => {};
  const matched = new Promise<RegExpMatchArray | undefined>((resolve) => {
    let timer = setTimeout(() => resolve(undefined), quietMs);
    // a device that never stops talking holds nobody up
    const limit = setTimeout(() => resolve(undefined), quietMs + 60_000);
    const silence = port.listen((bytes) => {
      received += bytes.toString("latin1");
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
