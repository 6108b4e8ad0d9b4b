// Makes the sections: functions that are not there until they are called (scripts/lib/bundle/sections.ts). Leaves out
// eval, which would read all of the code to find its end.
import { flash } from "hal:flash";
import type { Bytes } from "./bytes";
import { SLOT_BYTES, SLOTS_FILE } from "./ota/manifest";

/** The interpreter's class, whose name the main part takes away (main.ts). */
const construct = Function;

/** The slot that the loader has started, in flash: the bundle, and what lies behind it. */
const bundle = flash.read(SLOTS_FILE, slot, SLOT_BYTES) as Bytes;

/**
 * Make the function whose body lies at `offset` of the bundle; its parameters have fixed names. What is taken is all the rest,
 * as it stays in flash; a zero byte ends the body.
 */
export function loadSection(offset: number): unknown {
  return construct("$", "Y", "Z", bundle.substr(offset));
}
