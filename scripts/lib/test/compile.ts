// All of TypeScript here compiled at once into a tree of its own, so that neither a test nor a command that it starts compiles
// anything: each source has its file in the same place there, with a source map. What a source finds beside itself by
// import.meta.url it finds beside the source; a module that is named at run time,
// import(new URL(`./name.ts`, import.meta.url).href), is the compiled one. program.ts leads the tests into the tree. One module has
// another in its place: what is to make a bundle asks a process that is warm (asked_make.ts).
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { PROJECT } from "../project";
import { placeIn } from "./program";

const FOLDERS = ["boards", "firmware", "hal", "scripts"];
const NAMED_AT_RUN_TIME = /import\(\s*new URL\(`([^`]*)\.ts([^`]*)`, import\.meta\.url\)\.href,?\s*\)/g;
/** What makes a bundle when it is needed, and what stands for it. */
const BUILD = join(PROJECT, "scripts/lib/bundle/build.ts");
const MAKE = join(PROJECT, "scripts/lib/bundle/make");
const ASKED_MAKE = join(PROJECT, "scripts/lib/test/asked_make");
/** What import.meta.url becomes. */
const SOURCE_URL = "__sourceUrl";

/** List the project's sources whose names end so, as paths from its folder. */
export function sources(ending: string): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(PROJECT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(ending) && !name.endsWith(".d.ts"))
      .map((name) => join(folder, name)),
  ).sort();
}

/** Compile every source into `tree`, a folder inside the project. */
export async function compileInto(tree: string): Promise<void> {
  const { paths } = JSON.parse(readFileSync(join(PROJECT, "tsconfig.json"), "utf8")).compilerOptions;
  await build({
    absWorkingDir: PROJECT,
    entryPoints: sources(".ts"),
    outdir: tree,
    outbase: ".",
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    sourcemap: true,
    sourcesContent: false,
    logLevel: "error",
    // the simulator's require comes and goes with its boards
    define: { "import.meta.url": SOURCE_URL, require: "globalThis.require" },
    plugins: [
      {
        name: "tree",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /./ }, ({ kind, path, importer, resolveDir }) => {
            if (kind === "entry-point" || !(path.startsWith(".") || path in paths)) return undefined;
            const named = path.startsWith(".") ? resolve(resolveDir, path) : resolve(PROJECT, paths[path][0]);
            const target =
              kind === "dynamic-import" && named === MAKE && importer === BUILD ? ASKED_MAKE : named;
            if (/\.(json|mjs)$/.test(target)) return { external: true, path: pathToFileURL(target).href };
            return {
              external: true,
              path: `./${relative(dirname(importer), target).replace(/\.ts$/, "")}.js`,
            };
          });
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const text = readFileSync(path, "utf8");
            const url = (file: string) => JSON.stringify(pathToFileURL(file).href);
            const compiled = url(placeIn(tree, relative(PROJECT, path)));
            const led = text.replace(
              NAMED_AT_RUN_TIME,
              (_, name, rest) => `import(new URL(\`${name}.js${rest}\`, ${compiled}).href)`,
            );
            const contents = led.includes("import.meta.url")
              ? `const ${SOURCE_URL} = ${url(path)}; ${led}`
              : led;
            return { loader: "ts", contents };
          });
        },
      },
    ],
  });
}
