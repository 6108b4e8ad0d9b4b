// The way from the sources to one flashable bundle: esbuild strips types, the board's drivers and constants go in,
// rollup flattens, sections are cut out (bundle/sections.ts), terser minifies, and words become the interpreter's tokens
// (bundle/tokens.ts). Types are the checker's business, not the bundler's.
import { dirname, join, relative, resolve } from "node:path";
import { originalPositionFor, sourceContentFor, TraceMap } from "@jridgewell/trace-mapping";
import MagicString from "magic-string";
import { type InputOptions, type OutputOptions, type Plugin, rollup } from "rollup";
import esbuild from "rollup-plugin-esbuild";
import type { Board } from "../../../boards/board";
import { BUNDLE_FILE } from "../../../firmware/profile";
import { pinNames } from "../../../hal/pin_names";
import { UsageError } from "../cli/exit";
import { imageLongest } from "../ota/layout";
import { type BoardData, PROJECT, readBoard } from "../project";
import { boardModules } from "./board_modules";
import { type BuildOptions, type Bundle, ECHO, LOADER, MAIN, TLS_MODULE, toolFiles } from "./build";
import { measure } from "./byte_origins";
import { inlineConstants } from "./constants";
import { shortenDeclarations } from "./declarations";
import { flagsAsNumbers } from "./flags";
import { EARLY, type Finding, findRefused, guardBundle } from "./guard";
import { EXPRESSION_ROUNDS, inlineExpressions } from "./inline_expressions";
import { inlineOnce, ROUNDS } from "./inline_once";
import { fold, minify, type Names, rename } from "./minify";
import { nameNatives } from "./natives";
import { orderDeclarations } from "./order";
import { type Defines, overrideConstants } from "./overrides";
import { packTables } from "./pack_tables";
import { productModule } from "./product";
import { overlay, profileOf } from "./profiles";
import { reduceCalls } from "./reduce";
import { cutSections, markSections, type Placed, placeSections } from "./sections";
import { holdToBudget, loaderLimit, SIZE_LIMIT } from "./sizes";
import { type Rewritten, rewritten } from "./syntax";
import { preferTokens, type Tokenised, tokeniseBundle } from "./tokens";

/** Programs that do not lie where the firmware lies: they have no sections, what they use is simply there. */
const WHOLE = ["firmware/boot/provision.ts", "firmware/boot/drivers.ts", TLS_MODULE, LOADER];

/** The module `tls-psk` is given its identity and key, where the firmware has them in flash. */
const GIVEN: Plugin = {
  name: "given-credentials",
  resolveId: (specifier) =>
    /\/store\/(key|settings)$/.test(specifier) ? join(PROJECT, "firmware/module/credentials.ts") : null,
};

/** What makes a section. */
const LOAD_SECTION = join(PROJECT, "firmware/boot/load_section.ts");

const OUTPUT: OutputOptions = {
  format: "es",
  sourcemap: "hidden",
  sourcemapPathTransform: (source, map) => relative(PROJECT, resolve(dirname(map), source)),
};

/** Make a bundle in memory, and tell of which files. */
export async function makeBundle(options: BuildOptions): Promise<{ inputs: string[]; value: Bundle }> {
  const bundles: Bundle[] = [];
  const build = await rollup(await inputOptions(options, (bundle) => bundles.push(bundle))).catch(tell);
  try {
    await build.generate(OUTPUT);
    const modules = build.watchFiles.filter((file) => !file.startsWith("\0"));
    return { inputs: [...toolFiles(), ...modules], value: bundles[0] };
  } finally {
    await build.close();
  }
}

/** What esbuild cannot read: the first place of it, as a sentence. */
function tell(error: Error): never {
  const [, file, line, what] = /^(.+?):(\d+):\d+: ERROR: (.*)$/m.exec(error.message) ?? [];
  if (file) throw new UsageError(`${relative(process.cwd(), file)}:${line}: this is no TypeScript: ${what}.`);
  throw error;
}

/** A constant made of constants made of constants folds in as many rounds. */
const FOLDING: Plugin[] = [1].flatMap((round) => [
  { name: `inline-constants-${round}`, renderChunk: (code: string) => inlineConstants(code) },
  { name: `fold-${round}`, renderChunk: (code: string) => fold(code) },
]);

