// The device's keys, in the place of store/key.ts: read from flash where they are used, for a name and what it holds are variables.
import { flash } from "hal:flash";
import type { Bytes } from "../bytes";

/** No slot has keys of its own. */
export const slotKeys = 0;

/** The record (store/key_record.ts), of which the first 16 bytes count. */
export const key = flash.read("key") as Bytes;
