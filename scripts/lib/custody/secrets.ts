// Passphrases and PINs: typed at the terminal without echo, or from a private file, or from an inherited file
// descriptor; never from the command line or the environment, which every process of the machine may read. A command
// that needs several names them (`psk=FILE`). They are handed out as bytes, which the caller wipes after use.
// Leaves out: keeping pages out of swap, which Node cannot do; strength meters, as no rule sees what a person knows.
import { readFileSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { type HiddenInput, hideInput, showInput } from "../cli/hidden_input";
import { type OptionTable, options } from "../cli/options";
import { showLines } from "../cli/show";
import { checkPrivateFile, readPrivateFile } from "../files/private_file";

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

/** Refuse a file of a token's PIN that could not be read when it is needed. Throws UsageError. */
export function checkPinSource(path: string): void {
  checkPrivateFile(path, LONGEST + 2, "a PIN");
}

/** A passphrase or PIN that opens nothing, or is none: at the terminal it is asked again. */
export class WrongSecret extends UsageError {}

type Source =
  | { kind: "prompt" }
  | { kind: "file"; path: string }
  | { kind: "descriptor"; descriptor: number };

/** The passphrases of one command, by name; each is read once, when it is asked for. */
export class Secrets {
  private readonly sources = new Map<string, Source>();
  private readonly hidden: HiddenInput | undefined;

  /** `names`: all that this command may ask for. Throws UsageError for any other, and for one given twice. */
  constructor(
    given: { "passphrase-file"?: string[]; "passphrase-fd"?: string[] },
    private readonly names: readonly string[],
  ) {
    for (const text of given["passphrase-file"] ?? []) {
      this.add("--passphrase-file", text, (path) => {
        checkPrivateFile(path, LONGEST + 2, "a passphrase");
        return { kind: "file", path };
      });
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
    const mayAsk = names.some((name) => !this.sources.has(name));
    if (mayAsk) this.hidden = hideInput();
  }

  /** Give the terminal to whoever comes next: the scan field, a console. What was typed ahead is dropped. */
  close(): void {
    showInput();
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

  /**
   * Open something that exists with its passphrase (made NFC), or with a token's PIN or a network's password as it is. `open` throws
   * a WrongSecret where that was not it: at the terminal it is then asked again.
   */
  async opening<Opened>(
    name: string,
    what: string,
    open: (secret: Buffer) => Promise<Opened>,
    kind: "passphrase" | "PIN" | "password" = "passphrase",
  ): Promise<Opened> {
    return await this.untilRight(name, async () => {
      const bytes = await this.read(name, `${kind[0].toUpperCase()}${kind.slice(1)} of ${what}: `, what);
      if (bytes.length === 0) throw new WrongSecret(`the ${kind} of ${what} is empty.`);
      const secret = kind === "passphrase" ? normalized(bytes) : bytes;
      return await open(secret).finally(() => secret.fill(0));
    });
  }

  /** Read a new passphrase and hold it to the rules, and to be none of the `others`; at a terminal it is typed twice. */
  async fresh(name: string, what: string, others: readonly Buffer[] = []): Promise<Buffer> {
    return await this.untilRight(name, async () => {
      const bytes = normalized(await this.read(name, `New passphrase for ${what}: `, what));
      const fault = passphraseFault(bytes.toString());
      if (fault) throw new WrongSecret(`the passphrase for ${what} ${fault}.`);
      if (others.some((other) => other.equals(bytes)))
        throw new WrongSecret(
          `the passphrase for ${what} is another's as well; they are for different hands.`,
        );
      if (this.sources.has(name)) return bytes;
      const again = normalized(await this.read(name, "The same again: ", what));
      if (!bytes.equals(again)) throw new WrongSecret(`the two passphrases for ${what} differ.`);
      return bytes;
    });
  }

  private async untilRight<Result>(name: string, attempt: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof WrongSecret) || this.sources.has(name)) throw error;
        process.stderr.write(`${showLines(error.message)} Once more, or Ctrl-C.\n`);
      }
    }
  }

  private async read(name: string, question: string, what: string): Promise<Buffer> {
    const source = this.sources.get(name) ?? { kind: "prompt" };
    switch (source.kind) {
      case "prompt":
        if (!this.hidden)
          throw new UsageError(
            `there is no terminal to ask for the passphrase or PIN of ${what}; give --passphrase-file or --passphrase-fd.`,
          );
        return await this.hidden.ask(question);
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
