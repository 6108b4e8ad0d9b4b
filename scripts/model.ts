// `make model`: the tickets' protocol as a model for Spin (lib/tickets/tickets.pml), as it is coded and in three ways that are wrong: in the first
// nothing may be found, in each of the others what is wrong with it.
import { DeviceError, runCommand } from "./lib/cli/exit";
import { flag, parseCommand } from "./lib/cli/options";
import { checkModel, VARIANTS } from "./lib/tickets/model";

const COMMAND = {
  usage: "npm run model --",
  about: "Let Spin look for attacks on the tickets; wants Debian's spin and gcc.",
  options: { json: flag("for machines: one JSON array") },
};

await runCommand("model", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const rows = VARIANTS.map((variant) => ({ ...variant, ...checkModel(variant) }));
  if (parsed.options.json) console.log(JSON.stringify(rows));
  else
    for (const { about, found, states } of rows)
      console.log(`${about}: ${found === "" ? "nothing" : `fails: ${found}`} (${states} states)`);
  const wrong = rows.filter(({ found, expected }) => found !== expected);
  if (wrong.length > 0)
    throw new DeviceError(
      wrong.map(({ about, expected }) => `${about}: expected ${expected || "nothing"}`).join("\n"),
    );
});
