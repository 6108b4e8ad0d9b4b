// Tokens of programs there and back: every row of the table, texts of every byte, numbers at the borders, what may stand side by
// side, the bundle of every board. What the interpreter makes of them: tokens.engine.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  detokenise,
  RAW_INT0,
  RAW_INT8,
  RAW_INT16,
  RAW_STRING8,
  RAW_STRING16,
  TOKENS,
} from "../../../hal/tokens";
import { boardNames, buildBundle } from "./build";
import { type Node, parse, walk } from "./syntax";
import { TOKEN_SAMPLES } from "./token_samples";
import { preferTokens, tokenise, tokeniseBundle } from "./tokens";

/** The tree of a program without its places; of literals the value. */
function shape(code: string): string {
  return JSON.stringify(parse(code), (key, value) => {
    if (/^(start|end|loc|raw)$/.test(key)) return undefined;
    return typeof value === "bigint" ? String(value) : value;
  });
}

/** There and back again, it is the same program. */
function assertSame(code: string): string {
  const tokens = tokenise(code);
  assert.equal(shape(detokenise(tokens)), shape(code), code);
  return tokens;
}

test("the table is the lexer's: numbers that its comments and its order give", () => {
  // src/jslex.h of 2v29: _LEX_TOKENS_START is LEX_TOKEN_START (128) and ten kinds of token
  assert.equal(TOKENS["=="], 138);
  assert.equal(TOKENS["=>"], 138 + 24);
  assert.equal(TOKENS.if, 163);
  assert.equal(TOKENS.of, 163 + 35);
  assert.equal(TOKENS["??"], 208);
  assert.deepEqual(
    [RAW_STRING8, RAW_STRING16, RAW_INT0, RAW_INT8, RAW_INT16],
    [0xd1, 0xd2, 0xd3, 0xd4, 0xd5],
  );
  assert.equal(new Set(Object.values(TOKENS)).size, Object.keys(TOKENS).length);
});

test("every word and operator is one byte, there and back", () => {
  for (const [text, token] of Object.entries(TOKENS)) {
    const code = TOKEN_SAMPLES[text]?.code;
    assert.ok(code, `no sample of ${text}`);
    assert.ok(assertSame(code).includes(String.fromCharCode(token)), code);
  }
});

test("texts of every byte stand as they are", () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  for (const text of [...bytes, bytes.join(""), bytes.join("").repeat(3), "x".repeat(255)]) {
    const literal = JSON.stringify(text).replace(
      /[\x7f-\xff]|\\u00../g,
      (each) => `\\x${(each[1] ? each.slice(4) : each.charCodeAt(0).toString(16)).padStart(2, "0")}`,
    );
    const tokens = assertSame(`f(${literal});`);
    assert.ok(tokens.includes(text));
    // from 256 on as long as plain text is without escapes, and raw where it has some
    assert.equal(tokens.length, "f();".length + (text.length < 256 ? 2 : 3) + text.length);
  }
  assert.equal(assertSame(`f("${"x".repeat(256)}");`), `f("${"x".repeat(256)}");`);
  assert.equal(tokenise("f(\"\", '');"), "f(\"\",'');");
  assert.equal(tokenise('f("\\u20ac");'), 'f("\\u20ac");');
  assert.equal(tokenise("f(`plain`);"), `f(${String.fromCharCode(RAW_STRING8)}\x05plain);`);
  const nested = "f(`a $" + "{ b + `}` } c`);";
  assert.equal(assertSame(nested), nested);
});

test("numbers are as short as they can be, at every border", () => {
  const widths: Record<number, number> = {
    0: 1,
    9: 1,
    10: 2,
    127: 2,
    128: 3,
    1000: 3,
    32767: 3,
    32768: 5,
    100000: 6,
  };
  for (const [number, width] of Object.entries(widths)) {
    assert.equal(assertSame(`f(${number});`).length, 4 + width, number);
    const negative = assertSame(`f(-${number});`).length;
    assert.ok(negative <= 4 + width + 1, `-${number} in ${negative}`);
  }
  assert.equal(assertSame("f(-128,-129,-32768,-32769);").length, "f(,,,);".length + 2 + 3 + 3 + 6);
  for (const text of [
    "1.5",
    ".5",
    "-1.5",
    "1e21",
    "0xff",
    "-0",
    "3e9",
    "0.1e-6",
    "1..x",
    "(5).x",
    "-(5).x",
    "5 .x",
  ])
    assertSame(`f(${text});`);
});

