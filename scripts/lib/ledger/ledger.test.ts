// The ledger in its file: what it takes and refuses, that no byte of an entry can be changed unseen, that many
// processes and a killed one leave it whole, and that a bench offline comes back.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DatabaseSync } from "@photostructure/sqlite";
import type { LedgerEntry } from "../bench/interfaces";
import { PROJECT } from "../bundle/build";
import { DeviceError, UsageError } from "../cli/exit";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyCheckValue } from "../keys/kdf";
import { serialsOf } from "../keys/serials";
import { randomKey } from "../keys/weak_keys";
import { LOADER, modulePath } from "../test/program";
import { openDatabase } from "./database";
import { COLUMN_NAMES, COLUMNS, type Row, rowHash } from "./entry";
import { openLedger } from "./ledger";
import { countReport, reportTable } from "./report";
import { parseAnchor, verifyLedger } from "./verify";

const folder = mkdtempSync(join(tmpdir(), "ledger-"));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
const newFile = () => join(folder, `${++files}.sqlite`);

const BASE = {
  who: "Ann",
  station: "B1",
  fixture: 1,
  product: "meter",
  chip: "c0ffee",
  operation: "provision",
  imageDigest: "5a".repeat(32),
  keyVersion: 1,
  checkValue: "0A1B2C".repeat(4),
  seconds: 12.5,
} as const;
const begin = (serial: string, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  ...BASE,
  type: "begin",
  result: "begun",
  serial,
  ...more,
});
const unit = (serial: string, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  ...BASE,
  type: "unit",
  result: "pass",
  serial,
  steps: { detect: 0.5, flash: 9.25 },
  ...more,
});
const failed = { result: "fail", step: "prove", failure: "proof-wrong" } as const;
const scrap = (serial: string, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  ...BASE,
  type: "scrap",
  operation: "scrap",
  result: "scrapped",
  serial,
  chip: "",
  fixture: 0,
  imageDigest: "",
  keyVersion: 0,
  checkValue: "",
  seconds: 0,
  reason: "Fell off the table",
  ...more,
});

setFlagsFromString("--expose-gc");
/** The package keeps a closed file open until its statements are collected, which takes a turn of the event loop. */
async function letFilesGo(): Promise<void> {
  runInNewContext("gc")();
  await setImmediate();
}

/** A closed ledger of six entries. */
function sample(): { path: string; head: { sequence: number; hash: string } } {
  const path = newFile();
  const ledger = openLedger(path);
  ledger.append(begin("SN0000001"));
  ledger.append(unit("SN0000001"));
  ledger.append(begin("SN0000002", { checkValue: "0A1B2D".repeat(4) }));
  ledger.append(unit("SN0000002", { ...failed, checkValue: "0A1B2D".repeat(4) }));
  ledger.append(scrap("SN0000002"));
  ledger.append(begin("SN0000003", { checkValue: "" }));
  const head = ledger.head();
  ledger.close();
  return { path, head };
}

/** All entries as another program would read them. */
function contents(path: string): Row[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database.prepare("SELECT * FROM entries NOT INDEXED ORDER BY sequence").all() as unknown as Row[];
  } finally {
    database.close();
  }
}

/** Change a ledger as somebody would who knows SQLite: without the triggers, which are put back after. */
function forge(path: string, change: (database: InstanceType<typeof DatabaseSync>) => void): void {
  const database = new DatabaseSync(path);
  const triggers = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all() as {
    name: string;
    sql: string;
  }[];
  for (const { name } of triggers) database.exec(`DROP TRIGGER ${name}`);
  change(database);
  for (const { sql } of triggers) database.exec(sql);
  database.close();
}

/** Bytes from one to the next that is tried in free space. */
const FREE_STEP = 16;

