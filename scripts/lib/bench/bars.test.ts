// The bench at a terminal, its parts: the scan field key by key, and that what others say is shown and not obeyed.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { note, ScanField } from "./bars";
import type { FixtureView } from "./interfaces";

const view = (more: Partial<FixtureView>): FixtureView => ({
  ...({
    fixture: 1,
    port: "/dev/ttyUSB0",
    state: "empty",
    operation: "provision",
    progress: 0,
    seconds: 0,
  } as const),
  ...more,
});

describe("the scan field", () => {
  const typed = (...chunks: string[]) => {
    const lines: string[] = [];
    const field = new ScanField((line) => lines.push(line));
    for (const chunk of chunks) field.take(chunk);
    return { lines, field };
  };

  test("CR, LF and CR LF end one line each, in one chunk or in several", () => {
    for (const end of ["\r", "\n", "\r\n"])
      assert.deepEqual(typed(`SN1${end}SN2${end}`).lines, ["SN1", "SN2"]);
    assert.deepEqual(typed("SN1\r", "\n", "SN2\r", "\n\r\n").lines, ["SN1", "SN2", ""]);
    assert.deepEqual(typed("SN1\r", "SN2\n").lines, ["SN1", "SN2"]);
  });

  test("a scrap asks for a second Enter; Escape leaves it, and what is typed meanwhile asks anew", () => {
    const line = "scrap SN1 fell down";
    assert.deepEqual(typed(`${line}\r`).lines, []);
    assert.match(typed(`${line}\r`).field.asks, /^SN1 for ever\? Enter scraps it/);
    assert.deepEqual(typed(`${line}\r\n`, "\r\n").lines, [line]);
    assert.deepEqual(typed(`${line}\r`, "\x1b", "\r").lines, [""]);
    assert.deepEqual(typed(`${line}\r`, "!", "\r").lines, []);
    assert.deepEqual(typed("scrap SN1\r").lines, ["scrap SN1"], "refused by whoever reads it");
  });

  test("backspace, Escape, arrows and control characters", () => {
    assert.deepEqual(typed("SN2\x7f1\r").lines, ["SN1"]);
    assert.deepEqual(typed("SN1", "\x1b", "SN2\r").lines, ["SN2"]);
    assert.deepEqual(typed("SN1", "\x1b[A", "\r").lines, ["SN1"]);
    assert.deepEqual(typed("S\x07N\u009b1\r").lines, ["SN1"]);
  });
});

test("R39 what a device says stands beside its bar as text", () => {
  assert.equal(
    note(
      view({
        state: "failed",
        serial: "SN1",
        step: "detect",
        failure: { code: "wrong-board", text: "a\x1b[2Jb\u009b" },
      }),
    ),
    "SN1 FAILED at detect: a\\u001b[2Jb\\u009b",
  );
  assert.equal(note(view({ serial: "SN1", step: "flash" })), "SN1 flash: plug it in again");
});
