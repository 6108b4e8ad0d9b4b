// Makes the sections: functions that are not there until they are called (scripts/lib/bundle/sections.ts). Leaves out
// eval, which would read all of the code to find its end.
import { flash } from "hal:flash";
import { BUNDLE_FILE } from "./profile";

/** The interpreter's class, whose name the main part takes away (main.ts). */
const construct = Function;

/**
 * Make the function that lies at `offset` of the bundle: three characters of length, then the body; its parameters have
 * fixed names.
 */
export function loadSection(offset: number): unknown {
  // the interpreter takes digits for a number
  const length = flash.read(BUNDLE_FILE, offset, 3) as unknown as number;
  return construct("$", "Y", "Z", flash.read(BUNDLE_FILE, offset + 3, length) as string);
}
