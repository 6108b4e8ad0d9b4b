// `npm run ota -- build`: an image becomes an update.
import { join } from "node:path";
import type { Board } from "../../../../boards/board";
import { UsageError } from "../../cli/exit";
import { needed } from "../../cli/subcommands";
import { checkNewFiles, PUBLIC, writeNewFile } from "../../files/new_file";
import { PROJECT, readBoard } from "../../project";
import { imageLongest } from "../layout";
import type { Encoding } from "../manifest";
import { tableText } from "../tables";
import { makeUpdate, readImage, storedBytes, type Update, updateFile } from "../update_file";
import { wireCost } from "../wire_cost";

/** Pieces that a device may ask for at a time, for which the cost is told. */
const WINDOWS = [1, 2, 4];

/** Make an update of an image and say what it costs. Throws UsageError, with nothing written. */
export async function build(options: {
  product?: string;
  board?: string;
  image?: string;
  version?: string;
  sequence?: number;
  heatshrink?: boolean;
  out?: string;
  json?: boolean;
}): Promise<void> {
  const product = needed(options.product, "--product NAME");
  const board = needed(options.board, "--board NAME");
  const version = needed(options.version, "--version TEXT");
  const sequence = needed(options.sequence, "--sequence N");
  const out = needed(options.out, "--out FILE");
  checkNewFiles(out);
  const data = (await readBoard(board)) as unknown as Board;
  const path = options.image ?? join(PROJECT, "dist", board, "firmware.js");
  const image = readImage(path, imageLongest(data));
  if (options.heatshrink && !data.heatshrink)
    throw new UsageError(`the Espruino of ${board} has no heatshrink: leave the image as it is.`);
  const hardware = 2 ** data.hardware;
  const encoding: Encoding = options.heatshrink ? "heatshrink" : "none";
  const made = makeUpdate(image, { product, board, hardware, version, sequence, encoding });
  writeNewFile(out, updateFile(made), PUBLIC);
  printUpdate(out, made, options.json);
}

function printUpdate(out: string, made: Update, asJson: boolean | undefined): void {
  const { product, board, version, sequence, length, encoding, pieces } = made;
  const digest = Buffer.from(made.digest).toString("hex");
  const stored = storedBytes(pieces);
  const row = { out, product, board, version, sequence, length, digest, encoding };
  const wire = WINDOWS.map((window) => ({ window, ...wireCost(made, window) }));
  if (asJson) console.log(JSON.stringify({ ...row, pieces: pieces.length, stored, wire }));
  else
    console.log(
      `${out}: ${product} ${version}, sequence ${sequence}, for ${board}\n` +
        `${length} bytes in ${pieces.length} pieces, ${stored} bytes at the broker\ndigest  ${digest}\n` +
        tableText(
          ["pieces at a time", "TLS to a device", "and from it", "of the image"],
          wire.map(({ window, up, down }) => [window, down, up, ((up + down) / length).toFixed(3)]),
        ),
    );
}
