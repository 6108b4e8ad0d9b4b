// Files in flash: Espruino's Storage library as it is (Flash in hal.ts). A file is replaced by erasing it
// first: never write over what must survive a power cut. Leaves out raw pages.
import type { Flash } from "../hal";

export const flash: Flash = require("Storage");
