// Print where the bytes of the last builds come from: dist/<board>/size.json as tables, one board or all.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SIZE_LIMIT, type Sizes, sizeTable } from "./lib/bundle/sizes";
import { DeviceError, runCommand, UsageError } from "./lib/cli/exit";
import { flag, option, parseCommand } from "./lib/cli/options";
import { boardNames, PROJECT } from "./lib/project";

const COMMAND = {
  usage: "npm run size --",
  about: `Print the size of each built bundle, module by module, beside the ${SIZE_LIMIT} bytes that it may have.`,
  options: {
    board: option("NAME", "only this board; all that are built where absent", (name) => {
      if (!boardNames().includes(name))
        throw new UsageError(`no board "${name}"; there are ${boardNames().join(", ")}.`);
      return name;
    }),
    json: flag("for machines: one JSON array"),
  },
};

await runCommand("size", (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const wanted = parsed.options.board ? [parsed.options.board] : boardNames();
  const built = wanted.map((board) => join(PROJECT, "dist", board, "size.json")).filter(existsSync);
  if (built.length === 0) throw new DeviceError("nothing is built yet: npm run build.");
  const sizes = built.map((file) => JSON.parse(readFileSync(file, "utf8")) as Sizes);
  if (parsed.options.json) console.log(JSON.stringify(sizes));
  else console.log(sizes.map(sizeTable).join("\n\n"));
  const over = sizes.filter((each) => each.left < 0);
  if (over.length > 0) throw new DeviceError(`over the limit: ${over.map((each) => each.board).join(", ")}.`);
});
