// Simulated boards in a process of their own, for bench_report.ts: `BOARD COUNT` on the command line, the ports' names as
// one message to the parent, with whom it ends.
import type { Board } from "../../../boards/board";
import { readBoard } from "../bundle/build";
import { SimulatedBoard } from "./simulated_board";

const [name, count] = process.argv.slice(2);
const board = (await readBoard(name)) as unknown as Board;
const boards = Array.from(
  { length: Number(count) },
  (_, i) => new SimulatedBoard({ board, chip: `chip-${i}` }),
);
const ports = await Promise.all(boards.map((simulated) => simulated.start()));
process.on("disconnect", () => process.exit());
process.send?.(ports);
