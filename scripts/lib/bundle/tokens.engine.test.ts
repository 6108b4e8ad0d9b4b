// Tokens on the interpreter: what lies in Storage as tokens gives what the same text gives, each word and operator, every byte of
// a text, numbers at the borders; nothing behind a zero byte is looked at. Needs ESPRUINO_BIN; skipped without.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ENGINE, Engine } from "../test/engine";
import { TOKEN_SAMPLES } from "./token_samples";
import { tokenise } from "./tokens";

const skip = ENGINE ? false : "ESPRUINO_BIN is not set";

/** Evaluate each program from a file of its own, in a function's scope each; the values as texts. */
async function evaluate(programs: string[]): Promise<string[]> {
  const files = Object.fromEntries(programs.map((code, i) => [`p${i}`, code]));
  // its own scope: what one program declares is not there for the next
  const main = `for (let place = 0; place < ${programs.length}; place++) {
    (function () {
      var v;
      try { v = eval(require("Storage").read("p" + place)); } catch (e) { v = "failed: " + e; }
      print("@" + place + " " + btoa("" + v));
    })();
  }
  print("@end");`;
  const engine = new Engine({ ".bootcde": main, ...files });
  try {
    await engine.line(/^@end/);
    return programs.map((_, i) => {
      const line = engine.lines.find((each) => each.startsWith(`@${i} `)) ?? "";
      return Buffer.from(line.slice(line.indexOf(" ") + 1), "base64").toString("latin1");
    });
  } finally {
    await engine.stop();
  }
}

test("every word and operator gives as a token what it gives as text", { skip }, async () => {
  const samples = Object.entries(TOKEN_SAMPLES);
  const texts = await evaluate(samples.map(([, { code }]) => code));
  const tokens = await evaluate(samples.map(([, { code }]) => tokenise(code)));
  samples.forEach(([token, { gives }], i) => {
    assert.equal(tokens[i], gives, token);
    assert.equal(texts[i], gives, `${token} as text`);
  });
});

test("texts of every byte and numbers at the borders are what they were", { skip }, async () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  const texts = [
    ...bytes,
    bytes.join(""),
    bytes.join("") + bytes.join(""),
    "4 by",
    "5 byt",
    "16 bytes of text",
  ];
  const literals = texts.map(
    (text) =>
      `"${[...text].map((each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")}"`,
  );
  for (let at = 0; at < texts.length; at += 40)
    assert.deepEqual(await evaluate(literals.slice(at, at + 40).map(tokenise)), texts.slice(at, at + 40));
  const numbers = [
    0, 1, 9, 10, 99, 100, 127, 128, 255, 256, 999, 1000, 32767, 32768, 65535, 65536, 2147483647,
  ];
  const signed = numbers
    .flatMap((number) => [String(number), String(-number)])
    .filter((text) => text !== "-0");
  assert.deepEqual(await evaluate(signed.map(tokenise)), signed);
});

test("what stands side by side, names of members and a zero byte", { skip }, async () => {
  const cases: Record<string, string> = {
    "var a=5,b=2;[a- -b,a-- - b,a+ +b,a- --b,-16-1,a-128].join()": "7,3,6,3,-17,-124",
    "/b/g.test('abc')+','+('abc'.replace(/b/,'x'))+','+(8/ 4/ 2)": "true,axc,1",
    "({if:1,of:2,'a b':3,\"longer than one variable\":4,5:6})['longer than one variable']+({if:1}).if": "5",
    "var o={};o['as a long name of a member']=7;o['as a long name of a member']+Object.keys(o)[0]":
      "7as a long name of a member",
    '`{"a":${1+1},"b":${`${2*2}`}}`': '{"a":2,"b":4}',
    "'it is '+typeof(function(x){return x*2}).toString()+' '+[1,-300,0].map(x=>x<<1)":
      "it is string 2,-600,0",
    "Function('$','Y','return $+Y')(1,-2)": "-1",
  };
  assert.deepEqual(await evaluate(Object.keys(cases).map(tokenise)), Object.values(cases));
  const ended = ["1+1\0;no program (", `${tokenise('"\\0\\0"+typeof 5')}\0\xff\xfe`];
  assert.deepEqual(await evaluate(ended), ["2", "\0\0number"]);
  // as the sections are made
  const made = `${tokenise('return $+"\\0"+Y')}\0\x80(`;
  const code = `Function("$","Y",require("Storage").read("p1"))(1,2)`;
  assert.equal((await evaluate([code, made]))[0], "1\x002");
});