describe("the chain", () => {
  test("an untouched ledger verifies, with its anchors, and is opened again", () => {
    const { path, head } = sample();
    assert.deepEqual(verifyLedger(path, [head]), { entries: 6, head: { ...head }, faults: [] });
    const ledger = openLedger(path, "write");
    ledger.append(unit("SN0000003"));
    ledger.close();
    const verification = verifyLedger(path, [head]);
    assert.deepEqual([verification.entries, verification.faults], [7, []]);
  });

  test("the hash is SHA-256 over the JSON array of the columns: known answer", () => {
    const previous = "0".repeat(64);
    const row: Omit<Row, "hash"> = {
      sequence: 1,
      time: "2026-11-22T20:00:00.000Z",
      type: "unit",
      who: "Zoë",
      station: "B1",
      fixture: 1,
      serial: "SN0000001",
      lastSerial: "",
      reservedFor: "",
      product: "meter",
      chip: "c0ffee",
      operation: "provision",
      imageDigest: "",
      keyVersion: 1,
      checkValue: "0A1B2C",
      result: "pass",
      step: "",
      failure: "",
      reason: "",
      seconds: 12.5,
      steps: '{"detect":0.5}',
      origin: "",
      previous,
    };
    // printf %s '[1,"2026-11-22T20:00:00.000Z","unit","Zoë",...,12.5,"{\"detect\":0.5}","","000..."]' | sha256sum
    assert.equal(rowHash(row), "a594261935516e56972a45f34f47342cf5f46d57963d2e1eec0028bdb7e831e5");
  });

  test("the triggers refuse UPDATE, DELETE, REPLACE and an entry out of its turn", () => {
    const { path } = sample();
    const database = new DatabaseSync(path);
    const names = COLUMN_NAMES.join(", ");
    const copy = (sequence: string, previous: string) =>
      `(${names}) SELECT ${COLUMN_NAMES.map((name) => ({ sequence, previous })[name as string] ?? name).join(", ")} FROM entries WHERE sequence = 6`;
    const refused: [string, RegExp][] = [
      ["UPDATE entries SET who = 'Bob' WHERE sequence = 2", /stands for ever/],
      ["DELETE FROM entries WHERE sequence = 6", /stands for ever/],
      ["DELETE FROM entries", /stands for ever/],
      [`INSERT OR REPLACE INTO entries ${copy("6", "previous")}`, /comes after the last/],
      [`INSERT INTO entries ${copy("8", "hash")}`, /comes after the last/],
      [`INSERT INTO entries ${copy("7", "previous")}`, /comes after the last/],
    ];
    for (const [statement, reason] of refused)
      assert.throws(() => database.exec(statement), reason, statement);
    database.exec(`INSERT INTO entries ${copy("7", "hash")}`); // in its turn, but with another's hash
    database.close();
    assert.deepEqual(verifyLedger(path).faults, ["entry 7 was changed"]);
  });

  test("each field of every row changed is found, and which row it was", () => {
    const { path } = sample();
    for (const row of contents(path)) {
      for (const name of COLUMN_NAMES) {
        const changed = newFile();
        copyFileSync(path, changed);
        forge(changed, (database) => {
          const value = COLUMNS[name].type === "TEXT" ? `${name} || '1'` : `${name} + 100`;
          database.exec(`UPDATE entries SET ${name} = ${value} WHERE sequence = ${row.sequence}`);
        });
        const { faults } = verifyLedger(changed);
        assert.ok(faults.length > 0, `${name} of entry ${row.sequence}`);
        assert.match(faults[0], new RegExp(`\\b(${row.sequence}|${row.sequence + 100})\\b`), name);
        rmSync(changed);
      }
    }
  });

  test("every byte of the file flipped is found, or is a byte that holds nothing of an entry", async () => {
    const { path, head } = sample();
    const good = readFileSync(path);
    const before = contents(path);
    const flipped = newFile();
    let found = 0;
    const nothing = Buffer.alloc(2 * FREE_STEP);
    for (let offset = 0, tries = 0; offset < good.length; offset++) {
      // in the midst of free space, zeros, each is like the next
      const around = good.subarray(Math.max(0, offset - FREE_STEP), offset + FREE_STEP);
      if (offset % FREE_STEP && around.equals(nothing)) continue;
      const bytes = Buffer.from(good);
      bytes[offset] ^= 0xff;
      writeFileSync(flipped, bytes);
      if (tries++ % 128 === 0) await letFilesGo();
      if (verifyLedger(flipped, [head]).faults.length) found++;
      else assert.deepEqual(contents(flipped), before, `byte ${offset}`);
    }
    const held = before.map((row) => JSON.stringify(Object.values(row)).length).reduce((a, b) => a + b);
    assert.ok(found > held, `${found} of ${good.length} bytes found, ${held} hold entries`);
  });

  test("entries removed, reordered, inserted or cut off are found", () => {
    const { path, head } = sample();
    const swap =
      "UPDATE entries SET sequence = 99 WHERE sequence = 2; UPDATE entries SET sequence = 2 WHERE sequence = 3; UPDATE entries SET sequence = 3 WHERE sequence = 99";
    const forgeries: [string, RegExp][] = [
      ["DELETE FROM entries WHERE sequence = 1", /entry 1 is missing/],
      ["DELETE FROM entries WHERE sequence = 4", /entry 4 is missing: after 3 comes 5/],
      [
        "DELETE FROM entries WHERE sequence = 4; UPDATE entries SET sequence = sequence - 1 WHERE sequence > 4",
        /entry 4 does not follow/,
      ],
      [swap, /entry 2 does not follow/],
      [
        "DELETE FROM entries WHERE sequence = 6",
        /entries are missing at the end: 5 are there, 6 were anchored/,
      ],
      ["DELETE FROM entries", /entries are missing at the end: 0 are there, 6 were anchored/],
    ];
    for (const [statement, reason] of forgeries) {
      const changed = newFile();
      copyFileSync(path, changed);
      forge(changed, (database) => database.exec(statement));
      assert.match(verifyLedger(changed, [head]).faults[0] ?? "", reason, statement);
    }
  });

  test("a ledger written anew from its third entry on is found by an anchor alone", () => {
    const { path, head } = sample();
    forge(path, (database) => {
      let previous = "";
      for (const row of contents(path)) {
        const changed = {
          ...row,
          who: row.sequence === 3 ? "Eve" : row.who,
          previous: previous || row.previous,
        };
        previous = rowHash(changed);
        database
          .prepare("UPDATE entries SET who = ?, previous = ?, hash = ? WHERE sequence = ?")
          .run(changed.who, changed.previous, previous, row.sequence);
      }
    });
    assert.deepEqual(verifyLedger(path).faults, []);
    assert.deepEqual(verifyLedger(path, [head]).faults, [
      "entry 6 is another than the one that was anchored",
    ]);
  });

  test("a file cut short at any page, a dropped trigger and a strange file are found", () => {
    const { path, head } = sample();
    const length = readFileSync(path).length;
    for (let bytes = 0; bytes < length; bytes += 512) {
      const cut = newFile();
      copyFileSync(path, cut);
      truncateSync(cut, bytes);
      assert.ok(verifyLedger(cut, [head]).faults.length, `${bytes} bytes`);
    }
    const database = new DatabaseSync(path);
    database.exec("DROP TRIGGER no_update");
    database.close();
    assert.match(verifyLedger(path).faults[0], /tables or triggers are others/);
    assert.throws(() => openLedger(path), UsageError);
    const strange = newFile();
    writeFileSync(strange, "no ledger at all, ".repeat(100));
    assert.throws(() => openLedger(strange), UsageError);
    assert.throws(() => openLedger(folder), UsageError);
    assert.throws(() => openLedger(join(folder, "none.sqlite"), "write"), /there is no ledger/);
    assert.throws(() => openLedger(join(folder, "none", "x.sqlite")), UsageError);
    assert.throws(() => verifyLedger(join(folder, "none.sqlite")), UsageError);
  });

  test("what is no anchor is refused", () => {
    for (const text of ["", "7", "7:", `7:${"0".repeat(63)}`, `-1:${"0".repeat(64)}`, `7:${"G".repeat(64)}`])
      assert.throws(() => parseAnchor(text), UsageError, text);
  });
});

