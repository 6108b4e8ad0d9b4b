// One bundle for each board, or for the one that BOARD names; DEBUG=1 makes it readable. The way from the sources to
// the bundle is scripts/lib/build.ts; run it through `npm run build`, which loads TypeScript for it.
import { boardNames, rollupOptions } from "./scripts/lib/build.ts";

const boards = process.env.BOARD ? [process.env.BOARD] : boardNames();

export default Promise.all(boards.map((board) => rollupOptions({ board, debug: process.env.DEBUG === "1" })));
