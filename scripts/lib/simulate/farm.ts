// Simulated boards behind pseudo-terminals (pty.ts), each with its flash in a file. A pseudo-terminal ends when whoever had it
// open closes it; a serial port does not: so each is made anew at once, and the board goes on meanwhile. Leaves out the
// network: what a board connects to is reached on this machine.
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { Pty } from "../bench/pty";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { makeFolder, writeNewFile } from "../files/new_file";
import { SimulatedBoard } from "./simulated_board";

/** What runs for so long hangs: a board's watchdog bites then. */
const HANG_MS = 10_000;

export interface FarmOptions {
  board: Board;
  /** How many boards. */
  count: number;
  /** Absolute path; made where it is not there. */
  folder: string;
  /** Bits per second; as a real line's where absent. */
  lineRate?: number;
}

export interface FarmBoard {
  /** Path of the serial port. */
  port: string;
  /** Path of the file that holds its flash. */
  flashFile: string;
  /** Whether it had no file yet. */
  isBlank: boolean;
  simulated: SimulatedBoard;
}

export interface Farm {
  boards: readonly FarmBoard[];
  /** Switch all off; the files stay. */
  stop(): Promise<void>;
}

/** Make the boards and power them. Throws UsageError: a folder that cannot be made, a flash file of another board. */
export async function startFarm(options: FarmOptions): Promise<Farm> {
  const { board, count, folder, lineRate } = options;
  makeFolder(folder);
  const boards: FarmBoard[] = [];
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => void (await Promise.all(stops.map((each) => each())));
  try {
    for (let number = 1; number <= count; number++) {
      const port = join(folder, `board-${number}`);
      const flashFile = `${port}.flash`;
      const isBlank = !existsSync(flashFile);
      const simulated = new SimulatedBoard({
        board,
        chip: `${board.name}-${number}`,
        lineRate,
        machine: { network: { up: false }, hangMs: HANG_MS },
      });
      stops.push(keepFlash(simulated, flashFile, isBlank));
      stops.push(() => simulated.unplug());
      stops.push(await keepPort(port, await simulated.start()));
      boards.push({ port, flashFile, isBlank, simulated });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { boards, stop };
}

/** Load a board's flash from its file, or make that of erased flash, and write every change through. Returns what ends that. */
function keepFlash({ machine }: SimulatedBoard, path: string, isBlank: boolean): () => Promise<void> {
  const { flash, board } = machine;
  if (isBlank) writeNewFile(path, flash.bytes);
  let file: number;
  try {
    const { size } = statSync(path);
    if (size !== flash.length)
      throw new UsageError(
        `${path} has ${size} bytes, and the flash of ${board.name} ${flash.length}: it is another board's. Take another --folder.`,
      );
    file = openSync(path, "r+");
    flash.load(readFileSync(file));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot use ${path}: ${fileFault(error)}.`);
  }
  flash.onChange = (offset, length) => void writeSync(file, flash.bytes, offset, length, offset);
  return async () => {
    flash.onChange = () => {};
    closeSync(file);
  };
}

/** Have `path` be a pseudo-terminal to a board's `tcp://HOST:PORT`, again and again. Returns what ends that. */
async function keepPort(path: string, tcp: string): Promise<() => Promise<void>> {
  const to = `TCP:${tcp.slice("tcp://".length)}`;
  if (existsSync(path)) throw new UsageError(`${path} is there already: does another farm run?`);
  let isOver = false;
  let pty = await Pty.open(path, to);
  const again = (async () => {
    while (!isOver) {
      await pty.ended;
      if (!isOver) pty = await Pty.open(path, to);
    }
  })();
  return async () => {
    isOver = true;
    await pty.close();
    await again;
  };
}
