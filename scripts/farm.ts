// A farm of simulated boards as serial ports: `make farm N=5`, or `npm run farm -- OPTIONS`. Blank boards behind pseudo-terminals,
// on which doctor, setup, bench, console and rollout work as on real ones. Each keeps its flash in a file, so that what
// was done to it is there the next time. Leaves out how a board behaves (lib/simulate/simulated_board.ts).
import { resolve } from "node:path";
import type { Board } from "../boards/board";
import { interrupted, runCommand } from "./lib/cli/exit";
import { integer, oneOf, option, parseCommand } from "./lib/cli/options";
import { boardNames, readBoard } from "./lib/project";

const simulated = boardNames().filter((name) => name.endsWith("-sim"));
const DEFAULT = "esp32-sim";

const COMMAND = {
  usage: "npm run farm --",
  about:
    "Simulated boards as serial ports, blank at first. Each is a port FOLDER/board-N and its flash a file beside it, which is\n" +
    "kept. Runs until Ctrl-C, which is the power switch of all of them.",
  options: {
    boards: option("N", "how many; default 5", integer(1, 64)),
    board: option("NAME", `what they are: ${simulated.join(", ")}; default ${DEFAULT}`, oneOf(simulated)),
    folder: option("FOLDER", "where ports and flash files are; default dist/farm"),
  },
};

await runCommand("farm", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { boards = 5, board = DEFAULT, folder = "dist/farm" } = parsed.options;
  const { startFarm } = await import("./lib/simulate/farm");
  const farm = await startFarm({
    board: (await readBoard(board)) as unknown as Board,
    count: boards,
    folder: resolve(folder),
  });
  const ended = interrupted();
  for (const { port, isBlank } of farm.boards) console.log(`${port}  ${board}${isBlank ? ", blank" : ""}`);
  console.log(`\nTry: npm run doctor -- --port ${farm.boards[0].port}\nCtrl-C ends it.`);
  await ended;
  await farm.stop();
});
