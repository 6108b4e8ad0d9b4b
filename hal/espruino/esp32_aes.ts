// AES-128 by the ESP32's accelerator (ESP32 Technical Reference Manual, chapter "AES Accelerator"; DPORT
// registers in chapter "System and Memory"). CBC is done here around the block operation. Registers, offsets
// from 0x3FF01000:
//   +0x00 START  write 1          +0x10 KEY_0..3   first bytes of the key in KEY_0
//   +0x04 IDLE   1 when done      +0x30 TEXT_0..3  in and out
//   +0x08 MODE   0 encrypt, 4 decrypt with 128 bits
//   +0x40 ENDIAN 0x3F: first word in register 0, first byte in its low bits, for key, input and output
// Leaves out 192 and 256 bits, interrupts, and a lock: the native AES of these builds does not use the
// accelerator.
import type { Bytes } from "../../firmware/bytes";
import { AES_FAILED, CBC_DECRYPT, CBC_ENCRYPT } from "../hal";

export const AES_CAN_DECRYPT = true;
export const AES_BULK = false;

const AES = 0x3ff01000;
/** DPORT_PERI_CLK_EN_REG, bit 0: clock of AES. */
const CLOCK = 0x3ff0001c;
/**
 * DPORT_PERI_RST_EN_REG: AES (bit 0), secure boot (3) and digital signature (4) each hold the AES unit in
 * reset.
 */
const RESET = 0x3ff00020;
/** Reads of IDLE before the unit counts as dead: a block takes 22 clock cycles, one read takes thousands. */
const TRIES = 9;

/** Encrypt or decrypt whole blocks (Aes128 in hal.ts). */
export function aes(mode: number, key: Bytes, data: Joinable, iv?: Bytes): ArrayBuffer {
  const bytes = E.toUint8Array(data);
  const count = bytes.length >> 2;
  if (bytes.length & 15) throw AES_FAILED;
  const words = new Int32Array(bytes.buffer);
  let chain: ArrayLike<number> = iv ? new Int32Array(E.toArrayBuffer(iv)) : new Int32Array(4);
  poke32(CLOCK, peek32(CLOCK) | 1);
  poke32(RESET, peek32(RESET) & ~0x19);
  poke32(AES + 0x40, 0x3f);
  poke32(AES + 0x08, mode < CBC_DECRYPT ? 0 : 4);
  poke32(AES + 0x10, new Int32Array(E.toArrayBuffer(key)));
  for (let i = 0; i < count; i += 4) {
    const input = new Int32Array(bytes.buffer, i << 2, 4);
    if (mode === CBC_ENCRYPT) for (let j = 0; j < 4; j++) input[j] ^= chain[j];
    poke32(AES + 0x30, input);
    poke32(AES, 1);
    let tries = TRIES;
    while (!(peek32(AES + 0x04) & 1)) if (!--tries) throw AES_FAILED;
    const output = peek32(AES + 0x30, 4);
    if (mode < CBC_DECRYPT) {
      words.set(output, i);
      chain = output;
    } else {
      for (let j = 0; j < 4; j++) {
        output[j] ^= chain[j];
      }
      chain = new Int32Array(input); // a copy: the ciphertext of this block is the next one's chain
      words.set(output, i);
    }
  }
  poke32(AES + 0x10, new Int32Array(4)); // the key does not stay in the peripheral
  return bytes.buffer;
}
