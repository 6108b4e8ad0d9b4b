// Others' text is escaped wherever it is shown: every control character, and what turns or hides text.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { quoted, show, showBytes, showCsv, showJson, showLines, showSaid, showXml } from "./show";

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
/** C0, DEL and C1; marks of direction (UAX 9); separators of lines; a byte order mark, a zero width space, a lone surrogate. */
const HARMFUL = [
  ...[...range(0, 0x1f), ...range(0x7f, 0x9f)],
  ...[0x61c, 0x200e, 0x200f, ...range(0x202a, 0x202e), ...range(0x2066, 0x2069)],
  ...[0x2028, 0x2029, 0xfeff, 0x200b, 0xd800],
].map((code) => String.fromCharCode(code));
const WHOLE = `a${HARMFUL.join("b")}z`;
const isHarmless = (text: string) => !HARMFUL.some((character) => text.includes(character));

describe("R39 nothing harmful comes through", () => {
  const shown: Record<string, (text: string) => string> = {
    show,
    showJson,
    quoted: (text) => quoted(text, 1000),
    showBytes: (text) => showBytes(Buffer.from(text)),
    showSaid,
    "showSaid, as UTF-8": (text) => showSaid(Buffer.from(text).toString("latin1")),
    showCsv,
    showXml,
    "showLines, but for line ends": (text) => showLines(text).replaceAll("\n", ""),
  };
  for (const [name, way] of Object.entries(shown))
    test(`R39 ${name}`, () => {
      assert.ok(isHarmless(way(WHOLE)), JSON.stringify(way(WHOLE)));
      for (const character of HARMFUL) assert.ok(isHarmless(way(character)), JSON.stringify(character));
    });
});

test("R39 what is shown can be told apart, and plain text stays what it is", () => {
  assert.equal(show("\x1b[2J\x9b\u202eW"), "\\u001b[2J\\u009b\\u202eW");
  assert.equal(show("Zähler 7, 水 😀"), "Zähler 7, 水 😀");
  assert.equal(showBytes(Buffer.from("\x1b[2Jhi\xff", "latin1")), "\\x1b[2Jhi\\xff");
  assert.equal(showSaid("Z\xc3\xa4hler"), "Zähler");
  assert.equal(showSaid("Z\xe4hler"), "Zähler");
});

test("R39 JSON is the same value for whoever reads it", () => {
  for (const value of [WHOLE, { [WHOLE]: [WHOLE] }, "\u{e0041}"])
    assert.deepEqual(JSON.parse(showJson(value)), value);
});

test("R39 a page gets no tag, a spreadsheet no formula", () => {
  assert.equal(showXml(`<a b="c">&`), "&lt;a b=&quot;c&quot;&gt;&amp;");
  assert.equal(showCsv("=1+1"), "'=1+1");
  assert.equal(showCsv('@a,"b"'), `"'@a,""b"""`);
  assert.equal(showCsv("SN1"), "SN1");
});
