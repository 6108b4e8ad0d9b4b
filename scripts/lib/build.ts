// The way from the sources to one flashable bundle: esbuild strips types, the board's drivers and constants go in,
// rollup flattens, sections are cut out (bundle/sections.ts), terser minifies. rollup.config.mjs and the tests both
// build through here. Types are the checker's business, not the bundler's.
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type InputOptions, type Plugin, rollup } from "rollup";
import esbuild from "rollup-plugin-esbuild";
import { type BoardData, boardModules } from "./bundle/board_modules";
import { minify, type Names } from "./bundle/minify";
import { type Defines, overrideConstants } from "./bundle/overrides";
import { cutSections, markSections, placeSections, type Section } from "./bundle/sections";

/** The folder of package.json. */
export const PROJECT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** The Storage file under which the bundle lies: what the interpreter starts at boot. */
export const BUNDLE_FILE = ".bootcde";

export interface BuildOptions {
  /** A name in boards/, or the data themselves. */
  board: string | BoardData;
  /** Path of the first module, from the project's folder; firmware/main.ts where absent. */
  entry?: string;
  /** Constants of firmware/profile.ts with other values. */
  defines?: Defines;
  /** Readable: not minified, names kept. */
  debug?: boolean;
}

export interface Bundle {
  /** What goes into Storage: ASCII, one byte a character. */
  code: string;
  /** Source map, JSON. */
  map: string;
  names: Names;
  /** Where the sections lie, in the order of the file. */
  sections: Section[];
}

/** Read the data of boards/<name>.ts. */
export async function readBoard(name: string): Promise<BoardData> {
  return (await import(pathToFileURL(join(PROJECT, "boards", `${name}.ts`)).href)).board;
}

/** Build one bundle in memory. */
export async function buildBundle(options: BuildOptions): Promise<Bundle> {
  const board = typeof options.board === "string" ? await readBoard(options.board) : options.board;
  const state: BundleState = { names: { variables: {}, properties: {} }, sections: [] };
  const bundle = await rollup(inputOptions({ ...options, board }, state));
  try {
    const { output } = await bundle.generate({ format: "es", sourcemap: "hidden" });
    const [chunk] = output;
    return { code: chunk.code, map: chunk.map?.toString() ?? "", ...state };
  } finally {
    await bundle.close();
  }
}

interface BundleState {
  names: Names;
  sections: Section[];
}

/** The rollup configuration of one bundle; what it finds out goes into `state`. */
function inputOptions(options: BuildOptions & { board: BoardData }, state: BundleState): InputOptions {
  const { board, defines = {}, debug = false } = options;
  return {
    input: resolve(PROJECT, options.entry ?? "firmware/main.ts"),
    preserveEntrySignatures: false,
    treeshake: { propertyReadSideEffects: false, tryCatchDeoptimization: false },
    onwarn(warning, warn) {
      // a section refers to the main part that refers to it
      if (warning.code !== "CIRCULAR_DEPENDENCY") warn(warning);
    },
    plugins: [
      esbuild({
        target: "es2015",
        tsconfig: false,
        tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
      }) as Plugin,
      boardModules(board, join(PROJECT, "hal/espruino")),
      overrideConstants(join(PROJECT, "firmware/profile.ts"), defines),
      {
        name: "sections",
        transform: (code) => markSections(code),
        renderChunk: (code) => cutSections(code),
      },
      {
        name: "minify",
        async renderChunk(code) {
          if (debug) return null;
          const minified = await minify(code);
          state.names = minified.names;
          return minified;
        },
      },
      {
        name: "place-sections",
        renderChunk(code) {
          const placed = placeSections(code.trimEnd(), BUNDLE_FILE);
          state.sections = placed.sections;
          return placed;
        },
      },
    ],
  };
}
