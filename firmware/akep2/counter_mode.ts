// The modified counter mode of EAP-PSK (RFC 4764, 3.1 and 3.2), a section: counters are added to a block that is encrypted already.
import { aes } from "hal:aes128";
import { ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Encrypt `block` with its last byte changed by each number from 1 to `last`. */
export function numbered(secret: Bytes, block: Bytes, last: number): Bytes {
  let blocks = "";
  for (let i = 1; i <= last; i++) blocks = E.toString(blocks, block.substr(0, 15), block.charCodeAt(15) ^ i);
  return E.toString(aes(ECB_ENCRYPT, secret, blocks));
}
