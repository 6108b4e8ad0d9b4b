// The tree of epochs: known answers, each computed anew here with Node's own AES and CMAC as its definition says, and what it costs.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { cmac } from "@noble/ciphers/aes.js";
import { EPOCHS, leafOf, TREE_LEVELS, treeRoot } from "./epoch_tree";
import { parsePresented } from "./identity";
import { deriveDeviceKey } from "./kdf";

const MASTER = Buffer.from("00112233445566778899AABBCCDDEEFF", "hex");
const IDENTITY = "v1.meter.SN1";
const ROOT = "e5ff764d5f49ff5991abb1039702866d";
/** Epoch -> the key of it. */
const LEAVES: [epoch: number, leaf: string][] = [
  [0, "f339a184784808dd5b21356e22fba1a0"],
  [1, "cfad7bc372d9621c94ddc5521148eaa3"],
  [752, "b2b0f109ba33810570111cdb5a422c26"],
  [8388607, "1149bba227dbb0fd0bfe445be7f1f3f0"],
  [8388608, "4b35b9d38cd75430499f6ee41d957cd3"],
  [16777215, "7a634e8aa95347b7fffd4da9ff7273ef"],
];

test("R38 the root is the device's key of label psk/tree, and not the one of label psk", () => {
  const input = Buffer.from(`\0\0\0\x01psk/tree\0${IDENTITY}\0\0\0\x80`, "latin1");
  assert.equal(Buffer.from(cmac(input, MASTER)).toString("hex"), ROOT);
  assert.equal(treeRoot(MASTER, IDENTITY).toString("hex"), ROOT);
  assert.notEqual(deriveDeviceKey(MASTER, parsePresented(IDENTITY)).toString("hex"), ROOT);
});

test("R38 leaves: known answers, first and last and on both sides, as Node's AES finds them bit by bit", () => {
  for (const [epoch, leaf] of LEAVES) {
    let node = Buffer.from(ROOT, "hex");
    let blocks = 0;
    for (const bit of epoch.toString(2).padStart(24, "0")) {
      const cipher = createCipheriv("aes-128-ecb", node, null).setAutoPadding(false);
      node = Buffer.concat([cipher.update(Buffer.alloc(16, Number(bit))), cipher.final()]);
      blocks++;
    }
    assert.equal(blocks, 24);
    assert.equal(node.toString("hex"), leaf, `epoch ${epoch}`);
    assert.equal(leafOf(Buffer.from(ROOT, "hex"), epoch).toString("hex"), leaf, `epoch ${epoch}`);
  }
  assert.deepEqual([TREE_LEVELS, EPOCHS], [24, 16_777_216]);
});
