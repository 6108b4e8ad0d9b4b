// One bundle and its loader for each board, or for the one that BOARD names, with the product of the file PRODUCT, under the profile PROFILE; DEBUG=1 makes it readable. The way from the sources to
// the bundle is scripts/lib/bundle/build.ts; run it through `npm run build`, which loads TypeScript for it.
import { stripVTControlCharacters } from "node:util";
import { boardNames, LOADER, rollupOptions } from "./scripts/lib/bundle/build.ts";
import { EXIT_FAILED, EXIT_USAGE, UsageError } from "./scripts/lib/cli/exit.ts";

const boards = process.env.BOARD ? [process.env.BOARD] : boardNames();

const debug = process.env.DEBUG === "1";
const programs = boards.flatMap((board) => [
  // make hands on what it was not given as an empty text
  { board, debug, product: process.env.PRODUCT || undefined, profile: process.env.PROFILE || undefined },
  { board, debug, entry: LOADER },
]);

const outputs = [];
try {
  for (const program of programs) outputs.push(await rollupOptions(program));
} catch (error) {
  // what the guard refuses is said in sentences with their places; the way there through rollup is of no use to its reader
  console.error(`build: ${stripVTControlCharacters(error.message)}`);
  process.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED);
}
export default outputs;
