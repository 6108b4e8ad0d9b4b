// How many of the interpreter's variables the firmware holds between two events, estimated for show: the simulator runs
// the bundle on Node, whose memory says nothing about the board's. Counts what stands at the top level of the bundle by
// what each kind of value costs an Espruino with 12-byte variables. Leaves out what only closures and the queue hold;
// the true figure, and the peak, come from `npm run test:engine` on the interpreter.
import type { Machine } from "../../../hal/simulator/machine";
import { detokenise } from "../../../hal/tokens";

/** The interpreter itself. */
const INTERPRETER = 49;
/** A net socket with three listeners of 7 each, two timers of 6 each, and a record half received. */
const CONNECTION = 45;
/** A function whose code stays in flash, its name included, without its parameters. */
const FUNCTION = 6;
/** A text that lies in flash, its name included. */
const FLASH_TEXT = 2;
/** Bytes of a string or an array in one variable of a flat run. */
const BYTES_PER_VARIABLE = 12;

/** Estimate the variables that the bundle's top level holds; `names`: its mangled names by their sources. */
export function estimateVariables(machine: Machine, code: string, names: Record<string, string>): number {
  let variables = INTERPRETER + CONNECTION;
  const text = detokenise(code);
  for (const short of Object.keys(names)) {
    try {
      const value = machine.run(short);
      // the bundle itself stays in flash
      variables += typeof value === "string" && value.startsWith(code) ? FLASH_TEXT : costOf(value, text);
    } catch {
      // the name lives inside of something, or is not bound yet
    }
  }
  return variables;
}

function costOf(value: unknown, code: string): number {
  if (typeof value === "string") return 1 + Math.ceil(value.length / BYTES_PER_VARIABLE);
  // A native, under a name of its own, is only referred to.
  if (typeof value === "function") return code.includes(value.toString()) ? FUNCTION + value.length : 1;
  if (typeof value !== "object" || value === null) return 1;
  if (ArrayBuffer.isView(value)) return 3 + Math.ceil(value.byteLength / BYTES_PER_VARIABLE);
  const members = Object.values(value);
  const isNative = members.some(
    (member) => typeof member === "function" && !code.includes(member.toString()),
  );
  return isNative ? 1 : members.length + 1;
}
