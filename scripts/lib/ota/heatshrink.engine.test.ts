// What is packed here, the interpreter unpacks; what it packs is the same. Needs ESPRUINO_BIN; skipped without.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { ENGINE, Engine } from "../test/engine";
import { testImage } from "../test/update";
import { piecesOf } from "./digest";
import { pack, unpack } from "./heatshrink";

test("pieces packed here are unpacked by require('heatshrink')", {
  skip: ENGINE ? false : "ESPRUINO_BIN is not set",
}, async () => {
  const pieces = [...piecesOf(testImage(1200)), randomBytes(512), Buffer.from("x"), Buffer.alloc(512)];
  const program = pieces.map(
    (piece) =>
      `p=E.toString(require("heatshrink").decompress(atob("${pack(piece).toString("base64")}")));` +
      `print("is "+btoa(p)+" "+btoa(require("heatshrink").compress(p)));`,
  );
  const engine = new Engine({ ".bootcde": `var p;${program.join("\n")}print("end");` });
  try {
    await engine.line(/^end/);
    const answers = engine.lines.filter((line) => line.startsWith("is "));
    assert.deepEqual(
      answers,
      pieces.map((piece) => `is ${Buffer.from(piece).toString("base64")} ${pack(piece).toString("base64")}`),
    );
    for (const piece of pieces) assert.deepEqual(unpack(pack(piece)), Buffer.from(piece));
  } finally {
    await engine.stop();
  }
});
