// What the system, SQLite and JSON say, in the words of every command: no code, no call, nothing of what stands in the file.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DatabaseSync } from "@photostructure/sqlite";
import { takeLock } from "../files/lock";
import { openLedger } from "../ledger/ledger";
import { readBoard } from "../project";
import { startFarm } from "../simulate/farm";
import { connectFault } from "./connect_fault";
import { fileFault } from "./fault";

const folder = mkdtempSync(join(tmpdir(), "fault-"));
after(() => rmSync(folder, { recursive: true }));
const text = join(folder, "text");
writeFileSync(text, '{"psk":"00112233445566778899aabbccddeeff"');

const RAW = /\bE[A-Z]{3,}\b|SQLITE|errno|syscall|'|00112233/;

function fault(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return fileFault(error);
  }
  throw new Error("it did not fail");
}

const CASES: Record<string, [work: () => unknown, sentence: string]> = {
  "no file": [() => readFileSync(join(folder, "absent")), "there is no such file or folder"],
  "a folder": [() => readFileSync(folder), "it is a folder"],
  "below a file": [() => mkdirSync(join(text, "x")), "part of its path is a file"],
  "a folder that is not empty, which no table names": [() => rmdirSync(folder), "directory not empty"],
  "no JSON": [() => JSON.parse(readFileSync(text, "utf8")), "it is no JSON"],
  "a database that is a folder": [
    () => new DatabaseSync(folder),
    "it cannot be opened: no such folder, or it is not permitted",
  ],
  "a database that is text": [
    () => new DatabaseSync(text).exec("SELECT * FROM sqlite_schema"),
    "it is no SQLite file",
  ],
};

for (const [name, [work, sentence]] of Object.entries(CASES))
  test(name, () => {
    const said = fault(work);
    assert.equal(said, sentence);
    assert.doesNotMatch(said, RAW);
  });

test("a ledger, a lock and a farm that cannot be: one sentence each", async () => {
  const board = (await readBoard("esp32-sim")) as never;
  const below = join(text, "x");
  const attempts: [work: () => unknown, sentence: RegExp][] = [
    [() => openLedger(text, "read"), /cannot be opened as a ledger: it is no SQLite file\.$/],
    [() => openLedger(below, "create"), /cannot be opened as a ledger: it cannot be opened: no such folder/],
    [() => takeLock(below, "held"), /cannot lock .*: it cannot be opened: no such folder/],
    [
      () => startFarm({ board, count: 1, folder: below }),
      /cannot make the folder .*: part of its path is a file\.$/,
    ],
  ];
  for (const [work, sentence] of attempts)
    await assert.rejects(
      async () => work(),
      (error: Error) => {
        assert.equal(error.name, "UsageError");
        assert.match(error.message, sentence);
        assert.doesNotMatch(error.message, RAW);
        return true;
      },
    );
});

test("a connection that does not come about", async () => {
  const said = await new Promise<string>((resolve) =>
    connect(1, "127.0.0.1").on("error", (error) => resolve(connectFault(error))),
  );
  assert.equal(said, "nothing listens there");
});
