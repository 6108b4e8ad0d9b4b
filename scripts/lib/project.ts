// Where the project lies, and its boards' data: for whoever needs no build.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "./cli/exit";

/** The folder of package.json. */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** A board's data as the build sees them; boards/board.ts has their shape and units. */
export type BoardData = Readonly<Record<string, unknown>>;

/** What else lies in boards/. */
const NO_BOARDS = ["board.ts", "builds.ts"];

/** List the boards that have a data file. */
export function boardNames(): string[] {
  return readdirSync(join(PROJECT, "boards"))
    .filter((file) => file.endsWith(".ts") && !NO_BOARDS.includes(file) && !/\.(test|d)\.ts$/.test(file))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}

/** Read the data of boards/<name>.ts; throws UsageError where there is none of that name. */
export async function readBoard(name: string): Promise<BoardData> {
  const known = boardNames();
  if (!known.includes(name)) throw new UsageError(`no board "${name}"; there are ${known.join(", ")}.`);
  return (await import(new URL(`../../boards/${name}.ts`, import.meta.url).href)).board;
}
