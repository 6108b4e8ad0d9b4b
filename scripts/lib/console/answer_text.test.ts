// Words for what a device answers: steps, codes, times, events; and how its lines are read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerRows, durationText, eventText, failureOf, grouped } from "./answer_text";
import { encodeBase32 } from "./challenge";
import { COMMAND_TEXT, commandOf } from "./command_text";
import { parseAnswer } from "./session";
import { complete, textOf } from "./terminal";

test("times are said in their two greatest units", () => {
  for (const [seconds, text] of [
    [0, "0 s"],
    [59, "59 s"],
    [60, "1 min 0 s"],
    [3599, "59 min 59 s"],
    [3600, "1 h 0 min"],
    [86_399, "23 h 59 min"],
    [90_000, "1 d 1 h"],
    [400 * 86_400, "400 d 0 h"],
  ] as const)
    assert.equal(durationText(seconds), text);
});

test("base 32 comes in groups that can be read out", () => {
  assert.equal(grouped(encodeBase32(Buffer.alloc(8))), "0000-0000-00000");
  assert.equal(grouped("0123456789AB"), "0123-4567-89AB");
  assert.equal(grouped(""), "");
});

test("a line of the device is an object, a code, or neither", () => {
  assert.deepEqual(parseAnswer('{"err":5,"at":1}'), { err: 5, at: 1 });
  assert.deepEqual(parseAnswer('{"ip":null,"ssid":"x"}'), { ip: "", ssid: "x" });
  assert.deepEqual(parseAnswer("E26"), { err: 26 });
  // UTF-8 a byte a character; and nothing that a terminal would obey
  assert.deepEqual(parseAnswer('{"ssid":"B\u00c3\u00bcro"}'), { ssid: "B\u00fcro" });
  assert.deepEqual(parseAnswer('{"ssid":"\\u001b[2J\u00ff"}'), { ssid: "\\u001b[2J\u00ff" });
  for (const line of ["", "status", "id:v1.x.y", "{", '{"a":[1]}', '{"a":{}}', "[1]", "E", "E1234", "Error"])
    assert.equal(parseAnswer(line), undefined, line);
});

test("a refusal is told from an answer that names an error", () => {
  assert.equal(failureOf({ err: 26 }), 26);
  assert.equal(failureOf({ err: 0 }), 0);
  assert.equal(failureOf({ err: 5, at: 1 }), 0);
  assert.equal(failureOf({ id: "v1.x.y", step: 0, err: 6 }), 0);
  assert.equal(eventText(0, 12), "started (reset cause 12)");
  assert.match(eventText(3, 6), /^TCP: E6 {2}The server cannot be reached/);
  assert.equal(eventText(8, 0), "up");
});

test("an answer in lines: a name, its value, its words", () => {
  assert.equal(textOf({ err: 0 }), "done\n");
  assert.match(textOf({ err: 28 }), /^E28 {2}Too many false answers were given/);
  assert.equal(textOf({ step: 3, ms: 12 }), "3  TCP          12 ms\n");
  assert.equal(textOf({ ms: 12 }), "ms  12  milliseconds\n");
  assert.equal(textOf({ host: "x", port: 1 }), "host  x\nport  1\n");
  assert.match(
    textOf({ err: 9999, unheard: "of" }),
    /a code of which this version has no sentence\nunheard {2}of\n$/,
  );
  assert.deepEqual(answerRows({ lock: 0 }), [{ name: "lock", value: "0", words: "unlocked" }]);
});

test("words are completed, and cut ones are known", () => {
  assert.deepEqual(complete("st"), [["status"], "st"]);
  assert.deepEqual(complete("conf "), [["conf get", "conf set "], "conf "]);
  assert.ok(complete("")[0].length > Object.keys(COMMAND_TEXT).length - 2);
  assert.deepEqual(complete("xyz"), [[], "xyz"]);
  assert.equal(commandOf("st")?.word, "status");
  assert.equal(commandOf("sel")?.word, "selftest");
  assert.equal(commandOf("conf set ssid x")?.word, "conf set");
  assert.equal(commandOf("unlock s 5 0000")?.word, "unlock");
  for (const line of ["", "s", "format", "l"]) assert.equal(commandOf(line), undefined, line);
});
