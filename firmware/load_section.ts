// Makes the sections: functions that are not there until they are called (scripts/lib/bundle/sections.ts). Leaves out
// eval, which would read all of the code to find its end.
import { flash } from "hal:flash";
import { BUNDLE_FILE } from "./profile";

/** The interpreter's class, whose name the main part takes away (main.ts). */
const construct = Function;

/**
 * Make the function whose body lies at `offset` of the bundle; its parameters have fixed names. What is read is all the rest
 * of the file, as it stays in flash; a zero byte ends the body.
 */
export function loadSection(offset: number): unknown {
  return construct("$", "Y", "Z", flash.read(BUNDLE_FILE, offset) as string);
}
