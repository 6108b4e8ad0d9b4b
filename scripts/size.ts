// Print where the bytes of the last builds come from: dist/<board>/size.json as tables, one board or all. Where nothing has
// been built there, one is made, or taken from what other commands have built.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SIZE_LIMIT, type Sizes, sizeTable } from "./lib/bundle/sizes";
import { DeviceError, runCommand, UsageError } from "./lib/cli/exit";
import { fileFault } from "./lib/cli/fault";
import { flag, oneOf, option, parseCommand } from "./lib/cli/options";
import { boardNames, PROJECT } from "./lib/project";

const DEFAULT = "esp32";

const COMMAND = {
  usage: "npm run size --",
  about: `Print the size of each built bundle, module by module, beside the ${SIZE_LIMIT} bytes that it may have.`,
  options: {
    board: option(
      "NAME",
      `only this board; where absent all that are built, or else ${DEFAULT}`,
      oneOf(boardNames()),
    ),
    json: flag("for machines: one JSON array"),
  },
};

await runCommand("size", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { board = process.env.BOARD || undefined } = parsed.options;
  const fileOf = (name: string) => join(PROJECT, "dist", name, "size.json");
  const built = (board ? [board] : boardNames()).filter((name) => existsSync(fileOf(name)));
  const sizes = built.map((name) => sizesIn(fileOf(name), name));
  if (built.length === 0) {
    const { buildBundle } = await import("./lib/bundle/build");
    sizes.push((await buildBundle({ board: board ?? DEFAULT })).sizes);
  }
  if (parsed.options.json) console.log(JSON.stringify(sizes));
  else console.log(sizes.map(sizeTable).join("\n\n"));
  const over = sizes.filter((each) => each.left < 0);
  if (over.length > 0) throw new DeviceError(`over the limit: ${over.map((each) => each.board).join(", ")}.`);
});

function sizesIn(file: string, board: string): Sizes {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(
      `cannot read ${file}: ${fileFault(error)}; make bundle BOARD=${board} writes it anew.`,
    );
  }
}
