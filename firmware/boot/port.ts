// The first thing that the loader does: where there is a key record the console's port is taken from the interpreter at once,
// before a slot is read. Ctrl-C that came before that stops what runs, but only two ticks of the interpreter's clock later
// (0.25 s each on the nRF52): with the port still its own it would open the prompt. So loader.ts imports this file first, and
// lies in `.bootrst`, which a button held at boot does not skip.
import { flash } from "hal:flash";
import { serialTake } from "hal:serial";
import { RECORD_LENGTH } from "../store/key_record";

const key = flash.read("key");

/** Whether the device has no record, or its place is erased flash: the prompt stays open, for the bench. */
export const isBlank = !key || key === "\xff".repeat(RECORD_LENGTH);

if (!isBlank && (key as string)[RECORD_LENGTH - 1]) serialTake();
