// AES-128-CBC (SP 800-38A, 6.2) over a whole text, as far as the interpreter lets us in place: a second flat copy of a
// record would want one run of 45 free variables. Leaves out padding, which is the record layer's.
import { aes } from "hal:aes128";
import { AES_PIECE, CBC_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";

/** Encrypt or decrypt (`mode`) what follows the IV, the first block of `text`, in whole blocks; `key` has 16 bytes. */
export function cbcTurn(mode: number, key: Bytes, text: Bytes): Bytes {
  const buffer = E.toArrayBuffer(text);
  const words = new Int32Array(buffer);
  let iv = text.substr(0, 16);
  let at = 4;
  for (let i = 16; i < text.length; i += AES_PIECE) {
    const piece = text.substr(i, AES_PIECE);
    const output = aes(mode, key, piece, iv);
    iv = (mode === CBC_ENCRYPT ? E.toString(output) : piece).substr(-16);
    for (const word of new Int32Array(output)) words[at++] = word;
  }
  return E.toString(buffer);
}
