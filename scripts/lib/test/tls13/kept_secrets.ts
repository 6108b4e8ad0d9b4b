/*
 * What a device of the profile tls13 keeps in flash of its key (firmware/tls13/secrets.ts), over node:crypto, written apart from the firmware on purpose.
 */
import { createCipheriv } from "node:crypto";
import type { Machine } from "../../../../hal/simulator/machine";
import { earlySecret, expandLabel, handshakeSecret, hash, masterSecret } from "./key_schedule";

/** Bytes of what is kept, and of the MAC at its end. */
export const KEPT = 112;
export const MAC = 16;

/** Every secret that depends on the key alone, by its name: none of them may be read in flash. */
export function secretsOfKey(key: Buffer): Map<string, Buffer> {
  const early = earlySecret(key);
  const binderKey = expandLabel(early, "ext binder", hash(), 32);
  return new Map([
    ["early secret", early],
    ["binder key", binderKey],
    ["finished_key", expandLabel(binderKey, "finished", Buffer.alloc(0), 32)],
    ["derived of the early secret", expandLabel(early, "derived", hash(), 32)],
    ["handshake secret", handshakeSecret(key)],
    ["derived of the handshake secret", expandLabel(handshakeSecret(key), "derived", hash(), 32)],
    ["master secret", masterSecret(key)],
  ]);
}

/** Those that are kept: handshake secret, master secret, finished_key. */
export function keptSecretsOf(key: Buffer): Buffer {
  const secrets = secretsOfKey(key);
  return Buffer.concat(
    ["handshake secret", "master secret", "finished_key"].map((name) => secrets.get(name) as Buffer),
  );
}

/** What lies in flash for a key. */
export function keptOf(key: Buffer): Buffer {
  const text = keptSecretsOf(key);
  const chain = createCipheriv("aes-128-cbc", key, Buffer.alloc(16)).setAutoPadding(false);
  const mac = chain.update(text).subarray(-MAC);
  const counter = Buffer.from("\x02ls13 secrets\0\0\0", "latin1");
  return createCipheriv("aes-128-ctr", key, counter).update(Buffer.concat([text, mac]));
}

/** The page in a machine's flash, a view. */
export function keptPage({ flash, board }: Machine): Buffer {
  return flash.bytes.subarray(board.storageLength - board.pageLength, board.storageLength);
}
