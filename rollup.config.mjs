// One bundle and its loader for each board, or for the one that BOARD names; DEBUG=1 makes it readable. The way from the sources to
// the bundle is scripts/lib/bundle/build.ts; run it through `npm run build`, which loads TypeScript for it.
import { boardNames, LOADER, rollupOptions } from "./scripts/lib/bundle/build.ts";

const boards = process.env.BOARD ? [process.env.BOARD] : boardNames();

const debug = process.env.DEBUG === "1";
const programs = boards.flatMap((board) => [
  { board, debug },
  { board, debug, entry: LOADER },
]);

const outputs = [];
for (const program of programs) outputs.push(await rollupOptions(program));
export default outputs;
