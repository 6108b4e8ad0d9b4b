// A section that the record layer and the key schedule call where the heap is at its fullest.
import { board } from "board";
import { SCARCE, SMALL } from "../profile";

/** Whether the heap may be too small for all that may come at once: else the build leaves `tidy` out. Of linux it is not known. */
export const IS_SMALL = board.variables < 2000;

/** Move what lies on the heap together, where it is scarce: natives want one run of free variables, and so does a record. */
export function tidy(): void {
  if (SMALL || (process as any).memory(false).free < SCARCE) E.defrag();
}
