// What commands that take masters and batches say and parse before any of them is opened.
import { UsageError } from "../cli/exit";
import { options } from "../cli/options";
import { PURPOSES, type Purpose } from "../keys/kdf";

/** log2 of scrypt's N where none is told: 256 MiB and a second or three, which is what age takes. */
export const WORK_FACTOR = 18;

export const BATCH_MOST = 10_000; // serials: ten days of a bench

/** The row of every command that takes a batch. */
export const DIGEST_OPTION = options(
  "DIGEST",
  "with --batch, for each part: its digest as its maker told it, by voice and not in the same mail",
  (text) => {
    if (!/^([0-9A-Fa-f]\s*){32}$/.test(text))
      throw new UsageError("a digest is 32 hex digits, with or without spaces, in quotes.");
    return text.replace(/\s/g, "").toLowerCase();
  },
);

/** Parse `PURPOSE=PLACE`. */
export function parsePurposePlace(text: string): { purpose: Purpose; place: string } {
  const [purpose, place] = text.split(/=(.*)/s);
  if (!PURPOSES.includes(purpose as Purpose) || !place)
    throw new UsageError(
      `this is PURPOSE=FILE or PURPOSE=pkcs11:..., the purpose one of ${PURPOSES.join(", ")}.`,
    );
  return { purpose: purpose as Purpose, place };
}
