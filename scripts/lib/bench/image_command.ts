// What `npm run image` does, once its command line is read (scripts/image.ts has the options).
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import type { Options } from "../../image";
import { boardNames, PROJECT, readBoard } from "../bundle/build";
import { UsageError } from "../cli/exit";
import { oneOf } from "../cli/options";
import { makeFolder, replaceFile } from "../files/new_file";
import { bytesOfHex, makeImage } from "./image";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  const given = options.board ?? process.env.BOARD;
  if (!given) throw new UsageError("--board is missing. See --help.");
  const name = oneOf(boardNames())(given);
  const board = (await readBoard(name)) as unknown as Board;
  const folder = options.out ?? join(PROJECT, "dist", name);
  makeFolder(folder);
  const { hex, address, total, digest } = await makeImage(board, options);
  const [hexFile, binFile] = ["storage.hex", "storage.bin"].map((file) => join(folder, file));
  replaceFile(hexFile, Buffer.from(hex));
  replaceFile(binFile, bytesOfHex(hex).bytes);
  const place = `0x${address.toString(16)}`;
  if (options.json) console.log(JSON.stringify({ board: name, hex: hexFile, bin: binFile, address, digest }));
  else console.log(`${hexFile}\n${binFile}: ${total} bytes for ${place}; firmware's digest ${digest}`);
}
