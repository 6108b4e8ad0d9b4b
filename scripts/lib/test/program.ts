// How a test starts a program of the project: compiled where the runner has compiled all (run.ts), else by tsx.
import { join } from "node:path";
import { PROJECT } from "../project";

/** The runner's compiled tree; undefined where tsx runs the sources. */
const TREE = process.env.COMPILED_TREE;

/** Give the place of a source in a compiled tree. */
export function placeIn(tree: string, source: string): string {
  return join(tree, source.replace(/\.ts$/, ".js"));
}

/** Give the path under which node finds a module of the project: for fork(), and for import() as a URL. */
export function modulePath(source: string): string {
  return TREE ? placeIn(TREE, source) : join(PROJECT, source);
}

/** Give node's arguments that run a module of the project: `scripts/ota.ts`. */
export function nodeArguments(source: string, ...args: string[]): string[] {
  return [...LOADER, modulePath(source), ...args];
}

/** What node needs to load the modules of `modulePath`. */
export const LOADER: readonly string[] = TREE ? [] : ["--import", "tsx"];
