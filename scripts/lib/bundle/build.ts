// Bundles for whoever asks: the options of a build, what it gives, and what was built before (bundle/cache.ts). Only a bundle that
// is not there yet loads what makes it, bundle/make.ts. rollup.config.mjs and the tests both build through here.
import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { OutputBundle, Plugin, PluginContext, RollupOptions } from "rollup";
import { BUNDLE_FILE } from "../../../firmware/profile";
import { type BoardData, boardNames, PROJECT, readBoard } from "../project";
import { Cache } from "./cache";
import type { Names } from "./minify";
import type { Defines } from "./overrides";
import type { Section } from "./sections";
import { type Sizes, sizeTable } from "./sizes";

export { BUNDLE_FILE, boardNames, PROJECT, readBoard };

export interface BuildOptions {
  /** A name in boards/, or the data themselves. */
  board: string | BoardData;
  /** Path of the first module, from the project's folder; firmware/main.ts where absent. */
  entry?: string;
  /** A name in firmware/profiles.ts; "main" where absent. */
  profile?: string;
  /** Constants of firmware/profile.ts with other values, whatever the profile says. */
  defines?: Defines;
  /** Path of the product's module, from the project's folder; firmware/product/echo.ts where absent. */
  product?: string;
  /** Readable: not minified, names kept, no tokens. */
  debug?: boolean;
}

export interface Bundle {
  /** The board's name. */
  board: string;
  /** What goes into Storage: one byte a character, tokens among them. */
  code: string;
  /** Source map, JSON. */
  map: string;
  names: Names;
  /** Where the sections lie, in the order of the file. */
  sections: Section[];
  sizes: Sizes;
}

export const MAIN = "firmware/main.ts";
/** The product that there is without one. */
export const ECHO = "firmware/product/echo.ts";
export const TLS_MODULE = "firmware/module/tls_psk.ts";
export const LOADER = "firmware/boot/loader.ts";

const cache = new Cache<Bundle>(join(PROJECT, "dist/.cache"));

/** What every bundle depends on, whatever modules it is made of. */
export function toolFiles(): string[] {
  const folder = join(PROJECT, "scripts/lib/bundle");
  const tools = readdirSync(folder).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  return [
    join(PROJECT, "package-lock.json"),
    join(PROJECT, "firmware/profile.ts"),
    join(PROJECT, "firmware/profiles.ts"),
    ...tools.map((name) => join(folder, name)),
  ];
}

/** Build one bundle, or take what was built of the same. Throws: what the guard refuses, what is over the size limit. */
export async function buildBundle(options: BuildOptions): Promise<Bundle> {
  const { board, entry = MAIN, product = ECHO, profile = "main", defines = {}, debug = false } = options;
  const data = typeof board === "string" ? await readBoard(board) : board;
  const whole = { board: data, entry, product: resolve(PROJECT, product), profile, defines, debug };
  // a program from elsewhere is a test's, made once
  const isOurs = !relative(PROJECT, resolve(PROJECT, entry)).startsWith("..");
  const make = async () => (await import("./make")).makeBundle(whole);
  return isOurs ? cache.get(whole, make) : (await make()).value;
}

/** The rollup configuration that writes dist/<board>/ with firmware.js, names.json and size.json, or the loader.js beside it. */
export async function rollupOptions(options: BuildOptions & { board: string }): Promise<RollupOptions> {
  const bundle = await buildBundle(options);
  const isLoader = options.entry === LOADER;
  const { sizes } = bundle;
  if (!options.debug)
    console.log(isLoader ? `loader: ${sizes.total} bytes, ${sizes.left} left` : `\n${sizeTable(sizes)}`);
  const name = isLoader ? "loader" : "firmware";
  const entryFileNames = options.debug ? `${name}.debug.js` : `${name}.js`;
  const built: Plugin = {
    name: "built",
    resolveId: (id) => id,
    load: () => "",
    generateBundle(_output, files) {
      emitBundle(this, files, bundle, options);
    },
  };
  return {
    input: "built",
    onwarn: () => undefined,
    plugins: [built],
    output: { format: "es", entryFileNames, dir: join(PROJECT, "dist", options.board) },
  };
}

/** Put the files of `bundle` in place of rollup's one, which it would write as UTF-8. */
function emitBundle(
  context: PluginContext,
  files: OutputBundle,
  bundle: Bundle,
  options: BuildOptions,
): void {
  const [chunk] = Object.keys(files);
  delete files[chunk];
  const emit = (fileName: string, source: string | Buffer): void =>
    void context.emitFile({ type: "asset", fileName, source });
  emit(chunk, Buffer.from(bundle.code, "latin1"));
  emit(`${chunk}.map`, bundle.map);
  if (options.debug || options.entry === LOADER) return;
  const { names, sections, sizes } = bundle;
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  emit("names.json", json({ ...names, sections }));
  emit("size.json", json(sizes));
}