describe("what may be entered", () => {
  const refusals: [string, (LedgerEntry | [LedgerEntry])[], RegExp][] = [
    ["a unit that was never begun", [[unit("SN1")]], /never begun/],
    ["R3 a second chip under one serial", [begin("SN1"), [begin("SN1", { chip: "beef" })]], /c0ffee/],
    [
      "the same for a unit that has passed",
      [begin("SN1"), unit("SN1"), [begin("SN1", { chip: "beef", operation: "rework" })]],
      /belongs to another unit/,
    ],
    ["a scrapped serial", [scrap("SN1"), [begin("SN1")]], /scrapped, for ever/],
    ["a pass of a scrapped serial", [begin("SN1"), scrap("SN1"), [unit("SN1")]], /scrapped, for ever/],
    ["a second scrap", [scrap("SN1"), [scrap("SN1")]], /scrapped, for ever/],
    [
      "a pass of another chip than began",
      [begin("SN1"), [unit("SN1", { chip: "beef" })], unit("SN1", { chip: "" })],
      /belongs to another unit/,
    ],
    [
      "a key version that goes back",
      [begin("SN1", { keyVersion: 2 }), unit("SN1", { keyVersion: 2 }), [begin("SN1")]],
      /key version 2 already/,
    ],
    [
      "another key under the same version",
      [begin("SN1"), unit("SN1"), [begin("SN1", { checkValue: "F".repeat(24) })]],
      /another master/,
    ],
  ];
  for (const [name, entries, reason] of refusals) {
    test(`${name} is refused, and nothing is written`, () => {
      const path = newFile();
      const ledger = openLedger(path);
      for (const entry of entries) {
        if (!Array.isArray(entry)) ledger.append(entry);
        else
          assert.throws(
            () => ledger.append(entry[0]),
            (error) => error instanceof UsageError && reason.test(error.message),
          );
      }
      assert.equal(ledger.head().sequence, entries.length - 1);
      ledger.close();
      assert.deepEqual(verifyLedger(path).faults, []);
    });
  }

  test("a cut unit goes on, a passed one is reworked and gets a new key, a failure of a scrapped one is noted", () => {
    const ledger = openLedger(newFile());
    ledger.append(begin("SN1"));
    assert.deepEqual(ledger.unit("meter", "SN1"), {
      ...{ serial: "SN1", product: "meter", chip: "c0ffee", keyVersion: 1, checkValue: BASE.checkValue },
      ...{ state: "begun", imageDigest: BASE.imageDigest },
    });
    ledger.append(begin("SN1"));
    ledger.append(unit("SN1", failed));
    assert.equal(ledger.unit("meter", "SN1")?.state, "begun");
    ledger.append(unit("SN1"));
    ledger.append(begin("SN1", { operation: "rework" }));
    ledger.append(unit("SN1", { operation: "rework" }));
    ledger.append(begin("SN1", { operation: "rekey", keyVersion: 2, checkValue: "aabbcc".repeat(4) }));
    ledger.append(unit("SN1", { operation: "rekey", keyVersion: 2, checkValue: "aabbcc".repeat(4) }));
    assert.deepEqual(ledger.unit("meter", "SN1"), {
      ...{ serial: "SN1", product: "meter", chip: "c0ffee", keyVersion: 2, checkValue: "AABBCC".repeat(4) },
      ...{ state: "passed", imageDigest: BASE.imageDigest },
    });
    assert.equal(ledger.serialWithCheckValue("meter", "aabbcc".repeat(4), 2), "SN1");
    assert.equal(ledger.serialWithCheckValue("meter", "aabbcc".repeat(4), 2, "SN1"), undefined);
    assert.equal(ledger.serialWithCheckValue("other", "aabbcc".repeat(4), 2), undefined);
    ledger.append(scrap("SN1"));
    ledger.append(unit("SN1", failed));
    assert.equal(ledger.unit("meter", "SN1")?.state, "scrapped");
    assert.equal(ledger.unit("other", "SN1"), undefined);
    ledger.close();
  });

  test("a failure before the serial is bound to a chip is noted, and another board may have the serial", () => {
    const ledger = openLedger(newFile());
    ledger.append(
      unit("SN1", { ...failed, step: "flash", failure: "flash-failed", chip: "", checkValue: "" }),
    );
    assert.equal(ledger.unit("meter", "SN1"), undefined);
    assert.deepEqual(ledger.today("B1"), { passed: 0, failed: 1 });
    ledger.append(begin("SN1", { chip: "beef" }));
    ledger.append(unit("SN1", { chip: "beef" }));
    assert.equal(ledger.unit("meter", "SN1")?.chip, "beef");
    assert.deepEqual(ledger.today("B1"), { passed: 1, failed: 0 });
    assert.deepEqual(ledger.today("B2"), { passed: 0, failed: 0 });
    ledger.close();
  });

  const forms: Partial<LedgerEntry>[] = [
    { who: "" },
    { who: "=cmd" },
    { who: "x".repeat(32) },
    { station: "B\n1" },
    { serial: "" },
    { serial: "-SN1" },
    { serial: "SN 1" },
    { serial: "SN1\0" },
    { serial: "SÑ1" },
    { serial: "S".repeat(32) },
    { product: "" },
    { product: "a.b" },
    { product: "a/b" },
    { product: "+a" },
    { chip: "a b" },
    { chip: "a".repeat(32) },
    { imageDigest: "5a" },
    { imageDigest: "5A".repeat(32) },
    { checkValue: "0A1B2C" },
    { checkValue: "G".repeat(24) },
    { keyVersion: -1 },
    { keyVersion: 1.5 },
    { keyVersion: Number.NaN },
    { fixture: 65_536 },
    { seconds: -1 },
    { seconds: Number.NaN },
    { seconds: Number.POSITIVE_INFINITY },
    { steps: { flash: -1 } },
    { type: "update" as "unit" },
    { result: "passed" as "pass" },
    { step: "burn" as "flash" },
    { failure: "because" as "ledger" },
    { operation: "x" as "rework" },
    { reason: "two\nlines" },
    { reason: "x".repeat(161) },
  ];
  test("R12 what has not its column's form is refused with a sentence", () => {
    const ledger = openLedger(newFile());
    for (const fault of forms)
      assert.throws(
        () => ledger.append(begin("SN1", fault)),
        (error) => error instanceof UsageError && /\.$/.test(error.message),
        JSON.stringify(fault),
      );
    assert.equal(ledger.head().sequence, 0);
    ledger.close();
  });

  test("a disk that takes nothing more is a sentence, and what was there stays", () => {
    const { path, head } = sample();
    const ledger = openLedger(path, "read");
    assert.throws(() => ledger.append(unit("SN0000003")), DeviceError);
    assert.deepEqual({ ...ledger.head() }, { ...head });
    ledger.close();
  });
});

