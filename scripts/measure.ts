// What the firmware costs: `make measure`. Counters of a handshake and of a 512-byte record beside the least that
// firmware/README.md 1 counts, bytes of the bundle by module; where an interpreter is, the peak of variables, and with
// valgrind the instructions of a handshake. With --profiles the table of firmware/PROFILES.md, every profile on the same work.
import { runCommand } from "./lib/cli/exit";
import { flag, type Parsed, parseCommand } from "./lib/cli/options";

const COMMAND = {
  usage: "npm run measure --",
  about:
    "Print what a handshake and a 512-byte record cost beside the limits, and the bundle's bytes by module.\n" +
    "With ESPRUINO_BIN also the peak of variables on the interpreter, with valgrind a handshake's instructions.",
  options: {
    profiles: flag(
      "every profile on the same work, as the table of firmware/PROFILES.md: with ESPRUINO_BIN variables on a build of fixed variables, instructions on the other",
    ),
    json: flag("for machines: one JSON object"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("measure", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/test/measure_command")).run(parsed.options);
});
