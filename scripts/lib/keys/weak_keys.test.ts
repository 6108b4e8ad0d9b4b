// Keys that are none are refused, with a sentence that shows nothing of them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { masterFault, randomKey, strongKey } from "./weak_keys";

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
const KNOWN_MASTER = hex("00112233445566778899AABBCCDDEEFF");

describe("R1 weak masters", () => {
  const weak: Record<string, Buffer> = {
    short: randomKey().subarray(0, 15),
    empty: Buffer.alloc(0),
    long: Buffer.concat([randomKey(), randomKey()]),
    zero: Buffer.alloc(16),
    "one byte repeated": Buffer.alloc(16, 0xa7),
    "two bytes repeated": Buffer.alloc(16, hex("a712")),
    "four bytes repeated": Buffer.alloc(16, hex("a7129c5e")),
    "eight bytes repeated": Buffer.alloc(16, hex("a7129c5e01ff3344")),
    counting: hex("101112131415161718191a1b1c1d1e1f"),
    "counting down": hex("f0efeeedecebeae9e8e7e6e5e4e3e2e1"),
    "the key of FIPS 197": hex("000102030405060708090a0b0c0d0e0f"),
    "the key of SP 800-38B": hex("2b7e151628aed2a6abf7158809cf4f3c"),
    "the key of AN10922": KNOWN_MASTER,
    "a serial number": Buffer.from("SN00000000012345"),
  };
  for (const [name, master] of Object.entries(weak)) {
    test(`R1 refused: ${name}`, () => assert.throws(() => strongKey(master, "the master"), UsageError));
  }

  test("R1 random keys are taken, and the sentence never shows the key", () => {
    for (let i = 0; i < 2000; i++) assert.equal(masterFault(randomKey()), undefined);
    for (const master of Object.values(weak)) {
      const shown = masterFault(master) ?? "";
      if (master.length >= 4) assert.ok(!shown.toLowerCase().includes(master.toString("hex")));
    }
  });
});
