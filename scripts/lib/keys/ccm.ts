// AES-128-CCM (SP 800-38C; RFC 3610) on the host's side, over node:crypto: the one box of tickets, ESP and AKEP2's records.
import { createCipheriv, createDecipheriv } from "node:crypto";

/** What is authenticated beside the text, and how long the tag is, bytes: 4 to 16, even. */
export interface CcmOptions {
  additional: Buffer;
  tagLength: number;
}

/** Seal a text under a key (16 bytes) and a nonce (7 to 13 bytes) that never serve for another one: its ciphertext, then the tag. */
export function sealCcm(
  key: Buffer,
  nonce: Buffer,
  text: Buffer,
  { additional, tagLength }: CcmOptions,
): Buffer {
  const cipher = createCipheriv("aes-128-ccm", key, nonce, { authTagLength: tagLength });
  cipher.setAAD(additional, { plaintextLength: text.length });
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

/** Open what sealCcm gave; undefined where it is not whole, or was sealed with anything else. */
export function openCcm(
  key: Buffer,
  nonce: Buffer,
  sealed: Buffer,
  { additional, tagLength }: CcmOptions,
): Buffer | undefined {
  const size = sealed.length - tagLength;
  if (size < 0) return undefined;
  const decipher = createDecipheriv("aes-128-ccm", key, nonce, { authTagLength: tagLength });
  decipher.setAAD(additional, { plaintextLength: size }).setAuthTag(sealed.subarray(size));
  try {
    const text = decipher.update(sealed.subarray(0, size));
    decipher.final();
    return text;
  } catch {
    return undefined;
  }
}
