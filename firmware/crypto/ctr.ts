// AES-128 in counter mode, as CCM (SP 800-38C, A.3) and GCM (SP 800-38D, 6.5 and 7.1) have it. Needs AES encryption alone.
import { aes } from "hal:aes128";
import { AES_PIECE, ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { ESP, SMALL, TLS_1_3, TLS_AES_128_GCM_SHA256, TLS_PSK_WITH_AES_128_GCM_SHA256 } from "../profile";

/** Whether GCM is linked. */
const GCM = TLS_1_3 ? TLS_AES_128_GCM_SHA256 : TLS_PSK_WITH_AES_128_GCM_SHA256;

/**
 * Encrypt or decrypt `text`, whole blocks, under the counters from 0 (CCM) or 1 (GCM), as far as the interpreter lets us in place.
 * Its first block is the MAC, for which the first counter is. `context` is the key (16 bytes), the flags of B0 (1 byte; 0:
 * GCM), the nonce (12 bytes), and what is not for here (ccm.ts).
 */
export function ctrTurn(context: Bytes, text: Bytes): Bytes {
  const buffer = E.toArrayBuffer(text);
  const words = new Int32Array(buffer);
  for (let i = 0, at = 0; i << 4 < text.length; ) {
    let counters = "";
    for (let end = i + AES_PIECE / 16; i < end && i << 4 < text.length; i++)
      counters =
        GCM && !context.charCodeAt(16)
          ? E.toString(counters, context.substr(17, 12), 0, 0, (i + 1) >> 8, i + 1)
          : // flags: the counter's bytes less one; under ESP it has one more (RFC 4309, 4), of which the first is 0
            E.toString(counters, ESP ? 3 : 2, context.substr(17, 12), 0, i >> 8, i);
    if (SMALL) E.defrag();
    for (const word of new Int32Array(aes(ECB_ENCRYPT, context.substr(0, 16), counters))) words[at++] ^= word;
  }
  return E.toString(buffer);
}