test("what would read as something else is kept apart", () => {
  for (const code of [
    "f(a - -b, a - --b, a-- - b, a - -1, a - -1.5, a + +b, a + ++b, a++ + b, - -a, + +a, a < !--b, !(!a));",
    "f(a / /b/.x, /a/g / b, /a/ in b, a in /b/, /a/ instanceof b, a ? /[/]/ : /\\//i, typeof /a/, typeof a / b / c);",
    "if (a) b; else c; for (const x of y) if (x in y) f(typeof x, void x, delete x.y); do a(); while (b);",
    "let a = null / 1, b = this, c = undefined / 2; throw new x;",
    "f(function () { return -1; }, () => -1, x => !x, x => /a/, 1 in a, a instanceof b, a ?? b);",
    "f({ get x() { return 1; }, set x(y) {}, if: 1, 5: 2, 'a b': 3, \"longer than one\": 4, of: 5 }.if, a.catch, a.of.delete);",
    "class A extends B { constructor() { super(); } static m() {} get of2() { return super.m(); } }",
    "switch (a) { case -1: break; case 'x': case b: f(); default: g(); }",
    "try { a } catch { b } finally { c }",
  ])
    assertSame(code);
});

test("a reserved word that names a member stays a word", () => {
  assert.equal(tokenise("a.catch(b);({if:1,of:2});"), "a.catch(b);({if:1,of:2});");
});

test("undefined, true and false are spelt out, since they are shorter then", () => {
  const code = "function f(){return!0}let a=void 0,b=!1,c=!a,d=!0 in b,e=void f();";
  const preferred = preferTokens(code).code;
  assert.equal(preferred, "function f(){return true}let a=undefined,b=false,c=!a,d=true in b,e=void f();");
  assert.ok(tokenise(preferred).length < tokenise(code).length);
});

test("bytes that are no program in tokens are refused", () => {
  const byte = String.fromCharCode;
  for (const code of ["f(\x80)", "\x89", byte(TOKENS.of + 1), byte(RAW_INT16 + 1), "\xff".repeat(9)])
    assert.throws(() => detokenise(code), /no token/);
  for (const code of [byte(RAW_STRING8), byte(RAW_STRING8, 5), byte(RAW_INT8), byte(RAW_INT16, 1)])
    assert.throws(() => detokenise(code), /cut off/);
  assert.throws(() => detokenise(`${byte(TOKENS.let)}a=\`x`), /does not end/);
  assert.throws(() => tokenise("f(`\u00e9`)"), /outside ASCII/);
  assert.throws(() => tokenise("f("), SyntaxError);
});

test("plain text comes back as it is, and nothing behind the zero byte", () => {
  const text = "let a = 1 ;  // and so on\nf ( a --  - - b )";
  assert.equal(detokenise(text), text);
  assert.equal(detokenise(`${text}\0\x80 no program (`), text);
  assert.equal(detokenise(`f(${String.fromCharCode(RAW_STRING8)}\x03\0\0\0);\0g()`), 'f("\\x00\\x00\\x00");');
});

test("a call without a place of a section's digits is not touched", () => {
  const code = "x(123);x(123);";
  const { code: bytes } = tokeniseBundle(
    `${code}\0f()\0`,
    [{ name: "s", offset: code.length + 1, length: 3 }],
    [{ at: 9, number: 0 }],
  );
  assert.equal(detokenise(bytes), `x(123);x(${bytes.length - "f()\0".length});`);
});

test("the source map leads from the bytes to the text", async () => {
  const { code, map } = tokeniseBundle("let a = 5;\nlet text = 'x\\ny';\nprint(a);", [], []);
  const { originalPositionFor, TraceMap } = await import("@jridgewell/trace-mapping");
  const at = code.indexOf("print");
  const lines = code.slice(0, at).split("\n");
  const place = originalPositionFor(new TraceMap(map as never), {
    line: lines.length,
    column: lines[lines.length - 1].length,
  });
  assert.deepEqual([place.line, place.column], [3, 0]);
});

for (const board of boardNames())
  test(`the bundle of ${board} in tokens is the bundle in text`, async () => {
    const { code, sections } = await buildBundle({ board });
    const main = code.slice(0, sections[0].offset - 1);
    const bodies = sections.map(({ offset, length }) => code.substr(offset, length));
    let literals = 0;
    for (const part of [main, ...bodies]) {
      const text = detokenise(part);
      assert.match(text, /^[\x20-\x7e]+$/);
      assert.equal(tokenise(text), part, text);
      walk(parse(`function f($,Y,Z){${text}}`), (node: Node) => {
        if (node.type === "Literal") literals++;
      });
    }
    assert.ok(literals > 200);
  });

test("every sample gives in Node what it says", () => {
  for (const { code, gives } of Object.values(TOKEN_SAMPLES))
    assert.equal(String(runInNewContext(detokenise(tokenise(code)))), gives, code);
});

test("a section's place inside a template literal, which stays text, is refused", () => {
  const code = `x=\`a\${load(12)}b\`;\0return 1\0`;
  const section = { name: "one", offset: code.indexOf("return"), length: "return 1".length };
  assert.throws(
    () => tokeniseBundle(code, [section], [{ at: code.indexOf("12"), number: 0 }]),
    /section one is called inside a template literal/,
  );
});
