// An image of a board's Storage as a file: `make image BOARD=esp32` writes dist/<board>/storage.hex (Intel hex, as the
// espruino CLI's --ohex makes it) and storage.bin (the same bytes, to be put where it says). It holds the place for
// the key record, the bundle and the bench's program; no key, no settings. Leaves out Espruino itself.
import { join } from "node:path";
import type { Board } from "../boards/board";
import { bytesOfHex, IMAGE_OPTIONS, makeImage } from "./lib/bench/image";
import { boardNames, PROJECT, readBoard } from "./lib/bundle/build";
import { runCommand, UsageError } from "./lib/cli/exit";
import { flag, oneOf, option, parseCommand } from "./lib/cli/options";
import { makeFolder, replaceFile } from "./lib/files/new_file";

const COMMAND = {
  usage: "npm run image --",
  about: "Write an image of a board's Storage, as Intel hex and as plain bytes.",
  options: {
    board: option("NAME", "default BOARD of the environment", oneOf(boardNames())),
    ...IMAGE_OPTIONS,
    out: option("FOLDER", "default dist/<board>"),
    json: flag("for machines: one JSON object"),
  },
};

await runCommand("image", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
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
});
