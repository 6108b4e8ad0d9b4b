// Labels without the bench: `npm run label -- --product NAME --serials FIRST..LAST` writes an SVG and a PDF a serial,
// and with --sheet one PDF of them all, a page each (what is on them: lib/label.ts).
import { runCommand } from "./lib/cli/exit";
import { option, type Parsed, parseCommand } from "./lib/cli/options";
import { parseRange } from "./lib/keys/serials";

const _LABELS_MAX = 10_000;

const COMMAND = {
  usage: "npm run label --",
  about:
    "Draw the labels of serials, for a reprint or a line that labels first. Says nothing about what is in a unit.",
  options: {
    product: option("NAME", "the product"),
    serials: option("FIRST..LAST", "one serial or a range", parseRange),
    out: option("FOLDER", "where they go; default dist/labels"),
    sheet: option("FILE", "instead, one PDF with a page a label"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("label", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/bench/label_command")).run(parsed.options);
});
