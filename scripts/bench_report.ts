// How well the bench works on many units at once: one simulated board, then eight, from blank to finished, each behind a
// line of 115,200 baud. Prints the seconds of each and, last, the ratio of the two times; fails where it is over the
// limit. The simulated boards run in a process of their own, as real ones would not take the bench's processor.
// A benchmark, not a test: the machine should have nothing else to do.
import { runCommand } from "./lib/cli/exit";
import { flag, type Parsed, parseCommand } from "./lib/cli/options";

const COMMAND = {
  usage: "npm run bench-report --",
  about: "Time the bench with one simulated board and with eight at once, and compare.",
  options: { json: flag("for machines: one JSON object") },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("bench-report", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/simulate/bench_report_command")).run(parsed.options);
});
