// The loader on the real interpreter: floods of Ctrl-C from power-on leave the prompt shut, before, while and after it hashes
// the image and with no image at all; what is broken is left for the other slot; nothing of it stays on the heap. Needs
// ESPRUINO_BIN.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { buildBundle, LOADER, readBoard } from "../../scripts/lib/bundle/build";
import { storageFiles } from "../../scripts/lib/ota/layout";
import { ENGINE, Engine, storageImage } from "../../scripts/lib/test/engine";
import { newKeys } from "../../scripts/lib/test/factory";
import { NO_IMAGE } from "../tls/alert";

const skip = ENGINE ? false : "ESPRUINO_BIN names no interpreter";
const keys = newKeys();
const SLOTS = 4096;
const SLOT = 32768;
/** An image that listens to the port and names itself, as long as images are. */
const listener = (name: string) =>
  `USB.on("data",function(bytes){if(/[?]/.test(bytes))USB.write("${name} "+slot+" "+process.memory().usage+"\\n")})/*${"x".repeat(12000)}*/`;

let loader = "";
before(async () => {
  if (ENGINE) loader = (await buildBundle({ board: "linux", entry: LOADER })).code;
});

/** A device's flash: image A in slot 0, B in slot 1. */
async function flash(): Promise<Buffer> {
  const board = (await readBoard("linux")) as unknown as Parameters<typeof storageFiles>[0];
  const [a, b] = ["A", "B"].map((name) => storageFiles(board, listener(name), loader, { sequence: 5 }));
  const slots = a[".slots"].slice(0, SLOT) + b[".slots"].slice(0, SLOT);
  return storageImage({ ...a, ".slots": slots, key: keys.record.toString("latin1") });
}

/** Ask until it answers. */
async function ask(engine: Engine, pattern: RegExp): Promise<RegExpMatchArray> {
  engine.lines.length = 0;
  for (let tries = 0; tries < 20 && !engine.lines.some((line) => pattern.test(line)); tries++) {
    engine.type("?");
    await delay(200);
  }
  return engine.line(pattern, 1000);
}

test("R24 R27 floods of Ctrl-C from power-on: the image runs, the prompt is shut", { skip }, async (t) => {
  const engine = new Engine(await flash());
  t.after(() => engine.stop());
  for (let i = 0; i < 200; i++) {
    engine.send(Buffer.alloc(100, 3));
    await delay(5);
  }
  engine.send(Buffer.from("\nprint('open')\n"));
  await ask(engine, /^A 0 /);
  // 4 ends the Linux build itself, whatever has its console
  for (let byte = 0; byte < 256; byte++) if (byte !== 4) engine.send(Buffer.alloc(65, byte));
  engine.send(Buffer.from("\nprint('open')\n"));
  await ask(engine, /^A 0 /);
  assert.ok(
    !engine.lines.some((line) => /^open$|^=|Uncaught|MEMORY|ERROR/.test(line)),
    engine.lines.join("\n"),
  );
});

test("R24 R27 with no whole image the port is taken, says why, and nothing opens the prompt", {
  skip,
}, async (t) => {
  const bytes = await flash();
  for (const nth of [0, 1]) bytes[SLOTS + nth * SLOT + 100] ^= 1;
  const engine = new Engine(bytes);
  t.after(() => engine.stop());
  engine.send(Buffer.alloc(3000, 3));
  await delay(1000);
  engine.send(Buffer.from("\x03\x03\nprint('open')\n"));
  await ask(engine, new RegExp(`^E${NO_IMAGE}$`));
  assert.ok(
    engine.lines.every((line) => line === `E${NO_IMAGE}` || line === ""),
    engine.lines.join("\n"),
  );
});

test("R24 a broken image is left for the other slot's, on the interpreter", { skip }, async () => {
  for (const at of [0, 700, 12_000, SLOT - 128 + 40]) {
    const bytes = await flash();
    bytes[SLOTS + at] ^= 0x10;
    const engine = new Engine(bytes);
    try {
      await ask(engine, /^B 32768 /);
    } finally {
      await engine.stop();
    }
  }
});

test("nothing of the loader stays on the heap but the place of the slot", { skip }, async (t) => {
  const engine = new Engine(await flash());
  t.after(() => engine.stop());
  const [, , , used] = await ask(engine, /^(A) (0) (\d+)$/);
  // started by a line in its place: the same image
  const board = (await readBoard("linux")) as unknown as Parameters<typeof storageFiles>[0];
  const bare = storageFiles(
    board,
    listener("A"),
    'E.setConsole("LoopbackB",{force:true});slot=0;eval(require("Storage").read(".slots",0,16256))',
  );
  const other = new Engine(storageImage({ ...bare, key: keys.record.toString("latin1") }));
  t.after(() => other.stop());
  const [, least] = await ask(other, /^A 0 (\d+)$/);
  assert.ok(Number(used) <= Number(least) + 12, `${used} variables, ${least} without it`);
  t.diagnostic(`${used} variables with the loader, ${least} without`);
});
