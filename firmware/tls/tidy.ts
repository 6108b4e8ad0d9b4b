// A section that the record layer and the key schedule call where the heap is at its fullest.
import { SCARCE } from "../profile";

/** Move what lies on the heap together, where it is scarce: natives want one run of free variables, and so does a record. */
export function tidy(): void {
  if ((process as any).memory(false).free < SCARCE) E.defrag();
}
