// The device's key record (key_record.ts), where it lies in flash: a name for it costs two variables, reading the file anew
// at each use a hundred bytes.
import { flash } from "hal:flash";
import type { Bytes } from "./bytes";

/** The record; 16 bytes are a key alone, for tests; "": there is none. */
export const key = (flash.read("key") || "") as Bytes;
