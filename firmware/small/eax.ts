// AES-128-CMAC as crypto/eax.ts has it, in its place: of texts alone, for an array is a variable more and its class eight. EAX itself is in
// akep2/protected_channel.ts.
import { aes } from "hal:aes128";
import { CBC_ENCRYPT, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Prepare `key` (16 bytes): it, and the blocks 0 to 2 under it, 64 bytes in all. The first 32 are all that `omac` takes. */
export function eaxKey(key: Bytes): Bytes {
  const zeros = "\0".repeat(15);
  return E.toString(key, aes(ECB_ENCRYPT, key, E.toString(zeros, 0, zeros, 1, zeros, 2)));
}

/**
 * Compute the CMAC (SP 800-38B, 6.2) of `data`, 1 byte or more: 16 bytes. `context`: what `eaxKey` gives; `chain`: the encrypted block that
 * comes before `data`, if any.
 */
export function omac(context: Bytes, data: Bytes, chain?: Bytes): Bytes {
  const missing = -data.length & 15;
  let subkey = context.substr(16, 16);
  let block: Bytes;
  // doubled (6.1) once for a last block that is whole, and again for one that is padded
  for (let times = missing ? 2 : 1; times--; subkey = block) {
    block = "";
    for (let i = 0; i < 16; i++)
      block = E.toString(
        block,
        (subkey.charCodeAt(i) << 1) ^
          (i < 15 ? subkey.charCodeAt(i + 1) >> 7 : (subkey.charCodeAt(0) >> 7) * 0x87),
      );
  }
  if (missing) data = E.toString(data, 0x80, { data: 0, count: missing - 1 });
  E.defrag();
  const last = data.length - 16;
  block = "";
  for (let i = 0; i < 16; i++) block = E.toString(block, data.charCodeAt(last + i) ^ subkey.charCodeAt(i));
  return E.toString(aes(CBC_ENCRYPT, context.substr(0, 16), [data.substr(0, last), block], chain)).substr(
    -16,
  );
}
