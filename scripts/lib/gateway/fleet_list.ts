// The list that says who is let in, one file for the gateway and for Mosquitto's plugin: a line `key-version N` (the
// fleet's; N - 1 is let in as well), lines `operator IDENTITY` (may use every topic), and an identity a line for each that
// is denied. Blank lines and those that begin with # are for people. It is read again on SIGHUP, and what it says then
// replaces what it said.
import { readFileSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { type Identity, parseIdentity } from "../keys/identity";

export interface FleetList {
  /** Undefined where no line says it. */
  keyVersion?: number;
  denied: ReadonlySet<string>;
  operators: ReadonlySet<string>;
}

export const EMPTY_LIST: FleetList = { denied: new Set(), operators: new Set() };

/** Whether an identity is let in: its key version is the fleet's or the one before, and nobody has denied it. */
export function isLetIn(list: FleetList, identity: Identity): boolean {
  const version = list.keyVersion ?? 1;
  const current = identity.keyVersion === version || identity.keyVersion === version - 1;
  return current && !list.denied.has(identity.text);
}

/** Read a list. Throws UsageError with the line that is none. */
export function readFleetList(path: string): FleetList {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the list ${path}: ${fileFault(error)}.`);
  }
  let keyVersion: number | undefined;
  const denied = new Set<string>();
  const operators = new Set<string>();
  for (const [at, line] of text.split("\n").entries()) {
    const [word, name, more] = line.trim().split(/\s+/);
    if (word === "" || word.startsWith("#")) continue;
    try {
      if (word === "key-version" && more === undefined && /^[1-9]\d{0,4}$/.test(name))
        keyVersion = Number(name);
      else if (word === "operator" && name !== undefined && more === undefined)
        operators.add(parseIdentity(name).text);
      else denied.add(parseIdentity(line.trim()).text);
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`${path}, line ${at + 1}: ${error.message}`);
      throw error;
    }
  }
  return { keyVersion, denied, operators };
}
