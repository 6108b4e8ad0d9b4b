// The first thing that runs: where there is a key record the console's port is taken from the interpreter at once, before
// the rest of the bundle is read. Ctrl-C that came before that stops what runs, but only two ticks of the interpreter's
// clock later (0.25 s each on the nRF52): with the port still its own it would open the prompt. So main.ts imports this
// file first, and the bundle lies in `.bootrst`, which a button held at boot does not skip.
import { flash } from "hal:flash";
import { serialTake } from "hal:serial";
import { RECORD_LENGTH } from "./key_record";
import { CONSOLE } from "./profile";

/**
 * Bytes of key: 0 on a blank device, whose place for a record is erased flash, 16 for a key alone, for tests: the prompt stays
 * open. RECORD_LENGTH: there is a record, whole or not, and the port is taken.
 */
export const keyBytes =
  !CONSOLE || flash.read("key") === "\xff".repeat(RECORD_LENGTH) ? 0 : (flash.read("key") || "").length;

if (CONSOLE && keyBytes === RECORD_LENGTH) serialTake();
