/*
 * The cryptography of EAP-PSK (RFC 4764, 3) over node:crypto and the CMAC of @noble/ciphers, written apart from the firmware's: key
 * setup, session keys, the two MACs, and EAX for texts of any length.
 */
import { createCipheriv } from "node:crypto";
import { cmac } from "@noble/ciphers/aes.js";

/** AES-CMAC of the parts, joined: 16 bytes. */
export function mac(key: Buffer, ...parts: Buffer[]): Buffer {
  return Buffer.from(cmac(Buffer.concat(parts), key));
}

function encrypt(key: Buffer, block: Buffer): Buffer {
  return createCipheriv("aes-128-ecb", key, null).setAutoPadding(false).update(block);
}

function plus(block: Buffer, number: number): Buffer {
  const changed = Buffer.from(block);
  changed[15] ^= number;
  return changed;
}

/** The authentication key and the key derivation key of a PSK (3.1). */
export function keySetup(psk: Buffer): { ak: Buffer; kdk: Buffer } {
  const block = encrypt(psk, Buffer.alloc(16));
  return { ak: encrypt(psk, plus(block, 1)), kdk: encrypt(psk, plus(block, 2)) };
}

/** The session's keys (3.2): TEK (16 bytes), MSK and EMSK (64 each). */
export function sessionKeys(kdk: Buffer, randP: Buffer): { tek: Buffer; msk: Buffer; emsk: Buffer } {
  const block = encrypt(kdk, randP);
  const output = Buffer.concat(
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => encrypt(kdk, plus(block, number))),
  );
  return { tek: output.subarray(0, 16), msk: output.subarray(16, 80), emsk: output.subarray(80) };
}

const numbered = (number: number) => plus(Buffer.alloc(16), number);

/** The tag of EAX, 16 bytes, and the text turned. */
export function eax(key: Buffer, nonce: Buffer, header: Buffer, text: Buffer, isSealed = false) {
  const start = mac(key, numbered(0), nonce);
  const turned = createCipheriv("aes-128-ctr", key, start).update(text);
  const over = mac(key, numbered(1), header);
  const sealed = mac(key, numbered(2), isSealed ? text : turned);
  return { tag: Buffer.from(start.map((byte, i) => byte ^ over[i] ^ sealed[i])), turned };
}
