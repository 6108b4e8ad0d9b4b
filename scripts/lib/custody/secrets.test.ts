// Passphrases: the rules for new ones, where they may come from, and that nothing of them is shown.
import assert from "node:assert/strict";
import { mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { passphraseFault, Secrets } from "./secrets";

const folder = mkdtempSync(join(tmpdir(), "secrets-"));
after(() => rmSync(folder, { recursive: true }));
const GOOD = "clip rust onyx eel mango tidy";

function file(name: string, text: string | Buffer, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  return path;
}

describe("R1 new passphrases", () => {
  const refused: Record<string, [string, RegExp]> = {
    empty: ["", /has 0 characters/],
    short: ["Tr0ub4dor&3", /has 11 characters/],
    "one under the least": ["abcdefkqmzxw,.-", /has 15 characters/],
    "digits only": ["31415926535897932384", /digits only/],
    "few characters": ["abababcababcabcabcab", /repeats a few/],
    "a part repeated": ["correct4correct4correct4", /repeats/],
    "the alphabet": ["abcdefghijklmnopqrstuvwxyz", /along the alphabet/],
    "the alphabet backwards": ["zyxwvutsrqponmlkjihgfedcba", /along the alphabet/],
    "a space at the end": [`${GOOD} `, /begins or ends with a space/],
    "a control character": [`${GOOD}\t${GOOD}x`, /control/],
    "no UTF-8": [Buffer.from([...Buffer.from(GOOD), 0xff]).toString(), /control/],
    endless: [`${GOOD}, `.repeat(40).trim(), /longer than 1024/],
  };
  for (const [name, [text, sentence]] of Object.entries(refused)) {
    test(`R1 refused: ${name}`, async () => {
      assert.match(passphraseFault(text) ?? "", sentence);
      if (text !== "") assert.ok(!(passphraseFault(text) ?? "").includes(text));
      if (text.length > 1024) return;
      const secrets = new Secrets({ "passphrase-file": [file("new", text)] }, ["one"]);
      await assert.rejects(secrets.fresh("one", "the master psk"), UsageError);
    });
  }

  test("taken: words, 16 characters, other alphabets", () => {
    for (const text of [GOOD, "q7#Lw!09vbN2x;Rk", "Füchse jagen über Ödland", "патриот семь жуков"])
      assert.equal(passphraseFault(text), undefined, text);
  });
});

describe("R25 where they come from", () => {
  const read = async (given: ConstructorParameters<typeof Secrets>[0], names = ["one"], pin = false) =>
    new Secrets(given, names).opening(
      names[0],
      "the thing",
      async (secret) => secret.toString(),
      pin ? "PIN" : "passphrase",
    );

  test("a file, its line end taken off; a file descriptor; by name", async () => {
    for (const end of ["", "\n", "\r\n"])
      assert.equal(await read({ "passphrase-file": [file("a", GOOD + end)] }), GOOD);
    assert.equal(await read({ "passphrase-fd": [String(openSync(file("b", `${GOOD}\n`), "r"))] }), GOOD);
    assert.equal(await read({ "passphrase-file": [`psk=${file("c", GOOD)}`] }, ["psk", "ota"]), GOOD);
  });

  test("one accent in one or two code points is one passphrase; a PIN stays as it is", async () => {
    const composed = "caf\u00e9".normalize("NFC");
    const apart = composed.normalize("NFD");
    assert.equal(await read({ "passphrase-file": [file("d", apart)] }), composed);
    assert.equal(await read({ "passphrase-file": [file("d", apart)] }, ["one"], true), apart);
  });

  const refused: Record<string, [() => Promise<string>, RegExp]> = {
    "a file that others can read": [
      () => read({ "passphrase-file": [file("open", GOOD, 0o644)] }),
      /can be read by others/,
    ],
    "two lines": [
      () => read({ "passphrase-file": [file("two", `${GOOD}\n${GOOD}\n`)] }),
      /more than one line/,
    ],
    "a file that is too long": [
      () => read({ "passphrase-file": [file("long", GOOD.repeat(99))] }),
      /too long for a passphrase/,
    ],
    "an empty file": [() => read({ "passphrase-file": [file("none", "\n")] }), /is empty/],
    "no file": [() => read({ "passphrase-file": [join(folder, "absent")] }), /there is no such file/],
    "a closed file descriptor": [() => read({ "passphrase-fd": ["999"] }), /it is not open/],
    "no terminal": [() => read({}), /there is no terminal to ask/],
  };
  for (const [name, [attempt, sentence]] of Object.entries(refused)) {
    test(`refused: ${name}`, {
      skip: name === "no terminal" && process.stdin.isTTY && "a terminal",
    }, async () => {
      await assert.rejects(attempt(), (error: Error) => {
        assert.ok(error instanceof UsageError && !error.message.includes(GOOD), error.stack);
        assert.match(error.message, sentence);
        return true;
      });
    });
  }

  test("refused without showing it: a passphrase where a name, number or file should stand", () => {
    const attempts = [
      () => new Secrets({ "passphrase-fd": [GOOD] }, ["one"]),
      () => new Secrets({ "passphrase-file": [GOOD] }, ["psk", "ota"]),
      () => new Secrets({ "passphrase-file": [`who=${GOOD}`] }, ["psk", "ota"]),
      () => new Secrets({ "passphrase-fd": ["psk=3", "ota=3"] }, ["psk", "ota"]),
      () => new Secrets({ "passphrase-file": ["psk=a"], "passphrase-fd": ["psk=3"] }, ["psk", "ota"]),
    ];
    for (const attempt of attempts)
      assert.throws(attempt, (error: Error) => error instanceof UsageError && !error.message.includes(GOOD));
  });
});
