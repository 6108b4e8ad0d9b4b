// Passphrases and PINs: typed at the terminal without echo, or from a private file, or from an inherited file
// descriptor; never from the command line or the environment, which every process of the machine may read. A command
// that needs several names them (`psk=FILE`). They are handed out as bytes, which the caller wipes after use.
// Leaves out: keeping pages out of swap, which Node cannot do; strength meters, as no rule sees what a person knows.
import { readFileSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { type OptionTable, options } from "../cli/options";
import { fileFault } from "../files/fault";
import { readPrivateFile } from "../files/private_file";

/** The rows that every command with a passphrase or PIN has. */
export const SECRET_OPTIONS = {
  "passphrase-file": options(
    "[NAME=]FILE",
    "a passphrase or PIN from a file of mode 0600; without NAME where only one is asked for",
  ),
  "passphrase-fd": options(
    "[NAME=]N",
    "the same from an inherited file descriptor (npm passes on 0 only); default: asked for",
  ),
} satisfies OptionTable;

const LONGEST = 1024; // bytes
const SHORTEST = 16; // characters; a sealed file can be tried offline for years (SP 800-63B asks 15 of a lone password)
const FEWEST_DIFFERENT = 8; // characters

/** Say why a new passphrase is none, or return undefined. An old one is only right or wrong. */
export function passphraseFault(text: string): string | undefined {
  const characters = [...text];
  if (characters.length < SHORTEST)
    return `has ${characters.length} characters, and ${SHORTEST} are the fewest; six words out of dice are good`;
  if (Buffer.byteLength(text) > LONGEST) return `is longer than ${LONGEST} bytes`;
  if (/[\p{Cc}\p{Cs}\uFFFD]/u.test(text)) return "holds control characters";
  if (text !== text.trim()) return "begins or ends with a space, which gets lost in copying";
  if (/^\d+$/.test(text)) return "is digits only";
  if (new Set(characters).size < FEWEST_DIFFERENT) return "repeats a few characters";
  if ((text + text).indexOf(text, 1) < text.length) return "repeats itself";
  const steps = characters
    .slice(1)
    .map((next, i) => (next.codePointAt(0) ?? 0) - (characters[i].codePointAt(0) ?? 0));
  if (steps.filter((step) => Math.abs(step) === 1).length > steps.length / 2)
    return "counts or goes along the alphabet";
  return undefined;
}

type Source =
  | { kind: "prompt" }
  | { kind: "file"; path: string }
  | { kind: "descriptor"; descriptor: number };

/** The passphrases of one command, by name; each is read once, when it is asked for. */
export class Secrets {
  private readonly sources = new Map<string, Source>();

  /** `names`: all that this command may ask for. Throws UsageError for any other, and for one given twice. */
  constructor(
    given: { "passphrase-file"?: string[]; "passphrase-fd"?: string[] },
    private readonly names: readonly string[],
  ) {
    for (const text of given["passphrase-file"] ?? []) {
      this.add("--passphrase-file", text, (path) => ({ kind: "file", path }));
    }
    const descriptors = new Set<string>();
    for (const text of given["passphrase-fd"] ?? []) {
      this.add("--passphrase-fd", text, (digits) => {
        // Not shown: what stands here by mistake may be the passphrase itself.
        if (!/^\d{1,4}$/.test(digits))
          throw new UsageError("--passphrase-fd takes the number of an open file.");
        if (descriptors.has(digits))
          throw new UsageError("--passphrase-fd: a file descriptor is read once only.");
        descriptors.add(digits);
        return { kind: "descriptor", descriptor: Number(digits) };
      });
    }
  }

  private add(option: string, text: string, parse: (value: string) => Source): void {
    const [, prefix, rest] = /^([a-z]+(?:-[a-z]+)*)=(.+)$/s.exec(text) ?? [];
    const name = prefix ?? (this.names.length === 1 ? this.names[0] : undefined);
    if (name === undefined || !this.names.includes(name)) {
      throw new UsageError(`${option} here is NAME=... with a name out of ${this.names.join(", ")}.`);
    }
    if (this.sources.has(name)) throw new UsageError(`the passphrase ${name} is given twice.`);
    this.sources.set(name, parse(prefix === undefined ? text : rest));
  }

  /** Read what opens something that exists: a passphrase (made NFC) or, with `pin`, a token's PIN as it is. */
  async existing(name: string, what: string, pin = false): Promise<Buffer> {
    const bytes = await this.read(name, `${pin ? "PIN" : "Passphrase"} of ${what}: `, what);
    if (bytes.length === 0) throw new UsageError(`the ${pin ? "PIN" : "passphrase"} of ${what} is empty.`);
    return pin ? bytes : normalized(bytes);
  }

  /** Read a new passphrase and hold it to the rules; at a terminal it is typed twice. */
  async fresh(name: string, what: string): Promise<Buffer> {
    const bytes = normalized(await this.read(name, `New passphrase for ${what}: `, what));
    const fault = passphraseFault(bytes.toString());
    if (fault) throw new UsageError(`the passphrase for ${what} ${fault}.`);
    if (!this.sources.has(name)) {
      const again = normalized(await this.read(name, "The same again: ", what));
      if (!bytes.equals(again)) throw new UsageError(`the two passphrases for ${what} differ.`);
    }
    return bytes;
  }

  private async read(name: string, question: string, what: string): Promise<Buffer> {
    const source = this.sources.get(name) ?? { kind: "prompt" };
    switch (source.kind) {
      case "prompt":
        return await ask(question, what);
      case "file":
        return firstLine(readPrivateFile(source.path, LONGEST + 2, "a passphrase"), source.path);
      case "descriptor":
        return firstLine(readDescriptor(source.descriptor), `file descriptor ${source.descriptor}`);
    }
  }
}

/** The same passphrase typed on another keyboard may come in other code points: compose them (NFC, RFC 8265, 4.2.2). */
function normalized(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("utf8").normalize("NFC"));
}

