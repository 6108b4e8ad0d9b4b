// The size budget: where every byte of a bundle comes from (byte_origins.ts), as a table, and whether the whole is within
// what a slot has for an image, and each section within its own.
import { SECTION_LIMIT } from "../../../firmware/profile";
import { UsageError } from "../cli/exit";
import { imageLongest } from "../ota/layout";
import type { Section } from "./sections";

/** Most bytes of the firmware itself, with the product that there is without one, on every board: a slot of 16,384. */
export const SIZE_LIMIT = imageLongest({ slotBytes: 16_384 });

/** Most bytes of the loader: twice as many where the board has no SHA-256 of its own. */
export function loaderLimit({ digest }: { digest?: unknown }): number {
  return digest === "own_digest" ? 2048 : 1024;
}

export interface ModuleSize {
  /** Path from the project's folder; "build" is what no module wrote: section heads, offsets. */
  module: string;
  /** Bytes in the running part and in the sections. */
  main: number;
  sections: number;
  total: number;
}

export interface Sizes {
  board: string;
  /** Bytes of the bundle, and what is left below the limit. */
  total: number;
  left: number;
  /** Of the firmware itself: bytes that its slot has left for a product. */
  room?: number;
  modules: ModuleSize[];
  /** Bytes of each section. */
  sections: Record<string, number>;
}

/** Write the sizes of one bundle as a table for people. */
export function sizeTable(sizes: Sizes): string {
  const folders = new Map<string, ModuleSize>();
  for (const row of sizes.modules) {
    const folder = row.module.includes("/") ? row.module.replace(/\/[^/]*$/, "/") : row.module;
    const sum = folders.get(folder) ?? { module: folder, main: 0, sections: 0, total: 0 };
    folders.set(folder, sum);
    sum.main += row.main;
    sum.sections += row.sections;
    sum.total += row.total;
  }
  const width = Math.max(24, ...sizes.modules.map((row) => row.module.length));
  const line = (name: string, ...cells: (string | number)[]): string =>
    name.padEnd(width) + cells.map((cell) => String(cell).padStart(9)).join("");
  const row = (each: ModuleSize): string => line(each.module, each.main, each.sections, each.total);
  const rule = "-".repeat(width + 27);
  return [
    line(sizes.board, "main", "sections", "bytes"),
    rule,
    ...sizes.modules.map(row),
    rule,
    ...[...folders.values()].sort((a, b) => b.total - a.total).map(row),
    rule,
    `${sizes.total} of ${sizes.total + sizes.left} bytes, ${sizes.left} left` +
      (sizes.room === undefined ? "" : `; for a product of your own ${sizes.room}`),
  ].join("\n");
}

/** Throw when a bundle is over the limit, or one of its sections over its own, `sectionLimit`. */
export function holdToBudget(
  sizes: Sizes,
  sections: readonly Section[],
  sectionLimit: number = SECTION_LIMIT,
): void {
  for (const { name, length } of sections)
    if (length > sectionLimit)
      throw new UsageError(`section ${name} has ${length} bytes, ${sectionLimit} are allowed: split it`);
  if (sizes.left < 0)
    throw new UsageError(
      `${sizes.board}: ${sizes.total} bytes, ${-sizes.left} over the ${sizes.total + sizes.left} allowed`,
    );
}
