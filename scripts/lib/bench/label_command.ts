// What `npm run label` does, once its command line is read (scripts/label.ts has the options).

import type { Options } from "../../label";
import { UsageError } from "../cli/exit";
import { checkFolder, checkWritten, replaceFile } from "../files/new_file";
import { serialsOf } from "../keys/serials";
import { type Label, labelsPdf, writeLabel } from "./label";

const LABELS_MAX = 10_000;
/** Run the command. */
export async function run(options: Options): Promise<void> {
  const { product, serials, out, sheet } = options;
  if (!product || !serials) throw new UsageError("--product and --serials are both needed. See --help.");
  if (out && sheet) throw new UsageError("choose one of --out and --sheet.");
  if (sheet) checkWritten(sheet);
  const folder = out ?? "dist/labels";
  if (!sheet) checkFolder(folder);
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
    for (const path of await writeLabel(folder, { ...label, identity: "" })) console.log(path);
}
