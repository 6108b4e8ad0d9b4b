// Makes the sections: functions that are not there until they are called (scripts/lib/bundle/sections.ts). Leaves out
// eval, which would read all of the code to find its end.
import { flash } from "hal:flash";
import type { Bytes } from "../bytes";
import { SLOTS_FILE } from "../ota/manifest";
import { BUNDLE_FILE, SECTION_LIMIT, SMALL } from "../profile";

/** The interpreter's class, whose name the main part takes away (main.ts). */
const construct = Function;

/** The slot that the loader has started, in flash: the bundle, its manifest, and whatever lies behind it. */
export const bundle = (SMALL ? "" : flash.read(SLOTS_FILE, slot)) as Bytes;

/** Where the sections that have a parameter begin in the bundle, and those that have two or three: the build knows. */
declare const WITH_PARAMETER: number;
declare const WITH_PARAMETERS: number;

/**
 * Make the function whose body lies at `offset` of the bundle; its parameters have fixed names, and one that it does not have would
 * be two variables for as long as it runs. A zero byte ends the body. What is taken is as much as a section can be, and stays in
 * flash: when a native fails the interpreter makes a text of it, for want of a name, to print where that was, and all the rest of
 * the bundle would take the heap.
 */
export function loadSection(offset: number): unknown {
  const body = SMALL
    ? (flash.read(BUNDLE_FILE, offset, SECTION_LIMIT) as Bytes)
    : bundle.substr(offset, SECTION_LIMIT);
  return offset < WITH_PARAMETER
    ? construct(body)
    : offset < WITH_PARAMETERS
      ? construct("$", body)
      : construct("$", "Y", "Z", body);
}
