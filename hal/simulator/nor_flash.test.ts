// The model of NOR flash: what a chip would refuse, and power cuts. Then Storage over it, on a course of files that fills,
// replaces, deletes and compacts, with what it leaves behind a cut.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Cut, cutStates, NorFlash, PowerCut } from "./nor_flash";
import { Storage } from "./storage";

const REALM = { arrayBuffer: () => new ArrayBuffer(0), parse: JSON.parse };
const storageOn = (flash: NorFlash) => new Storage(flash, 4, REALM);

describe("NOR flash", () => {
  test("programming clears bits and sets none; erasing sets those of one page", () => {
    const flash = new NorFlash(256, 64);
    flash.write(60, Buffer.from([0xf0, 0x0f, 0xff, 0x00, 0x55]));
    assert.equal(flash.refusedBits, 0);
    flash.write(60, Buffer.from([0x3f, 0xff]));
    assert.deepEqual([...flash.bytes.subarray(59, 66)], [0xff, 0x30, 0x0f, 0xff, 0x00, 0x55, 0xff]);
    assert.equal(flash.refusedBits, 4 + 4);
    flash.erasePage(63);
    assert.deepEqual([...flash.bytes.subarray(59, 66)], [0xff, 0xff, 0xff, 0xff, 0xff, 0x55, 0xff]);
    assert.equal(flash.erases, 1);
  });

  test("whole write units alone, unless the writer pads them; nothing outside", () => {
    const flash = new NorFlash(64, 32, 4);
    assert.throws(() => flash.write(2, Buffer.alloc(4)), /whole units/);
    assert.throws(() => flash.write(4, Buffer.alloc(3)), /whole units/);
    assert.throws(() => flash.write(62, Buffer.alloc(4)), /whole units/);
    assert.throws(() => flash.write(64, Buffer.alloc(4)), /outside/);
    for (const [offset, length, units] of [
      [0, 4, "0+4"],
      [1, 2, "0+4"],
      [3, 2, "0+4 4+4"],
      [0, 9, "0+8 8+4"],
      [5, 11, "4+4 8+8"],
      [6, 15, "4+4 8+12 20+4"],
    ] as const) {
      const fresh = new NorFlash(64, 32, 4);
      const data = Buffer.alloc(length, 0x11);
      fresh.writeAligned(offset, data);
      assert.equal(fresh.operations.map((each) => `${each.offset}+${each.length}`).join(" "), units);
      assert.ok(fresh.bytes.subarray(offset, offset + length).equals(data));
      assert.equal(fresh.bytes.filter((byte) => byte !== 0xff).length, length);
    }
  });

  test("R23 power is cut before, inside after every byte of, and after an operation", () => {
    const data = Buffer.from([1, 2, 3, 4]);
    for (let byte = 0; byte <= 4; byte++) {
      const flash = new NorFlash(16, 8);
      let cuts = 0;
      flash.write(8, data);
      flash.cut({ operation: 1, byte, torn: 0xf0 }, () => cuts++);
      flash.write(0, data);
      assert.throws(() => flash.write(4, data), PowerCut);
      const expected = [1, 2, 3, 4].map((value, i) =>
        i < byte ? value : i > byte ? 0xff : 0x0f | (value & 0xf0),
      );
      assert.deepEqual([...flash.bytes.subarray(0, 12)], [1, 2, 3, 4, ...expected, 1, 2, 3, 4]);
      assert.equal(cuts, 1);
      // and nothing more happens until there is power again
      assert.throws(() => flash.write(12, data), PowerCut);
      assert.throws(() => flash.erasePage(0), PowerCut);
      flash.isOn = true;
      flash.write(12, data);
    }
  });

  test("R23 an erase that is cut leaves the bytes behind the cut", () => {
    const flash = new NorFlash(16, 8);
    flash.write(0, Buffer.alloc(16));
    flash.cut({ operation: 0, byte: 3, torn: 0x81 });
    assert.throws(() => flash.erasePage(8), PowerCut);
    assert.equal(flash.bytes.toString("hex"), "0000000000000000ffffff8100000000");
  });

  test("the states that are laid out are those that cuts leave", () => {
    const work = (flash: NorFlash) => {
      const storage = storageOn(flash);
      storage.write("one", "1".repeat(20));
      storage.write("one", "2".repeat(9));
      storage.erase("one");
      storage.compact();
    };
    const flash = new NorFlash(512, 128, 4);
    const before = Buffer.from(flash.bytes);
    work(flash);
    const operations = [...flash.operations];
    assert.ok(operations.length > 6);
    let count = 0;
    for (const { state, cut } of cutStates(before, operations, () => 0x2d)) {
      const cutFlash = new NorFlash(512, 128, 4);
      cutFlash.cut(cut);
      assert.throws(() => work(cutFlash), PowerCut);
      assert.ok(cutFlash.bytes.equals(state), JSON.stringify(cut));
      count++;
    }
    assert.ok(count > 600, `${count} states`);
  });
});