/** Room for a readable bundle, bytes: the interpreter for Linux has it, the slots of the boards have not. */
const READABLE_BYTES = 0x18000;

/** The way of one bundle through rollup; `onBundle` gets what came out. */
async function inputOptions(
  options: BuildOptions,
  onBundle: (bundle: Bundle) => void,
): Promise<InputOptions> {
  const { debug = false } = options;
  const data = typeof options.board === "string" ? await readBoard(options.board) : options.board;
  // a readable bundle is as long as it is: its manifest, keys and other slot are looked for behind it
  const { constants, over = {}, drivers = {} } = profileOf(options.profile ?? "main");
  const board: BoardData = {
    ...Object.fromEntries(
      Object.entries(data).map(([field, value]) => [field, drivers[String(value)] ?? value]),
    ),
    ...(debug ? { slotBytes: READABLE_BYTES } : {}),
  };
  // other programs have room
  const leavesOut = (options.entry ?? MAIN) === MAIN ? ((board.leavesOut as string[] | undefined) ?? []) : [];
  const defines: Defines = {
    ...Object.fromEntries(leavesOut.map((name) => [name, false])),
    ...constants,
    ...options.defines,
  };
  if (typeof board.randomSource !== "string" || board.randomSource === "")
    throw new Error(
      `board ${board.name} names no true source of noise (randomSource): it would make weak nonces`,
    );
  const whole = WHOLE.includes(options.entry ?? "");
  // variables count, and bytes do not
  const isSmall = defines.SMALL === true;
  let names: Names = { variables: {}, properties: {} };
  let placed: Placed | undefined;
  let tokenised: Tokenised | undefined;
  return {
    input: resolve(PROJECT, options.entry ?? MAIN),
    preserveEntrySignatures: false,
    // what no one takes anything of is left out, whatever it would do: only an entry is there for its effects
    treeshake: { moduleSideEffects: false, propertyReadSideEffects: false, tryCatchDeoptimization: false },
    onwarn(warning, warn) {
      if (warning.code === "UNRESOLVED_IMPORT") throw new UsageError(warning.message);
      // a section refers to the main part that refers to it
      if (warning.code !== "CIRCULAR_DEPENDENCY") warn(warning);
    },
    plugins: [
      ...(options.entry === TLS_MODULE ? [GIVEN] : []),
      overlay(join(PROJECT, "firmware"), over),
      esbuild({
        target: "es2015",
        tsconfig: false,
        tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
      }) as Plugin,
      boardModules(board, join(PROJECT, "hal/espruino")),
      productModule(resolve(PROJECT, options.product ?? ECHO), defines.PEER === true),
      overrideConstants(join(PROJECT, "firmware/profile.ts"), defines),
      {
        name: "readable-sections", // are as long as they are
        transform: (code, id) =>
          debug && id === LOAD_SECTION
            ? rewritten(new MagicString(code).replaceAll(", SECTION_LIMIT)", ")"))
            : null,
      },
      { name: "mark-sections", transform: (code) => markSections(code, whole ? "" : LOAD_SECTION) },
      ...FOLDING,
      { name: "pack-tables", renderChunk: (code) => packTables(code) },
      { name: "flags-as-numbers", renderChunk: (code) => flagsAsNumbers(code) },
      // the loader's few bytes are fewer with its functions
      ...Array.from({ length: options.entry === LOADER ? 0 : ROUNDS }, (_, round) => ({
        name: `inline-once-${round}`,
        renderChunk: (code: string) => inlineOnce(code),
      })),
      ...(isSmall
        ? Array.from({ length: EXPRESSION_ROUNDS }, (_, round) => ({
            name: `inline-expressions-${round}`,
            renderChunk: (code: string) => inlineExpressions(code),
          }))
        : [
            {
              name: "name-natives",
              renderChunk: (code: string) => nameNatives(code, whole ? 0 : undefined),
            },
          ]),
      { name: "cut-sections", renderChunk: (code) => cutSections(code) },
      { name: "wrap-loader", renderChunk: (code) => (options.entry === LOADER ? wrapLoader(code) : null) },
      { name: "shorten-declarations", renderChunk: (code) => (debug ? null : shortenDeclarations(code)) },
      {
        name: "minify",
        async renderChunk(code) {
          if (debug) return null;
          let minified = await minify(code, (options.entry ?? MAIN) === MAIN ? 2 : 1);
          // what a function put in the place of its call keeps, terser declares behind it, and nothing is hoisted
          if (/\bvar\b/.test(minified.code) && findRefused(minified.code).some(({ rule }) => rule === EARLY))
            minified = await minify(code, 1);
          names = minified.names;
          return minified;
        },
      },
      // the innermost first
      ...[0, 1, 2].map((round) => ({
        name: `reduce-calls-${round}`,
        renderChunk: (code: string) => (debug ? null : reduceCalls(code)),
      })),
      { name: "order-declarations", renderChunk: (code) => (debug ? null : orderDeclarations(code)) },
      {
        name: "rename",
        async renderChunk(code) {
          if (debug) return null;
          const renamed = await rename(code, names);
          names = renamed.names;
          return renamed;
        },
      },
      { name: "prefer-tokens", renderChunk: (code) => (debug ? null : preferTokens(code)) },
      {
        name: "place-sections",
        renderChunk(code) {
          placed = placeSections(code.trimEnd(), BUNDLE_FILE);
          return placed;
        },
      },
      {
        name: "tokenise",
        renderChunk(code) {
          if (debug || !placed) return null;
          tokenised = tokeniseBundle(code, placed.sections, placed.calls);
          return tokenised;
        },
      },
      {
        name: "judge",
        generateBundle(_output, files) {
          const chunks = Object.values(files).filter((file) => file.type === "chunk");
          if (chunks.length !== 1) throw new Error("import() outside section(...) made a second file");
          const [{ map }] = chunks;
          if (!map || !placed) throw new Error("the source map is missing");
          // the chunk's own code has got a line end
          const { code, sections } = tokenised ?? placed;
          // judged as text: in it stand the line ends that tokens do without
          const findings = guardBundle(
            placed.code,
            placed.sections,
            new Set(pinNames(String(board.pins ?? ""))),
          );
          refuse(findings, placed.code, code, map.toString(), tokenised?.byteAt);
          const isOwn = resolve(PROJECT, options.product ?? ECHO) !== join(PROJECT, ECHO);
          const slot = imageLongest(board as { slotBytes?: number } as Board);
          const limit = options.entry === LOADER ? loaderLimit(board) : isOwn ? slot : SIZE_LIMIT;
          const sizes = measure(String(board.name), code, map.toString(), sections, limit);
          if ((options.entry ?? MAIN) === MAIN && !isOwn) sizes.room = slot - code.length;
          if (!debug) holdToBudget(sizes, sections, defines.SECTION_LIMIT as number | undefined);
          onBundle({ board: String(board.name), code, map: map.toString(), names, sections, sizes });
        },
      },
    ],
  };
}