test("R25 no key can be brought into the ledger, and none is in its file", () => {
  const path = newFile();
  const ledger = openLedger(path);
  const keys: Buffer[] = [];
  const master = randomKey();
  for (let i = 1; i <= 20; i++) {
    const serial = `SN${i}`;
    const key = deriveDeviceKey(master, parseIdentity(`v1.meter.${serial}`));
    keys.push(key);
    const checkValue = keyCheckValue(key).repeat(4);
    ledger.append(begin(serial, { checkValue }));
    ledger.append(unit(serial, { checkValue }));
    const spellings = [
      key.toString("hex"),
      key.toString("hex").toUpperCase(),
      key.toString("base64"),
      key.toString("hex").replace(/..(?=.)/g, "$& "),
      key.toString("hex").replace(/..(?=.)/g, "$&:"),
      [...key].map((byte) => `0x${byte.toString(16).padStart(2, "0")}`).join(","),
    ];
    for (const spelling of spellings) {
      for (const field of [
        "who",
        "station",
        "serial",
        "product",
        "chip",
        "checkValue",
        "imageDigest",
        "reason",
      ])
        assert.throws(
          () => ledger.append(scrap("SNX", { [field]: spelling })),
          (error) => error instanceof UsageError && !error.message.includes(spelling),
          field,
        );
      assert.throws(
        () => ledger.append(scrap("SNX", { reason: `Key ${spelling} known` })),
        UsageError,
        spelling,
      );
    }
  }
  ledger.close();
  const file = readFileSync(path);
  const text = file.toString("latin1").toLowerCase();
  for (const key of [...keys, master]) {
    assert.ok(!file.includes(key));
    assert.ok(!text.includes(key.toString("hex")));
    assert.ok(!text.includes(key.toString("base64").slice(0, 21).toLowerCase()));
  }
  assert.ok(text.includes(keyCheckValue(keys[19]).toLowerCase()));
  assert.ok(!existsSync(`${path}-journal`) && !existsSync(`${path}-wal`));
});

