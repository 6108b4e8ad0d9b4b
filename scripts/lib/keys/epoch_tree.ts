// Keys that a device forgets: the tree of epochs (firmware/README.md 13). The root is the device's key of label `psk/tree`; a node's child is
// AES-128 under it of sixteen bytes 00, the left one, or 01, the right one; a leaf is the pre-shared key of its epoch. A server keeps
// nothing: 24 blocks of AES lead from the root to any leaf. Leaves out what a device keeps of it (firmware/store/tree.ts).
import { createCipheriv } from "node:crypto";
import { type AesKey, KEY_LENGTH, kbkdf, type PskLabel } from "./kdf";

/** Label of the root; a key of label `psk` is never one. */
export const TREE_LABEL = "psk/tree" satisfies PskLabel;
/** Levels below the root: there are 2^24 epochs. */
export const TREE_LEVELS = 24;
export const EPOCHS = 2 ** TREE_LEVELS;

/** What is encrypted under a node for its left child, and for its right one. */
const SIDES = [Buffer.alloc(KEY_LENGTH, 0), Buffer.alloc(KEY_LENGTH, 1)];

/** Derive a device's root, 16 bytes, from the `psk` master and its identity without an epoch. */
export function treeRoot(master: Uint8Array | AesKey, identity: string): Buffer {
  return kbkdf(master, TREE_LABEL, identity);
}

/** Derive the child of a node (16 bytes), 0 the left one, 1 the right one: one block. */
export function childOf(node: Uint8Array, side: number): Buffer {
  return createCipheriv("aes-128-ecb", node, null).update(SIDES[side]);
}

/** Derive the key of an epoch, 0 to 2^24 - 1, from the root, which stays the caller's: 24 blocks. */
export function leafOf(root: Uint8Array, epoch: number): Buffer {
  let node: Buffer = Buffer.from(root);
  for (let level = TREE_LEVELS; level--; ) {
    const child = childOf(node, (epoch >>> level) & 1);
    node.fill(0);
    node = child;
  }
  return node;
}
