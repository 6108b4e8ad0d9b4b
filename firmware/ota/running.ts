// The image that runs, a section. Apart from slots.ts, which the loader has in it: there no image runs yet.

import { bundle } from "../boot/load_section";
import { uint16 } from "../bytes";
import { AT_SEQUENCE } from "./manifest";
import { AT_MANIFEST } from "./slot";

/** Tell the sequence of the image that runs; 0 where it lies there alone. */
export function sequence(): number {
  return uint16(bundle, AT_MANIFEST + AT_SEQUENCE) * 65536 + uint16(bundle, AT_MANIFEST + AT_SEQUENCE + 2);
}