/** A process that begins serials of its own, and says each after append() has returned. */
const WRITER = `
  const { openLedger } = await import(${JSON.stringify(modulePath("scripts/lib/ledger/ledger.ts"))});
  const [path, name, count] = process.argv.slice(1);
  const ledger = openLedger(path);
  const entry = ${JSON.stringify(begin(""))};
  for (let i = 1; i <= Number(count); i++) {
    ledger.append({ ...entry, station: name, serial: name + "-" + i });
    process.stdout.write(name + "-" + i + "\\n");
  }
`;
function startWriter(path: string, name: string, count: number) {
  return spawn(
    process.execPath,
    [...LOADER, "--input-type=module", "-e", WRITER, path, name, String(count)],
    { cwd: PROJECT, stdio: ["ignore", "pipe", "inherit"] },
  );
}

test("four processes that write at once make one chain without a gap, in a file that none of them found", async () => {
  const path = newFile();
  const writers = ["P1", "P2", "P3", "P4"].map((name) => startWriter(path, name, 25));
  for (const writer of writers) writer.stdout.resume();
  const codes = await Promise.all(writers.map((writer) => once(writer, "exit")));
  assert.deepEqual(
    codes.map(([code]) => code),
    [0, 0, 0, 0],
  );
  const verification = verifyLedger(path);
  assert.deepEqual([verification.entries, verification.faults], [100, []]);
});

test("R23 a process killed at any moment loses no entry that it said was written", async () => {
  const path = newFile();
  for (let round = 1; round <= 8; round++) {
    const writer = startWriter(path, `K${round}`, 100_000);
    let said = "";
    writer.stdout.on("data", (chunk) => (said += chunk));
    await once(writer.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, 5 + 7 * round));
    writer.kill("SIGKILL");
    await once(writer, "close");
    const ledger = openLedger(path, "write"); // rolls a torn entry back
    const complete = said.split("\n").slice(0, -1);
    assert.ok(complete.length > 0);
    for (const serial of complete) assert.equal(ledger.unit("meter", serial)?.state, "begun", serial);
    ledger.close();
    assert.deepEqual(verifyLedger(path).faults, []);
  }
});

test("R23 a torn entry in the file is rolled back from the journal, also by a reader", () => {
  const { path, head } = sample();
  const crash = spawnSync(
    process.execPath,
    [
      "-e",
      `const { DatabaseSync } = require("@photostructure/sqlite");
      const database = new DatabaseSync(process.argv[1]);
      // A cache of one page sends the changed pages to the file before the commit.
      database.exec("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; DROP TRIGGER only_next; DROP TRIGGER no_update; BEGIN IMMEDIATE");
      database.exec("UPDATE entries SET reason = printf('%2000c', 'x')");
      process.kill(process.pid, "SIGKILL");`,
      path,
    ],
    { cwd: PROJECT },
  );
  assert.equal(crash.signal, "SIGKILL");
  assert.ok(existsSync(`${path}-journal`));
  // The triggers were dropped and that was committed; the torn change of the entries is gone.
  assert.match(verifyLedger(path, [head]).faults[0], /triggers/);
  assert.ok(!existsSync(`${path}-journal`));
  assert.ok(contents(path).every((row) => row.hash === rowHash(row)));
});

