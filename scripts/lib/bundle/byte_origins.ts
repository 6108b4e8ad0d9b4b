// Where every byte of a bundle comes from, by its source map.
import { decodedMappings, TraceMap } from "@jridgewell/trace-mapping";
import type { Section } from "./sections";
import { type ModuleSize, SIZE_LIMIT, type Sizes } from "./sizes";

/** Attribute every byte of `code` to the module that its source map names. */
export function measure(
  board: string,
  code: string,
  map: string,
  sections: readonly Section[],
  limit = SIZE_LIMIT,
): Sizes {
  const tail = sections[0]?.offset ?? code.length;
  const rows = new Map<string, ModuleSize>();
  const add = (module: string, from: number, to: number): void => {
    const row = rows.get(module) ?? { module, main: 0, sections: 0, total: 0 };
    rows.set(module, row);
    const inMain = Math.max(0, Math.min(to, tail) - Math.min(from, tail));
    row.main += inMain;
    row.sections += to - from - inMain;
    row.total += to - from;
  };
  const trace = new TraceMap(map);
  const mappings = decodedMappings(trace);
  let lineStart = 0;
  let module = "build";
  code.split("\n").forEach((line, number) => {
    let column = 0;
    for (const segment of mappings[number] ?? []) {
      add(module, lineStart + column, lineStart + segment[0]);
      column = segment[0];
      module = (segment.length > 1 && trace.sources[segment[1] as number]) || "build";
    }
    const end = Math.min(lineStart + line.length + 1, code.length);
    add(module, lineStart + column, end);
    lineStart = end;
  });
  return {
    board,
    total: code.length,
    left: limit - code.length,
    modules: [...rows.values()].filter((row) => row.total > 0).sort((a, b) => b.total - a.total),
    sections: Object.fromEntries(sections.map(({ name, length }) => [name, length])),
  };
}