test("what is written is found whole, over the end of its page too, and nothing that is not there", () => {
  const flash = new NorFlash(1024, 128);
  assert.equal(flash.written().length, 128, "an erased page stands for all");
  flash.write(250, Buffer.from("over the end"));
  flash.write(890, Buffer.from("alone"));
  for (const text of ["over the end", "alone"]) assert.ok(flash.written().includes(text), text);
  assert.ok(flash.written().length < flash.length);
  assert.ok(!flash.written().includes("endalone"));
});

describe("Storage over it", () => {
  /** Write and delete files until Storage has compacted several times. */
  function course(storage: Storage, steps: number): Map<string, string> {
    const files = new Map<string, string>();
    for (let step = 0; step < steps; step++) {
      const name = `f${(step * 7) % 5}`;
      const data = String.fromCharCode(65 + (step % 26)).repeat(1 + ((step * 37) % 90));
      if (step % 4 === 3) {
        storage.erase(name);
        files.delete(name);
      } else {
        storage.write(name, data);
        files.set(name, data);
      }
      for (const [each, text] of files) assert.equal(storage.read(each), text, `step ${step}, ${each}`);
      assert.deepEqual(storage.list().sort(), [...files.keys()].sort());
      assert.ok(storage.isValid, `step ${step}`);
    }
    return files;
  }

  test("holds its files over replacing, deleting and compacting, and sets no bit that is 0", () => {
    const flash = new NorFlash(1024, 256, 4);
    course(storageOn(flash), 200);
    assert.ok(flash.erases > 4, "it has compacted");
    assert.equal(flash.refusedBits, 0);
  });

  test("a file that replaces another is lost with it where power fails between them", () => {
    const cutAt = (cut: Cut) => {
      const flash = new NorFlash(512, 128, 4);
      const storage = storageOn(flash);
      storage.write("file", "old content");
      flash.cut(cut);
      assert.throws(() => storage.write("file", "new content!"), PowerCut);
      return storage.read("file");
    };
    assert.equal(cutAt({ operation: 0, byte: 0 }), "old content");
    assert.equal(cutAt({ operation: 1, byte: 0 }), undefined);
    assert.equal(cutAt({ operation: 2, byte: 4 }), `new ${"\xff".repeat(8)}`);
  });

  test("a header whose size is torn: the next write of that length heals it", () => {
    for (let byte = 0; byte <= 32; byte++) {
      const flash = new NorFlash(512, 128, 4);
      const storage = storageOn(flash);
      storage.write("first", "1");
      flash.cut({ operation: 0, byte, torn: 0xa5 });
      assert.throws(() => storage.write("key", "k".repeat(76)), PowerCut);
      flash.isOn = true;
      if (!storage.isValid) continue;
      storage.write("key", "k".repeat(76));
      assert.equal(storage.read("key"), "k".repeat(76), `byte ${byte}`);
      assert.equal(storage.read("first"), "1");
    }
  });

  test("deleted files stay in flash until a compaction", () => {
    const flash = new NorFlash(512, 128, 4);
    const storage = storageOn(flash);
    storage.write("a", "secret");
    storage.erase("a");
    assert.equal(storage.read("a"), undefined);
    assert.ok(flash.bytes.includes("secret"));
    storage.compact();
    assert.ok(!flash.bytes.includes("secret"));
  });
});