describe("what a bench asks at each unit", () => {
  const serials = { first: "SN0001", last: "SN0009" };

  test("the free serials of a range: not begun, not scrapped, not another's; a failure alone takes none", () => {
    const path = newFile();
    const ledger = openLedger(path);
    const free = (product = "meter") => [...ledger.freeSerials(product, "B1", serials)].join(" ");
    assert.equal(free().split(" ").length, 9);
    ledger.append(begin("SN0001"));
    ledger.append(begin("SN0003"));
    ledger.append(unit("SN0003"));
    ledger.append(scrap("SN0004"));
    ledger.append(unit("SN0005", failed));
    ledger.append(begin("SN00019"));
    const reserved = { product: "meter", who: "Ann", station: "HQ" };
    ledger.reserve({ ...reserved, first: "SN0007", last: "SN0008", reservedFor: "B9" });
    ledger.reserve({ ...reserved, first: "SN0009", last: "SN0009", reservedFor: "B1" });
    assert.equal(free(), "SN0002 SN0005 SN0006 SN0009");
    assert.equal(free("other").split(" ").length, 9);
    // another process of the same file
    const other = openLedger(path, "write");
    other.append(begin("SN0002"));
    other.close();
    assert.equal(free(), "SN0005 SN0006 SN0009");
    ledger.close();
  });

  test("the serials in use are kept as runs, counted once, whatever order they come in", () => {
    const path = newFile();
    const ledger = openLedger(path);
    const range = { first: "SN0000", last: "SN0019" };
    const all = [...serialsOf(range)];
    const free = () => [...ledger.freeSerials("meter", "B1", range)];
    const database = openDatabase(path, "read");
    const runs = () =>
      database.prepare("SELECT first, last FROM used_runs WHERE digits = 4 ORDER BY first").all();
    const used = new Set<string>();
    for (const number of [3, 5, 4, 0, 19, 18, 1, 2, 9, 7, 8, 6, 12, 11, 13, 10, 17, 15, 16, 14]) {
      used.add(all[number]);
      ledger.append(number % 3 ? begin(all[number]) : scrap(all[number]));
      if (number % 5) continue; // what has come since is counted in one go
      assert.deepEqual(
        free(),
        all.filter((serial) => !used.has(serial)),
      );
    }
    assert.deepEqual(free(), []);
    assert.equal(JSON.stringify(runs()), '[{"first":0,"last":19}]');
    // serials that are no numbers, and longer ones, are none of these
    ledger.append(begin("SN00001"));
    ledger.append(begin("SPARE"));
    assert.deepEqual(free(), []);
    assert.deepEqual([...ledger.freeSerials("meter", "B1", { first: "SPARE", last: "SPARE" })], []);
    assert.deepEqual([...ledger.freeSerials("meter", "B1", { first: "SPARES", last: "SPARES" })], ["SPARES"]);
    database.close();
    assert.deepEqual(verifyLedger(path).faults, []);
    // made by a program that had no runs, or without them
    const raw = new DatabaseSync(path);
    raw.exec("DROP TABLE used_runs; DROP TABLE used_until");
    raw.close();
    assert.deepEqual(free(), []);
    ledger.close();
  });

  test("today's numbers follow what this process and others write, unit by unit, station by station", () => {
    const path = newFile();
    const ledger = openLedger(path);
    const other = openLedger(path, "write");
    assert.deepEqual(ledger.today("B1"), { passed: 0, failed: 0 });
    for (const serial of ["SN1", "SN2", "SN3"]) ledger.append(begin(serial));
    ledger.append(unit("SN1"));
    ledger.append(unit("SN2", failed));
    assert.deepEqual(ledger.today("B1"), { passed: 1, failed: 1 });
    other.append(unit("SN2"));
    other.append(unit("SN3", { station: "B2" }));
    assert.deepEqual(ledger.today("B1"), { passed: 2, failed: 0 });
    other.append(unit("SN1", failed));
    assert.deepEqual(ledger.today("B1"), { passed: 1, failed: 1 });
    assert.deepEqual(ledger.today("B2"), { passed: 1, failed: 0 });
    assert.deepEqual(ledger.today("B1"), openLedger(path, "read").today("B1"));
    other.close();
    ledger.close();
  });
});

