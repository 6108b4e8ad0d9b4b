// One bundle and its loader for each board, or for the one that BOARD names, with the product of the file PRODUCT, under the profile PROFILE; DEBUG=1 makes it readable. The way from the sources to
// the bundle is scripts/lib/bundle/build.ts; run it through `npm run build`, which loads TypeScript for it.
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { boardNames, LOADER, rollupOptions } from "./scripts/lib/bundle/build.ts";
import { EXIT_FAILED, EXIT_USAGE, UsageError } from "./scripts/lib/cli/exit.ts";
import { showLines } from "./scripts/lib/cli/show.ts";
import { makeFolder, replaceFile } from "./scripts/lib/files/new_file.ts";

const boards = process.env.BOARD ? [process.env.BOARD] : boardNames();

const debug = process.env.DEBUG === "1";
const programs = boards.flatMap((board) => [
  // make hands on what it was not given as an empty text
  { board, debug, product: process.env.PRODUCT || undefined, profile: process.env.PROFILE || undefined },
  { board, debug, entry: LOADER },
]);

/** Say in a sentence why there is no bundle; the way there through rollup is of no use to its reader. */
function end(error) {
  console.error(`build: ${showLines(stripVTControlCharacters(error.message))}`);
  process.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED);
}

/** Write the files in rollup's place: each whole, or as it was. */
const wholeFiles = {
  name: "whole-files",
  generateBundle: {
    order: "post",
    handler({ dir }, files) {
      try {
        makeFolder(dir);
        for (const [name, { source }] of Object.entries(files)) {
          replaceFile(join(dir, name), Buffer.from(source));
          delete files[name];
        }
      } catch (error) {
        end(error);
      }
    },
  },
};

const outputs = [];
try {
  for (const program of programs) {
    const options = await rollupOptions(program);
    outputs.push({ ...options, plugins: [options.plugins, wholeFiles] });
  }
} catch (error) {
  end(error);
}
export default outputs;