/**
 * Put the loader's program into a function, so that nothing of it is left when what it gives is evaluated at the root:
 * process.memory() collects first, else what the image declares would lie behind the loader's remains, the heap in pieces.
 */
function wrapLoader(code: string): Rewritten {
  const text = new MagicString(code);
  const call = /global\.__start__\(([^;]*)\);\s*$/.exec(code);
  if (!call) throw new Error("the loader does not end with __start__(...)");
  text.overwrite(call.index, code.length, `return ${call[1]};`);
  text.prepend("eval((() => {\n").append("\n})(), process.memory());\n");
  return rewritten(text);
}

/** Throw one error that names the source place of everything that the guard found in `text`, of which `code` was made. */
function refuse(
  findings: Finding[],
  text: string,
  code: string,
  map: string,
  byteAt = (offset: number): number => offset,
): void {
  if (findings.length === 0) return;
  const trace = new TraceMap(map);
  const lines = findings.map(({ rule, message, offset }) => {
    const byte = byteAt(offset);
    const before = code.slice(0, byte).split("\n");
    const column = before[before.length - 1].length;
    const place = originalPositionFor(trace, { line: before.length, column });
    const where = place.source ? `${place.source}:${place.line}:${place.column + 1}` : `bundle byte ${byte}`;
    const written = place.source
      ? sourceContentFor(trace, place.source)?.split("\n")[place.line - 1]
      : undefined;
    return `${where}: ${rule}: ${message}\n    ${(written ?? text.slice(offset, offset + 60)).trim().replace(/\n/g, " ")}`;
  });
  throw new UsageError(`Espruino cannot run this:\n${lines.join("\n")}`);
}