describe("a bench offline", () => {
  const who = { who: "Ann", station: "HQ" };
  const range = { product: "meter", first: "SN0100", last: "SN0199", reservedFor: "B9", ...who };
  const atB9 = { station: "B9" } as const;

  test("has its range to itself, works in a ledger of its own, and is merged, as often as one likes", () => {
    const [mainPath, offlinePath] = [newFile(), newFile()];
    const main = openLedger(mainPath);
    main.reserve(range, offlinePath);
    const second = newFile();
    assert.throws(() => main.reserve(range, second), /reserved for B9 already/);
    assert.ok(!existsSync(second));
    assert.equal(main.head().sequence, 1);
    assert.equal(main.reservedFor("meter", "SN0100"), "B9, which is offline");
    assert.equal(main.reservedFor("meter", "SN0199"), "B9, which is offline");
    assert.throws(() => main.append(begin("SN0150", atB9)), /reserved for B9, which is offline/);
    for (const [product, serial] of [
      ["meter", "SN0099"],
      ["meter", "SN0200"],
      ["meter", "SN01500"],
      ["meter", "SM0150"],
      ["other", "SN0150"],
    ])
      assert.equal(main.reservedFor(product, serial), undefined, serial);
    assert.throws(() => main.append(begin("SN0150")), /reserved for B9/);

    const offline = openLedger(offlinePath, "write");
    assert.equal(offline.reservedFor("meter", "SN0100"), "B9");
    assert.ok(offline.isOffline() && !main.isOffline());
    assert.throws(() => offline.append(begin("SN0200", atB9)), /not reserved for B9/);
    assert.throws(() => offline.append(begin("SN0100")), /reserved for B9/);
    assert.throws(() => offline.append(scrap("SN0200", atB9)), /not reserved/);
    assert.throws(() => offline.reserve({ ...range, first: "SN0300", last: "SN0301" }), /can give none/);
    for (const serial of ["SN0100", "SN0101"]) {
      offline.append(begin(serial, atB9));
      offline.append(unit(serial, atB9));
    }
    main.append(begin("SN0001"));
    assert.deepEqual(main.merge(offlinePath), { added: 4, known: 0 });
    assert.deepEqual(main.merge(offlinePath), { added: 0, known: 4 });
    offline.append(begin("SN0102", atB9));
    offline.append(scrap("SN0102", atB9));
    assert.deepEqual(main.merge(offlinePath), { added: 2, known: 4 });
    assert.equal(main.unit("meter", "SN0101")?.state, "passed");
    assert.equal(main.unit("meter", "SN0102")?.state, "scrapped");
    const [mine, theirs] = [contents(mainPath), contents(offlinePath)].map((rows) =>
      rows.filter((row) => row.serial === "SN0101"),
    );
    assert.deepEqual(
      mine.map((row) => [row.time, row.station, row.origin]),
      theirs.map((row) => [row.time, row.station, row.hash]),
    );

    // A second range for the same bench, and no more than it.
    main.reserve({ ...range, first: "SN0500", last: "SN0509" }, offlinePath);
    offline.append(begin("SN0509", atB9));
    assert.deepEqual(main.merge(offlinePath), { added: 1, known: 6 });
    offline.close();
    main.close();
    for (const path of [mainPath, offlinePath]) assert.deepEqual(verifyLedger(path).faults, []);
  });

  test("a range that meets another, or used serials, is not given", () => {
    const main = openLedger(newFile());
    main.append(begin("SN0050"));
    main.reserve(range);
    const refused = [
      ["SN0199", "SN0250"],
      ["SN0000", "SN0100"],
      ["SN0120", "SN0130"],
      ["SN0000", "SN0999"],
      ["SN0040", "SN0060"],
      ["SN0300", "SN0200"],
      ["SN0300", "SM0400"],
      ["SN0300", "SN00400"],
      ["SN", "SN"],
      ["SN00000000", "SN99999999"],
      ["SN 1", "SN 2"],
    ];
    for (const [first, last] of refused)
      assert.throws(() => main.reserve({ ...range, first, last }), UsageError, `${first}..${last}`);
    assert.equal(main.head().sequence, 2);
    main.reserve({ ...range, product: "other" });
    main.reserve({ ...range, first: "SN0200", last: "SN0200" });
    // A range without a ledger of its own is that station's in this one.
    assert.equal(main.reservedFor("meter", "SN0200"), "B9");
    main.append(begin("SN0200", atB9));
    main.close();
  });

  /** The ledger of an offline bench whose last entry somebody wrote who knows how a hash is made. */
  function forgedOffline(main: ReturnType<typeof openLedger>, change: Partial<Row>): string {
    const path = newFile();
    main.reserve(range, path);
    const offline = openLedger(path, "write");
    offline.append(begin("SN0100", atB9));
    offline.append(unit("SN0100", atB9));
    offline.close();
    forge(path, (database) => {
      const row = { ...contents(path)[2], ...change };
      const names = COLUMN_NAMES.filter((name) => name !== "sequence");
      database
        .prepare(`UPDATE entries SET ${names.map((name) => `${name} = ?`).join(", ")} WHERE sequence = 3`)
        .run(...names.map((name) => ({ ...row, hash: rowHash(row) })[name]));
    });
    for (const fault of verifyLedger(path).faults)
      assert.match(fault, /^entry 3: the /, "the chain is whole");
    return path;
  }

  const key = "3c8f0e55a1b2946d7e10c3f8b4a5d6e7";
  const forgeries: Record<string, [Partial<Row>, RegExp]> = {
    "a formula for the spreadsheet": [{ who: "=1+1" }, /the who "=1\+1" is not/],
    "an escape sequence": [{ chip: "c\x1b[2J" }, /the chip "c\\u001b\[2J" is not/],
    "a control character of C1": [{ reason: "A\u009b2J" }, /the reason .* is not/],
    "R25 a key": [{ reason: `Key ${key}` }, /could be a key/],
    "a pass that never began": [{ serial: "SN0101" }, /SN0101 was never begun/],
    "a pass on another chip": [{ chip: "decade" }, /belongs to another unit/],
    "a key version that goes back": [{ keyVersion: 0 }, /key version 1 already/],
    "steps that are no JSON": [{ steps: "{x}" }, /the steps is written as no ledger writes it/],
    "a step that is none": [{ steps: '{"polish":1}' }, /the steps is written/],
    "a time that is none": [{ time: "yesterday" }, /the time "yesterday" is none/],
    "a range of its own": [
      { type: "reserve", operation: "reserve", result: "reserved", lastSerial: "SN0900", reservedFor: "B9" },
      /no ledger of an offline bench/,
    ],
  };
  for (const [name, [change, sentence]] of Object.entries(forgeries))
    test(`R39 a forged offline ledger is not merged: ${name}`, () => {
      const main = openLedger(newFile());
      const path = forgedOffline(main, change);
      assert.throws(
        () => main.merge(path),
        (error) =>
          error instanceof UsageError && sentence.test(error.message) && !error.message.includes(key),
      );
      assert.equal(main.head().sequence, 1, "all or nothing");
      main.close();
    });

  test("a report bears what somebody wrote into its ledger", () => {
    const path = newFile();
    const ledger = openLedger(path);
    ledger.append(begin("SN0001"));
    ledger.append(unit("SN0001"));
    ledger.close();
    for (const steps of ["{", "[1,2]", "null", '{"flash":"long","polish":3,"detect":1e9}', '"\\u001b"']) {
      forge(path, (database) =>
        database.prepare("UPDATE entries SET steps = ? WHERE sequence = 2").run(steps),
      );
      const { passed, stepSeconds } = countReport(contents(path));
      assert.deepEqual([passed, stepSeconds], [1, {}]);
    }
    forge(path, (database) =>
      database.exec(
        "UPDATE entries SET result = 'fail', step = 'x' || char(155), failure = '=1' WHERE sequence = 2",
      ),
    );
    assert.match(reportTable(countReport(contents(path))), /failed at x\\u009b: =1/);
  });

  test("a changed, foreign, shortened or forged offline ledger is not merged, not even in part", () => {
    const [mainPath, offlinePath] = [newFile(), newFile()];
    const main = openLedger(mainPath);
    main.reserve(range, offlinePath);
    const offline = openLedger(offlinePath, "write");
    offline.append(begin("SN0100", atB9));
    offline.append(unit("SN0100", atB9));
    offline.close();
    const copy = () => {
      const path = newFile();
      copyFileSync(offlinePath, path);
      return path;
    };
    const changed = copy();
    forge(changed, (database) => database.exec("UPDATE entries SET who = 'Eve' WHERE sequence = 2"));
    assert.throws(() => main.merge(changed), /does not verify: entry 2 was changed/);

    const outside = copy();
    forge(outside, (database) => {
      const [, , row] = contents(outside);
      const forged = { ...row, serial: "SN0200" };
      database
        .prepare("UPDATE entries SET serial = 'SN0200', hash = ? WHERE sequence = 3")
        .run(rowHash(forged));
    });
    assert.throws(
      () => main.merge(outside),
      /entry 3: SN0200 is not reserved for B9\. Nothing was taken over/,
    );

    const foreign = newFile();
    const other = openLedger(newFile());
    other.reserve(range, foreign);
    other.close();
    assert.throws(() => main.merge(foreign), /no ledger of an offline bench/);
    assert.throws(() => main.merge(sample().path), /no ledger of an offline bench/);
    assert.throws(() => main.merge(join(folder, "none.sqlite")), UsageError);
    assert.throws(() => main.reserve({ ...range, first: "SN0300", last: "SN0301" }, foreign), UsageError);
    assert.equal(main.head().sequence, 1);

    assert.deepEqual(main.merge(offlinePath), { added: 2, known: 0 });
    const shortened = copy();
    forge(shortened, (database) => database.exec("DELETE FROM entries WHERE sequence = 3"));
    assert.throws(() => main.merge(shortened), /has lost entries/);
    main.close();
  });
});
