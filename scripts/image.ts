// An image of a board's Storage as a file: `make image BOARD=esp32` writes dist/<board>/storage.hex (Intel hex, as the
// espruino CLI's --ohex makes it) and storage.bin (the same bytes, to be put where it says). It holds the place for
// the key record, the bundle and the bench's program; no key, no settings. Leaves out Espruino itself.
import { IMAGE_OPTIONS } from "./lib/bench/image_options";
import { runCommand } from "./lib/cli/exit";
import { flag, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { boardNames } from "./lib/project";

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

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("image", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/bench/image_command")).run(parsed.options);
});
