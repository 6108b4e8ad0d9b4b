// terser, held to what Espruino's parser takes and to names that its globals do not bear. What each switch is for
// stands beside it; those that are off make what the interpreter refuses.
import { type MinifyOptions, minify as terser } from "terser";
import { PARAMETERS } from "./sections";

/** The pins of the boards, globals that nothing in our code refers to: `A0`, `D13`. */
const PIN_NAMES = [..."ABCDEFGHP"].flatMap((port) => [...Array(10).keys()].map((pin) => `${port}${pin}`));

/** Never given to a name of ours: a keyword of for loops, the interpreter's object and pins, the sections' parameters. */
export const RESERVED_NAMES = ["of", "E", ...PIN_NAMES, ...PARAMETERS];

/** What the minifier renamed: short name -> source name. */
export interface Names {
  /** Top-level functions, constants and variables, globals of the interpreter when the bundle runs. */
  variables: Record<string, string>;
  /** Properties that begin with an underscore. */
  properties: Record<string, string>;
}

export interface Minified {
  code: string;
  map: string;
  names: Names;
}

const NAMES = { toplevel: true, module: true, reserved: RESERVED_NAMES };

const COMPRESS: MinifyOptions["compress"] & object = {
  ecma: 2015,
  module: true,
  toplevel: true,
  passes: 3,
  pure_getters: true,
  unsafe_arrows: true,
  // "default:" would move before a case
  switches: false,
};

const OPTIONS: MinifyOptions = {
  ecma: 2015,
  module: true,
  toplevel: true,
  mangle: { ...NAMES, properties: { regex: /^_(?!_)/ } },
  format: { ascii_only: true, semicolons: true, max_line_len: 250, comments: false, ecma: 2015 },
};

/**
 * Evaluate constant expressions and drop what they switch off; nothing is inlined, names stay. What the sections
 * reach is looked at after this, so that a suite which the profile leaves out holds nothing in the main part.
 */
export async function fold(code: string): Promise<{ code: string; map: string }> {
  const output = await terser(
    { "bundle.js": code },
    {
      ecma: 2015,
      module: true,
      compress: {
        defaults: false,
        ecma: 2015,
        module: true,
        toplevel: true,
        passes: 2,
        keep_fargs: true,
        pure_getters: true,
        conditionals: true,
        dead_code: true,
        evaluate: true,
        side_effects: true,
        unused: true,
      },
      mangle: false,
      format: { beautify: true, indent_level: 2, ascii_only: true, ecma: 2015 },
      sourceMap: { asObject: false },
    },
  );
  return { code: output.code as string, map: output.map as string };
}

/**
 * Minify one flat program; `map` of the result leads back to `code`. `inline`: 2 puts a short function of one use in the place
 * of its call, where the guard finds nothing against it.
 */
export async function minify(code: string, inline: 1 | 2 = 1): Promise<Minified> {
  return run(code, { ...OPTIONS, compress: { ...COMPRESS, inline } });
}

/**
 * Give the names of a minified program anew, in the order in which it declares them (order.ts); `names` are those that it had,
 * and become those that it has.
 */
export async function rename(code: string, names: Names): Promise<Minified> {
  const renamed = await run(code, { ...OPTIONS, compress: false, mangle: NAMES });
  const variables = Object.entries(renamed.names.variables).map(([now, before]) => [
    now,
    names.variables[before] ?? before,
  ]);
  return { ...renamed, names: { ...names, variables: Object.fromEntries(variables) } };
}

async function run(code: string, options: MinifyOptions): Promise<Minified> {
  const nameCache: { vars?: { props?: Record<string, string> }; props?: { props?: Record<string, string> } } =
    {};
  const output = await terser(
    { "bundle.js": code },
    { ...options, nameCache, sourceMap: { asObject: false } },
  );
  const names = { variables: reverse(nameCache.vars?.props), properties: reverse(nameCache.props?.props) };
  return { code: output.code as string, map: output.map as string, names };
}

function reverse(cache: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(cache).map(([source, short]) => [short, source.replace(/^\$/, "")]),
  );
}
