// Command lines from tables: each option is one row, `--help` is made from the rows, and what a value may be is said
// by its row's `parse`, which throws a UsageError with a sentence. Built on parseArgs of node:util.
// Leaves out: commands of several words, which subcommands.ts makes of several such tables.
import { parseArgs } from "node:util";
import { UsageError } from "./exit";
import { hideInput } from "./hidden_input";
import { wrap, wrapLines } from "./wrap";

/** One row: `value` names the argument in the help; a row without `value` is a switch. */
export interface OptionRow<T> {
  help: string;
  short?: string;
  value?: string;
  parse?: (text: string) => T;
  multiple?: boolean;
}

/** A switch: present or not. */
export function flag(help: string, short?: string): OptionRow<boolean> {
  return { help, short };
}

/** An option with a value; `parse` turns its text into what the command works with, or throws a UsageError. */
export function option<T = string>(value: string, help: string, parse?: (text: string) => T): OptionRow<T> {
  return { help, value, parse };
}

/** An option that may be given several times. */
export function options<T = string>(
  value: string,
  help: string,
  parse?: (text: string) => T,
): OptionRow<T[]> {
  return { help, value, parse: parse as unknown as (text: string) => T[], multiple: true };
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds rows of many types
export type OptionTable = Record<string, OptionRow<any>>;
export type Parsed<Table extends OptionTable> = {
  [Name in keyof Table]?: Table[Name] extends OptionRow<infer T> ? T : never;
};

export interface Command<Table extends OptionTable> {
  /** As people type it, for example `npm start --`. */
  usage: string;
  /** What it does, in a sentence or three. */
  about: string;
  options: Table;
  /** Names of the positional arguments that must be given. */
  positionals?: string[];
}

/** Parse a command line by its table; on `--help` print the help and return undefined. Throws UsageError. */
export function parseCommand<Table extends OptionTable>(
  command: Command<Table>,
  argv: string[],
): { options: Parsed<Table>; positionals: string[] } | undefined {
  const config: Record<string, { type: "string" | "boolean"; short?: string; multiple?: boolean }> = {
    help: { type: "boolean", short: "h" },
  };
  for (const [name, row] of Object.entries(command.options)) {
    config[name] = { type: row.value ? "string" : "boolean", multiple: row.multiple ?? false };
    if (row.short) config[name].short = row.short;
  }
  let raw: { values: Record<string, unknown>; positionals: string[] };
  try {
    raw = parseArgs({ args: argv, options: config, allowPositionals: true });
  } catch (error) {
    const { message } = error as Error;
    const [, dashed] = /argument is ambiguous.*'(--[\w-]+)=-XYZ'/s.exec(message) ?? [];
    if (dashed)
      throw new UsageError(`a value that begins with a dash is given as ${dashed}=-... See --help.`);
    throw new UsageError(`${message.split(". ")[0]}. See --help.`);
  }
  if (raw.values.help) {
    console.log(helpText(command, process.stdout.columns));
    return undefined;
  }
  const wanted = command.positionals ?? [];
  if (raw.positionals.length > wanted.length) {
    throw new UsageError(`"${raw.positionals[wanted.length]}" is more than this command takes. See --help.`);
  }
  if (raw.positionals.length < wanted.length) {
    throw new UsageError(`${wanted[raw.positionals.length]} is missing. See --help.`);
  }
  const parsed: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(command.options)) {
    const given = raw.values[name];
    if (given === undefined) continue;
    const parse = (text: string) => {
      try {
        return row.parse ? row.parse(text) : text;
      } catch (error) {
        if (error instanceof UsageError) throw new UsageError(`--${name}: ${error.message}`);
        throw error;
      }
    };
    parsed[name] =
      typeof given === "boolean" ? given : Array.isArray(given) ? given.map(parse) : parse(given as string);
  }
  // from here on it may ask for a secret, and what is typed for it may be there sooner
  if ("passphrase-file" in command.options) hideInput();
  return { options: parsed as Parsed<Table>, positionals: raw.positionals };
}

/** Make the text of `--help` from the command's table, broken at the terminal's `columns`. */
export function helpText(command: Command<OptionTable>, columns?: number): string {
  const rows = Object.entries({ ...command.options, help: flag("this text", "h") }).map(([name, row]) => {
    const head = `${row.short ? `-${row.short}, ` : ""}--${name}${row.value ? ` ${row.value}` : ""}`;
    return { head, help: row.help };
  });
  const width = Math.max(...rows.map((row) => row.head.length));
  const positionals = (command.positionals ?? []).map((name) => ` ${name}`).join("");
  return [
    wrapLines(`usage: ${command.usage}${positionals} [options]`, columns),
    "",
    wrapLines(command.about, columns, 0),
    "",
    ...rows.map((row) => wrap(`  ${row.head.padEnd(width)}  ${row.help}`, columns, width + 4)),
  ].join("\n");
}

/** Parse a whole number between two bounds, both included. */
export function integer(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d{1,15}$/.test(text) || number < minimum || number > maximum) {
      throw new UsageError(`"${text}" is not a whole number from ${minimum} to ${maximum}.`);
    }
    return number;
  };
}

/** Parse one of a list of words. */
export function oneOf<Word extends string>(words: readonly Word[]): (text: string) => Word {
  return (text) => {
    if (!words.includes(text as Word)) throw new UsageError(`"${text}" is none of ${words.join(", ")}.`);
    return text as Word;
  };
}

export interface Endpoint {
  host: string;
  port: number;
}

/** Parse `HOST:PORT`; the host is a name or an IPv4 address (the board's stack speaks nothing else), the port 1 to 65535. */
export function endpoint(text: string): Endpoint {
  const colon = text.lastIndexOf(":");
  if (colon < 1) throw new UsageError(`"${text}" is not HOST:PORT.`);
  return { host: hostName(text.slice(0, colon)), port: port(text.slice(colon + 1)) };
}

/** Parse a TCP port that one can connect to. */
export function port(text: string): number {
  try {
    return integer(1, 65535)(text);
  } catch {
    throw new UsageError(`"${text}" is not a port, which is a whole number from 1 to 65535.`);
  }
}

const HOST_LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;

function hostName(text: string): string {
  const labels = text.split(".");
  const numbersOnly = labels.every((label) => /^\d+$/.test(label));
  const good = numbersOnly
    ? labels.length === 4 && labels.every((label) => Number(label) <= 255)
    : text.length <= 253 && labels.every((label) => HOST_LABEL.test(label));
  if (!good) throw new UsageError(`"${text}" is neither a host name nor an IPv4 address.`);
  return text;
}