function readDescriptor(descriptor: number): Buffer {
  try {
    return readFileSync(descriptor);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const fault = code === "EBADF" ? "it is not open" : fileFault(error);
    throw new UsageError(`cannot read file descriptor ${descriptor}: ${fault}.`);
  }
}

function firstLine(bytes: Buffer, source: string): Buffer {
  const line = bytes.subarray(0, /\r?\n?$/.exec(bytes.toString("latin1"))?.index);
  if (line.includes(0x0a) || line.length > LONGEST) {
    throw new UsageError(`${source} holds more than one line of at most ${LONGEST} bytes.`);
  }
  return line;
}

// ---------------------------------------------------------------------------------------------- terminal

const END = /[\r\n]/;
const ERASE = ["\x7f", "\b"];
const KILL = "\x15"; // Ctrl-U
const GIVE_UP = ["\x03", "\x04"]; // Ctrl-C, Ctrl-D

let typedAhead = ""; // latin1: what came behind the last line's end

/** Ask at the terminal; what is typed is shown nowhere. */
async function ask(question: string, what: string): Promise<Buffer> {
  const input = process.stdin;
  if (!input.isTTY) {
    throw new UsageError(
      `there is no terminal to ask for the passphrase or PIN of ${what}; give --passphrase-file or --passphrase-fd.`,
    );
  }
  input.setRawMode(true); // before the question, so that nothing typed to it is shown
  process.stderr.write(question);
  try {
    let typed = "";
    for (let key = ""; ; typed = edited(typed, key)) {
      if (typedAhead === "") typedAhead = await nextData(input);
      key = typedAhead[0];
      typedAhead = typedAhead.slice(1);
      if (END.test(key)) return Buffer.from(typed, "latin1");
      if (GIVE_UP.includes(key)) throw new UsageError("given up at the prompt; nothing was written.");
    }
  } finally {
    input.setRawMode(false);
    input.pause();
    process.stderr.write("\n");
  }
}

function edited(typed: string, key: string): string {
  if (key === KILL) return "";
  // A character of UTF-8 goes as a whole: its later bytes are 80 to BF.
  if (ERASE.includes(key)) return typed.replace(/[\s\S][\x80-\xbf]*$/, "");
  return typed + key;
}

function nextData(input: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve) => {
    const done = (chunk: Buffer | string) => {
      input.off("end", atEnd);
      resolve(typeof chunk === "string" ? chunk : chunk.toString("latin1"));
    };
    const atEnd = () => {
      input.off("data", done);
      resolve("\x04");
    };
    input.once("data", done);
    input.once("end", atEnd);
    input.resume();
  });
}
