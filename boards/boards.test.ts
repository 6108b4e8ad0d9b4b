// Every board's data: complete, aligned, nothing on top of anything, drivers that exist; simulated twins
// differ from their originals in the name alone.
import "../hal/simulator/globals";
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { SETTINGS_PLACE } from "../firmware/profile";
import { RECORD_LENGTH } from "../firmware/store/key_record";
import type { Board } from "./board";
import { BUILDS } from "./builds";

const FOLDER = new URL(".", import.meta.url);
/** What Storage puts before a file, bytes. */
const HEADER = 32;
const INTERFACES = [
  "aes128",
  "digest",
  "randomSource",
  "tcpSocket",
  "network",
  "flash",
  "clock",
  "system",
  "serial",
] as const;

const names = readdirSync(FOLDER)
  .filter(
    (file) => file.endsWith(".ts") && !["board.ts", "builds.ts"].includes(file) && !file.endsWith(".test.ts"),
  )
  .map((file) => file.slice(0, -3));
const boards = new Map<string, Board>();
for (const name of names)
  boards.set(name, (await import(new URL(`./${name}.ts`, import.meta.url).href)).board);

test("the boards of this project are there", () => {
  assert.deepEqual(names.sort(), [
    "esp32",
    "esp32-idf4",
    "esp32-idf4-sim",
    "esp32-sim",
    "esp32c3",
    "esp32s3",
    "linux",
    "mdbt42q-w5500",
    "mdbt42q-w5500-sim",
  ]);
});

for (const [name, board] of boards) {
  describe(`board ${name}`, () => {
    test("is named as its file", () => assert.equal(board.name, name));

    test("flash areas are whole pages, inside the chip, and none lies on another", () => {
      let end = 0;
      for (const area of [...board.flashMap].sort((a, b) => a.start - b.start)) {
        assert.ok(area.start >= end, `${area.name} begins at ${area.start}, before ${end}`);
        assert.equal(area.start % board.pageLength, 0, `${area.name} begins at a page`);
        assert.equal(area.length % board.pageLength, 0, `${area.name} is whole pages`);
        assert.ok(area.length > 0);
        end = area.start + area.length;
      }
      assert.ok(end <= board.flashLength, `areas end at ${end} of ${board.flashLength}`);
      assert.equal(new Set(board.flashMap.map((area) => area.name)).size, board.flashMap.length);
    });

    test("Storage holds two slots, settings, and what the bench tests it with", () => {
      const storage = board.flashMap.filter((area) => area.name === "storage");
      assert.equal(storage.length, 1);
      const { slotsStart, settingsLength, storageStart } = board;
      const behindSlots = storageStart + storage[0].length - slotsStart - 2 * board.slotBytes;
      assert.equal(board.slotBytes % board.pageLength, 0);
      assert.equal(board.slotBytes & (board.slotBytes - 1), 0, "a power of two");
      // and the bench's scratch file, before it is told to take keys
      assert.ok(behindSlots >= HEADER + settingsLength + 2 * (HEADER + RECORD_LENGTH));
      assert.equal(settingsLength % SETTINGS_PLACE, 0);
      // the Linux build counts the addresses of its flash from 0x10000000
      const first = board.espruino === "LINUX" ? 0x10000000 : 0;
      assert.equal(board.storageStart, first + storage[0].start);
      assert.equal(board.storageLength, storage[0].length);
    });

    test("the drivers exist", () => {
      for (const field of INTERFACES) {
        assert.ok(
          existsSync(new URL(`../hal/espruino/${board[field]}.ts`, FOLDER)),
          `${field}: ${board[field]}`,
        );
      }
    });

    test("what the drivers need, the board's Espruino has", () => {
      const build = BUILDS[board.espruino];
      assert.ok(build, `a row for ${board.espruino} in boards/builds.ts`);
      if (board.aes128 === "native_aes") assert.ok(build.crypto.includes("AES"));
      if (board.digest === "native_digest")
        assert.ok(build.crypto.includes("SHA1") && build.crypto.includes("SHA256"));
      if (board.network === "esp_wifi") assert.ok(build.libraries.includes("Wifi"));
      if (board.network === "w5500") assert.ok(build.libraries.includes("WIZnet"));
      assert.ok(build.ports.includes(board.consolePort));
    });

    test("R13 a true source of noise, with credit that the health tests have cut-offs for", () => {
      const chips = {
        esp32_noise: "esp32",
        esp32c3_noise: "esp32c3",
        esp32s3_noise: "esp32s3",
        nrf_rng: "nrf52832",
        system_random: "none",
      };
      assert.equal(chips[board.randomSource], BUILDS[board.espruino].chip, "the register of this very chip");
      assert.ok([0.1, 0.3, 0.5, 1].includes(board.entropyPerBit));
      // only the system's generator is known to be full of entropy; noise of a chip nobody has measured is
      // not
      if (board.randomSource !== "system_random") assert.ok(board.entropyPerBit <= 0.3);
    });

    test("pins are named where a W5500 is, and nowhere else", () => {
      for (const pin of [board.spiMosi, board.spiMiso, board.spiSck, board.spiCs]) {
        assert.match(pin, board.network === "w5500" ? /^D\d+$/ : /^$/);
      }
      assert.equal(board.spiBaud > 0, board.network === "w5500");
    });

    test("numbers have their units' size", () => {
      // a variable holds 4 links and its data: 12 bytes up to 2,047 of them (10-bit links), then more
      assert.ok(board.variableBytes >= 12 && board.variableBytes <= 32);
      assert.ok(board.variables === 0 || board.variables >= 341);
      if (board.variables > 2047) assert.ok(board.variableBytes >= 13);
      if (board.variables > 8191) assert.ok(board.variableBytes >= 14);
      assert.ok([268, 536].includes(board.socketChunk));
      assert.ok([1, 4, 8].includes(board.writeLength));
    });

    if (!board.simulates) return;
    test("a simulated twin differs from its original in the name alone", () => {
      const { name: _name, simulates, ...twin } = board;
      const { name: _original, ...original } = boards.get(simulates as string) as Board;
      assert.equal(name, `${simulates}-sim`);
      assert.deepEqual(twin, original);
    });
  });
}
