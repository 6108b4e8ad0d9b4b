// How many of the interpreter's variables the firmware holds between two events, estimated for show: the simulator runs
// the bundle on Node, whose memory says nothing about the board's. Counts what stands at the top level of the bundle by
// what each kind of value costs an Espruino with 12-byte variables. Leaves out what only closures, listeners and the
// queue hold; the true figure, and the peak, come from `npm run test:engine` on the interpreter.
import type { Machine } from "../../hal/simulator/machine";

/** The interpreter itself. */
const INTERPRETER = 49;
/** A function whose code stays in flash, its name included, without its parameters. */
const FUNCTION = 6;
/** Bytes of a string or an array in one variable of a flat run. */
const BYTES_PER_VARIABLE = 12;
/** How deep objects are followed. */
const DEPTH = 3;

/** Estimate the variables that the bundle's top level holds; `names`: its mangled names by their sources. */
export function estimateVariables(machine: Machine, names: Record<string, string>): number {
  let variables = INTERPRETER;
  for (const short of Object.keys(names)) {
    try {
      variables += costOf(machine.run(short), DEPTH);
    } catch {
      // the name lives inside of something, or is not bound yet
    }
  }
  return variables;
}

function costOf(value: unknown, depth: number): number {
  if (typeof value === "function") return FUNCTION + value.length;
  if (typeof value === "string") return 1 + Math.ceil(value.length / BYTES_PER_VARIABLE);
  if (typeof value !== "object" || value === null) return 1;
  if (ArrayBuffer.isView(value)) return 3 + Math.ceil(value.byteLength / BYTES_PER_VARIABLE);
  if (depth === 0) return 1;
  return Object.values(value).reduce((sum: number, member) => sum + costOf(member, depth - 1), 1);
}
