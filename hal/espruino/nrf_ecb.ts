// AES-128 encryption by the nRF5x ECB peripheral (nRF52832 Product Specification, chapter "ECB - AES
// electronic codebook mode encryption"). CBC encryption is done here around the block operation. Registers,
// offsets from 0x4000E000:
//   +0x000 STARTECB  +0x004 STOPECB         tasks, write 1
//   +0x100 ENDECB    +0x104 ERRORECB        events, 1 when happened, write 0 to clear
//   +0x504 ECBDATAPTR                       48 bytes in RAM: key, cleartext, ciphertext
// The peripheral shares its AES core with the radio (CCM, AAR): ERRORECB then, and it is tried again. The SoftDevice's
// specification keeps the unit for the stack while that is enabled: between our write of ECBDATAPTR and STARTECB it might put its own.
// We take the unit while Bluetooth is off (nrf_system.ts): without advertising and connections the stack encrypts nothing. What comes out
// wrong all the same is a bad record or a key that is looked at again (firmware/boot/check_keys.ts), never a wipe. Leaves out
// decryption, which the chip has not.
import type { Bytes } from "../../firmware/bytes";
import { AES_FAILED, CBC_DECRYPT, CBC_ENCRYPT } from "../hal";

export const AES_CAN_DECRYPT = false;
export const AES_BULK = false;

const ECB = 0x4000e000;
/** Starts of one block before it counts as failed: the radio holds the core for less than a millisecond. */
const TRIES = 50;
/** Reads of the events after a start: a block takes 7.2 us, one read takes longer than that. */
const READS = 9;

/**
 * Key, cleartext, ciphertext. Made once: EasyDMA needs it flat, and only an early heap has room in one piece.
 */
const ram = new Uint8Array(48);

/** Encrypt whole blocks (Aes128 in hal.ts). */
export function aes(mode: number, key: Bytes, data: Joinable, iv?: Bytes): ArrayBuffer {
  const bytes = E.toUint8Array(data);
  if (mode === CBC_DECRYPT || bytes.length & 15) throw AES_FAILED;
  const clear = new Int32Array(ram.buffer, 16, 4);
  const cipher = new Uint8Array(ram.buffer, 32, 16);
  const chain = new Int32Array(ram.buffer, 32, 4);
  ram.set(E.toUint8Array(key));
  chain.fill(0);
  if (iv) cipher.set(E.toUint8Array(iv));
  for (let i = 0; i < bytes.length; i += 16) {
    clear.set(new Int32Array(bytes.buffer, i, 4));
    if (mode === CBC_ENCRYPT) for (let j = 0; j < 4; j++) clear[j] ^= chain[j];
    let tries = TRIES;
    for (;;) {
      poke32(ECB + 0x100, 0);
      poke32(ECB + 0x104, 0);
      // set each time: the SoftDevice may have used the peripheral in between
      poke32(ECB + 0x504, E.getAddressOf(ram, true));
      poke32(ECB, 1);
      let reads = READS;
      while (reads && !peek32(ECB + 0x100) && !peek32(ECB + 0x104)) reads--;
      if (reads && !peek32(ECB + 0x104)) break;
      poke32(ECB + 0x04, 1);
      if (!--tries) throw AES_FAILED;
    }
    bytes.set(cipher, i);
  }
  ram.fill(0);
  return bytes.buffer;
}
