// Keys that are forgotten, for the profile `epochs` (../README.md 13), as sections. The key of a session is a leaf of a binary tree: a node's
// left child is AES-128 under it of sixteen bytes 00, its right child of sixteen bytes 01, 24 levels. What lies in flash are the nodes right of the
// path to the leaf that was taken last: nothing leads back. The root is the `psk` of the key record that counts; it is written here
// as a node, and then zeros are written over it there. So new keys begin a new tree, and an image alone goes on with the old one.
//
// Two halves of board.journalLength bytes at the end of Storage, where a factory reset erases. Places of 32 bytes:
//
//   key version modulo 128 and first epoch (1 and 3), a number x (4, little-endian), ~x (4), node (16), 8 that stay erased
//
// An epoch has as many zeros at its end as its node has levels below it. The node is written first; a place counts while ~x is right
// and not 0, which no torn write of either is. Zeros are written over ~x, then over the node, and never twice: 11 words in 32 bytes, of the 181 that an
// nRF52832 allows in 512. A half without room is moved into the other one, place by place, which is erased before.
// Of other trees those of later versions and of the one before stay, in which a trial may end; in one all do.
import { aes } from "hal:aes128";
import { board } from "board";
import { ECB_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { AT_KEYS } from "../ota/slot";
import { FLASH_FULL, NO_KEY } from "../tls/alert";
import { slotKeys } from "./key";

const HALF = board.journalLength;
const END = board.storageStart + board.storageLength;
export const TREE_START = END - 2 * HALF;
export const PLACE = 32;
/** Where a node begins in its place. */
export const AT_NODE = 8;
const NODE_BYTES = 16;
/** What a place of erased flash adds up to. */
const ERASED = 255 * PLACE;
/** Variables that stay free while the others are written over: what the loop itself takes, and a collection wants none. */
const SPARE = 50;
/** Epochs of a tree: one more than the last. */
const TREE_EPOCHS = 0x1000000;

/** The key of the epoch that was taken, until it is used. */
let leaf: Bytes;

/** Give the key that `take` has taken, once. */
export function taken(): Bytes {
  const key = leaf;
  leaf = "";
  return key;
}

/**
 * Take the next epoch: its key is there for `taken`, and nothing in flash leads to it any more. Returns the identity with the epoch; where
 * `isAsked` the number of the epoch, of which nothing is taken. Throws NO_KEY: the tree is used up; FLASH_FULL; what the cipher throws.
 */
export function take(identity: Bytes, isAsked?: boolean): Bytes {
  const flash = require("Flash");
  const tag = (parseInt(identity.substr(1), 10) & 127) << 24;
  const record = slotKeys > 1 ? board.slotsStart + slot + AT_KEYS : board.storageStart + PLACE;
  const root = flash.read(NODE_BYTES, record);
  // of the array: the bytes of a text are signed, and add up to 0 now and then
  const hasRoot = E.sum(root);
  let node = E.toString(root);
  let epoch = TREE_EPOCHS;
  /** Of each half: bytes up to the last that was written, bytes of places that count. */
  const used = [0, 0];
  const nodes = [0, 0];
  for (let at = 0; at < 2 * HALF; at += PLACE) {
    const bytes = flash.read(PLACE, TREE_START + at);
    const place = E.toString(bytes);
    // not of the array's own buffer: three classes would come to stay, 26 variables
    const head = new Int32Array(E.toArrayBuffer(place));
    const half = +(at >= HALF);
    if (E.sum(bytes) < ERASED) used[half] = (at % HALF) + PLACE;
    if (!head[1] || head[0] !== ~head[1]) continue;
    nodes[half] += PLACE;
    // of another tree it is more than any epoch
    if ((head[0] ^ tag) < epoch) {
      epoch = head[0] ^ tag;
      node = place.substr(AT_NODE, NODE_BYTES);
    }
  }
  if (isAsked) return (epoch % TREE_EPOCHS) as any;
  if (epoch === TREE_EPOCHS && !hasRoot) throw NO_KEY;
  let to = section(import("./tree")).room(used, nodes, epoch);
  if (hasRoot) {
    // unless a cut came between the two, or these keys were here before
    if (epoch === TREE_EPOCHS) section(import("./tree")).put(to, tag, node);
    flash.write("\0".repeat(NODE_BYTES), record);
    return section(import("./tree")).take(identity);
  }
  let width = epoch & -epoch || TREE_EPOCHS;
  while ((width >>= 1)) {
    node = E.toString(aes(ECB_ENCRYPT, node, "\0".repeat(NODE_BYTES) + "\x01".repeat(NODE_BYTES)));
    section(import("./tree")).put(to, tag | (epoch + width), node.substr(NODE_BYTES));
    node = node.substr(0, NODE_BYTES);
    to += PLACE;
  }
  section(import("./tree")).forget(tag, epoch, to);
  leaf = node;
  // not toString(16): the class of that method would come to stay, 8 variables
  let digits = "";
  do digits = "0123456789abcdef"[epoch & 15] + digits;
  while ((epoch >>= 4));
  return identity + ".e" + digits;
}

/**
 * Find room for the nodes that are made when an epoch is taken. Bytes of each half: up to the last that was written, of places that count.
 * Returns the address. Throws FLASH_FULL.
 */
export function room(used: number[], nodes: number[], epoch: number): number {
  // a place a level below the node, and one for a root
  let wanted = PLACE;
  for (let width = epoch & -epoch || TREE_EPOCHS; (width >>= 1); ) wanted += PLACE;
  // the half that has nodes; where both have, a cut has stopped their moving into the emptier one
  let which = nodes[1] && (!nodes[0] || used[1] < used[0]) ? 1 : 0;
  if (used[which] + wanted > HALF) which ^= 1;
  // all of it was moved, the last time, or its erasing was cut
  if (!nodes[which] && used[which]) {
    for (let page = 0; page < HALF; page += board.pageLength)
      require("Flash").erasePage(TREE_START + which * HALF + page);
    used[which] = 0;
  }
  if (used[which] + wanted + nodes[1 - which] > HALF) throw FLASH_FULL;
  return TREE_START + which * HALF + used[which];
}

/**
 * Write zeros over what is free on the heap, but for the last few variables: keys of the session before lie there, in what natives and
 * strings have left.
 */
export function overwrite(): Bytes {
  let zeros = "";
  let free = 0;
  let before: number;
  do {
    before = free;
    free = (process as any).memory(false).free;
    // as many characters as there are variables take a tenth of them, or less
    if (free > SPARE) zeros += "\0".repeat(free);
  } while (free !== before);
  // used, or the build would leave them out
  return zeros;
}

/**
 * Write zeros over all that leads to `epoch` or one before it, over what a cut has left, and over older trees. What is left in the half that
 * `to` is not in is moved there.
 */
export function forget(tag: number, epoch: number, to: number): void {
  const flash = require("Flash");
  const which = +(to >= END - HALF);
  // a text between two marks: the interpreter's indexOf takes the end of a text for a match of a longer one
  let seen = "";
  for (let at = TREE_START; at < END; at += PLACE) {
    const bytes = flash.read(PLACE, at);
    if (E.sum(bytes) === ERASED) continue;
    const place = E.toString(bytes);
    const head = new Int32Array(E.toArrayBuffer(place));
    const isLeft =
      head[1] &&
      head[0] === ~head[1] &&
      (head[0] ^ tag) > epoch &&
      (head[0] + TREE_EPOCHS >= tag || typeof trial === "number") &&
      seen.indexOf("<" + head[0] + ">") < 0;
    const isMoved = +(at >= END - HALF) !== which;
    if (isLeft && !isMoved) seen += "<" + head[0] + ">";
    else if (head[1] | head[2] | head[3] | head[4] | head[5]) {
      if (isLeft) {
        section(import("./tree")).put(to, head[0], place.substr(AT_NODE, NODE_BYTES));
        to += PLACE;
      }
      flash.write("\0\0\0\0", at + 4);
      flash.write("\0".repeat(NODE_BYTES), at + AT_NODE);
    }
  }
}

/** Write a node into an erased place. */
export function put(at: number, x: number, node: Bytes): void {
  const flash = require("Flash");
  flash.write(node, at + AT_NODE);
  // each number is a byte of it
  flash.write([x, x >> 8, x >> 16, x >> 24, ~x, ~x >> 8, ~x >> 16, ~x >> 24], at);
}
