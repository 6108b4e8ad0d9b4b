// The simulator's Storage beside the real one: the same course of files on both, and every page of flash compared. Needs
// ESPRUINO_BIN, any Linux build of Espruino; skipped without.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { board } from "../../boards/linux";
import { ENGINE, Engine, storageImage } from "../../scripts/lib/test/engine";
import { NorFlash } from "./nor_flash";
import { Storage } from "./storage";

const REALM = { arrayBuffer: () => new ArrayBuffer(0), parse: JSON.parse };
const [{ length: LENGTH }] = board.flashMap;

/** Steps of the course: name, bytes of data, bytes of the file; no data: erase it. Files of 5 to 30 kB fill Storage. */
const STEPS = Array.from({ length: 48 }, (_, i): [string, number, number] => [
  `f${(i * 5) % 9}`,
  i % 6 === 5 ? 0 : 1 + ((i * 31) % 60),
  i % 2 ? 5000 + ((i * 1237) % 25000) : 0,
]);
/** Steps after which flash is compared. */
const EVERY = 8;

test("Storage lays out, replaces, deletes and compacts its files as the interpreter's does", {
  skip: ENGINE ? false : "ESPRUINO_BIN names no interpreter",
}, async () => {
  const code = `function step(name,length,size){var s=require("Storage");if(length)s.write(name,name.repeat(length).substr(0,length),0,size);else s.erase(name)}
function pages(){for(var at=0;at<${LENGTH};at+=${board.pageLength})print("crc",at,E.CRC32(require("Flash").read(${board.pageLength},${board.storageStart}+at)));print("all")}`;
  const files = { ".boot0": code };
  const flash = new NorFlash(LENGTH, board.pageLength);
  flash.load(storageImage(files));
  const storage = new Storage(flash, 4, REALM);
  const engine = new Engine(files);
  try {
    await engine.line(/Interactive mode/);
    for (const [i, [name, length, size]] of STEPS.entries()) {
      if (length) storage.write(name, name.repeat(length).substr(0, length), 0, size);
      else storage.erase(name);
      engine.type(`step(${JSON.stringify(name)},${length},${size})`);
      if (i % EVERY !== EVERY - 1) continue;
      engine.lines.length = 0;
      engine.type("pages()");
      await engine.line(/^all$/);
      const found = engine.lines.flatMap(
        (line) => /^crc (\d+) (-?\d+)$/.exec(line)?.slice(1).map(Number) ?? [],
      );
      const expected: number[] = [];
      for (let at = 0; at < LENGTH; at += board.pageLength)
        expected.push(at, crc32(flash.bytes.subarray(at, at + board.pageLength)));
      assert.deepEqual(
        found.map((value) => value >>> 0),
        expected,
        `after step ${i + 1}`,
      );
    }
    assert.ok(flash.erases > 0, "it has compacted");
  } finally {
    await engine.stop();
  }
});
