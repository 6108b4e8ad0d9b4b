// From the device's key of label `esp` to its two security associations, a section: SP 800-108r1, 4.1, counter mode with AES-128-CMAC.
// The label names the transform, so that no key is used under two; each block of input is one block of CMAC.
import type { Bytes } from "../bytes";
import { ESP_CCM } from "../profile";
import { key } from "../store/key";
import { AT_KEYS, SA_KEYS } from "./keys";

/** Bytes that are used. */
const LENGTH = AT_KEYS + 2 * SA_KEYS;
const BLOCKS = (LENGTH + 15) >> 4;

/** Compute both SPIs and the keys both ways, laid out as keys.ts says. */
export default function keySchedule(): Bytes {
  const cmac = section(import("../crypto/cmac")).cmac;
  let made = "";
  for (let i = 1; i <= BLOCKS; i++)
    // [i]_32 || label || 00 || no context || [length in bits]_32
    made += cmac(
      key.substr(0, 16),
      E.toString("\0\0\0", i, ESP_CCM ? "esp/ccm" : "esp/cbc", "\0\0\0", BLOCKS >> 1, BLOCKS << 7),
    );
  // an SPI below 256 is reserved (RFC 4303, 2.1): the first bit of each is 1
  return E.toString(made.charCodeAt(0) | 128, made.substr(1, 3), made.charCodeAt(4) | 128, made.substr(5));
}
