// Labels without the bench: `npm run label -- --product NAME --serials FIRST..LAST` writes an SVG and a PDF a serial,
// and with --sheet one PDF of them all, a page each (what is on them: lib/label.ts).
import { type Label, labelsPdf, writeLabel } from "./lib/bench/label";
import { runCommand, UsageError } from "./lib/cli/exit";
import { option, parseCommand } from "./lib/cli/options";
import { replaceFile } from "./lib/files/new_file";
import { parseRange, serialsOf } from "./lib/keys/serials";

const LABELS_MAX = 10_000;

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

await runCommand("label", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { product, serials, out, sheet } = parsed.options;
  if (!product || !serials) throw new UsageError("--product and --serials are both needed. See --help.");
  if (out && sheet) throw new UsageError("choose one of --out and --sheet.");
  const labels: Label[] = [];
  for (const serial of serialsOf(serials)) {
    if (labels.length === LABELS_MAX) throw new UsageError(`these are more than ${LABELS_MAX} labels.`);
    labels.push({ product, serial });
  }
  if (sheet) {
    replaceFile(sheet, await labelsPdf(labels));
    console.log(sheet);
    return;
  }
  for (const label of labels)
    for (const path of await writeLabel(out ?? "dist/labels", { ...label, identity: "" })) console.log(path);
});
