// Where in a product's sources something was thrown: of the places that the simulator tells (hal/simulator/thrown.ts), by the bundle's
// source map, the innermost that is in the product's own file or in one beside it.
import { dirname, relative, resolve } from "node:path";
import { originalPositionFor, sourceContentFor, TraceMap } from "@jridgewell/trace-mapping";
import type { Place } from "../../../hal/simulator/thrown";
import type { Bundle } from "../bundle/build";
import { PROJECT } from "../project";

export interface SourcePlace {
  /** As people know it, from the working folder. */
  file: string;
  /** From 1. */
  line: number;
  /** The line. */
  source: string;
}

/** Find the product's own place; undefined: nothing of it was there. `product`: path of its module. */
export function productPlace(
  bundle: Bundle,
  product: string,
  places: readonly Place[],
): SourcePlace | undefined {
  const map = new TraceMap(bundle.map);
  const isOwn = (path: string) =>
    path === product || (path.startsWith(`${dirname(product)}/`) && !path.startsWith(`${PROJECT}/firmware/`));
  for (const { code, offset } of places) {
    // what is loaded is as much as a section can be; the next zero ends it
    const base = bundle.code.indexOf(code.split("\0")[0]);
    if (base < 0) continue;
    const before = bundle.code.slice(0, base + offset).split("\n");
    const at = originalPositionFor(map, { line: before.length, column: before[before.length - 1].length });
    const path = at.source && resolve(PROJECT, at.source);
    if (!path || !isOwn(path)) continue;
    const source = sourceContentFor(map, at.source as string)?.split("\n")[(at.line as number) - 1] ?? "";
    return { file: relative(process.cwd(), path), line: at.line as number, source: source.trim() };
  }
  return undefined;
}

/** What was thrown, in words. */
export function thrownText(error: unknown): string {
  const { name, message } = Object(error) as { name?: unknown; message?: unknown };
  return message === undefined ? String(error) : `${name}: ${message}`;
}
