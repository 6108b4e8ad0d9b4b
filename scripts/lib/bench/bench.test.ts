// The bench against simulated boards: what goes well, what is cut, what is wrong with a board, a line, a serial or a key,
// and that no key gets anywhere but into its device. SECURITY.md has the promises: R1, R3, R12, R25, R27.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SLOTS_FILE } from "../../../firmware/ota/manifest";
import { RECORD_LENGTH } from "../../../firmware/store/key_record";
import { UsageError } from "../cli/exit";
import type { DeviceKeys, KeySource } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { checkValuesOf, keyCheckValue, keyRecord, PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import type { SimulatedBoard } from "../simulate/simulated_board";
import { imageOf, masters, PRODUCT, TestBench } from "../test/bench";
import { STEPS, type StepName } from "./interfaces";
import { benchSettings } from "./settings_file";

const identity = (serial: string, version = 1) => parseIdentity(`v${version}.${PRODUCT}.${serial}`);
const range = { first: "SN0000001", last: "SN0000999" };

/** The steps of the last run by their results. */
const outcome = (bench: TestBench, count: number) =>
  Object.fromEntries(bench.steps.slice(-count).map(({ step, result }) => [step, result]));

describe("a unit", () => {
  test("goes from blank to finished; once more changes nothing; another serial is refused", async () => {
    const keys = masters();
    const bench = await TestBench.start([{}], { keys });
    try {
      await bench.ready();
      assert.equal((await bench.run("SN0000001")).result, "pass", bench.states());
      assert.deepEqual(
        bench.steps.map(({ step, result }) => [step, result]),
        STEPS.map((step) => [step, "done"]),
      );
      const [board] = bench.boards;
      const wanted = await keys.deviceKeys(identity("SN0000001"));
      const { key, conf, ...files } = board.machine.files;
      assert.equal(Buffer.from(key, "latin1").compare(keyRecord(wanted)), 0, "the record of this identity");
      assert.deepEqual(benchSettings(conf), {
        id: "v1.meter.SN0000001",
        host: "127.0.0.1",
        port: 1,
        ssid: "simulated",
        pass: "simulated",
      });
      const image = Object.entries((await imageOf("esp32-sim")).files).filter(([name]) => name !== "key");
      for (const [name, data] of image) assert.ok(files[name] === data, name);
      const unit = bench.ledger.unit(PRODUCT, "SN0000001");
      assert.equal(unit?.state, "passed");
      assert.equal(unit?.checkValue, checkValuesOf(wanted));
      assert.equal(unit?.chip, "chip-1");
      assert.equal(readdirSync(join(bench.folder, "labels")).length, 2, "SVG and PDF");

      // the same serial again: nothing is written, neither to flash nor to the ledger
      const before = Buffer.from(storageOf(board));
      const { entries } = bench;
      assert.equal((await bench.run("SN0000001")).result, "pass");
      assert.deepEqual(outcome(bench, STEPS.length), {
        detect: "done",
        flash: "skipped",
        verify: "skipped",
        "self-test": "skipped",
        "write-keys": "skipped",
        prove: "done",
        lock: "done",
        ledger: "skipped",
        label: "done",
      });
      assert.equal(bench.entries, entries);
      assert.ok(before.equals(storageOf(board)), "not a byte of Storage differs");

      assert.throws(
        () => bench.bench.command({ command: "scan", serial: "SN0000002", fixture: 1 }),
        (error: Error) => error instanceof UsageError && /is SN0000001 already/.test(error.message),
      );
    } finally {
      await bench.stop();
    }
  });

  test("says who it is when it is plugged in again, and a serial is never given twice", async () => {
    const bench = await TestBench.start([{}, {}]);
    try {
      await bench.ready();
      await bench.run("SN0000001", 1);
      await bench.boards[0].unplug();
      await bench.until(() => bench.bench.view().fixtures[0].state === "empty");
      await bench.boards[0].start();
      await bench.ready();
      assert.equal(bench.bench.view().fixtures[0].serial, "SN0000001", "told by the device");
      assert.throws(
        () => bench.bench.command({ command: "scan", serial: "SN0000001", fixture: 2 }),
        /at fixture 1 already/,
      );
      // not in a fixture any more, but in the ledger, with another chip
      await bench.boards[0].unplug();
      await bench.until(() => bench.bench.view().fixtures[0].state === "empty");
      const before = Buffer.from(storageOf(bench.boards[1]));
      const result = await bench.run("SN0000001", 2);
      assert.equal(result.failure?.code, "serial-taken");
      assert.ok(before.equals(storageOf(bench.boards[1])), "nothing was written");
      assert.equal((await bench.run("SN0000002", 2)).result, "pass");
    } finally {
      await bench.stop();
    }
  });

  test("is reworked, re-keyed and scrapped by name only", async () => {
    const keys = masters();
    const bench = await TestBench.start([{}], { keys });
    const { ledger } = bench;
    try {
      await bench.ready();
      await bench.run("SN0000001");
      bench.bench.command({ command: "operation", operation: "rework" });
      const { bytes } = bench.boards[0].machine.flash;
      const old = Buffer.from("of a life before");
      for (const place of [bytes.length - old.length, 0x50000]) old.copy(bytes, place);
      assert.equal((await bench.run("SN0000001")).result, "pass", bench.states());
      assert.ok(!bytes.includes(old), "neither the journal nor Storage holds anything of the time before");
      const { files: image } = await imageOf("esp32-sim");
      const laidOut = Object.entries(bench.boards[0].machine.files).slice(0, Object.keys(image).length);
      assert.deepEqual(
        laidOut.map(([name]) => name),
        Object.keys(image),
        "laid out afresh, the record in its place",
      );
      assert.equal(outcome(bench, STEPS.length)["write-keys"], "done", "erased and written again");
      const first = ledger.unit(PRODUCT, "SN0000001");
      // version 2: on a bench that is set to it
      Object.assign(bench.bench.options, { keyVersion: 2 });
      bench.bench.command({ command: "operation", operation: "provision" });
      assert.equal((await bench.run("SN0000001")).failure?.code, "keys-differ");
      bench.bench.command({ command: "operation", operation: "rekey" });
      assert.equal((await bench.run("SN0000001")).result, "pass", bench.states());
      const second = ledger.unit(PRODUCT, "SN0000001");
      assert.equal(second?.keyVersion, 2);
      assert.notEqual(second?.checkValue, first?.checkValue);
      const wanted = await keys.deviceKeys(identity("SN0000001", 2));
      assert.equal(second?.checkValue, checkValuesOf(wanted));
      const { entries } = bench;
      assert.equal((await bench.run("SN0000001")).result, "pass", "again: it has version 2 already");
      assert.equal(bench.entries, entries);
      // two versions up at once
      Object.assign(bench.bench.options, { keyVersion: 4 });
      assert.equal((await bench.run("SN0000001")).failure?.code, "keys-differ");
      Object.assign(bench.bench.options, { keyVersion: 2 });

      bench.bench.command({ command: "scrap", serial: "SN0000001", reason: "cracked case" });
      assert.throws(
        () => bench.bench.command({ command: "scan", serial: "SN0000001" }),
        /scrapped, for ever/,
      );
      bench.bench.command({ command: "start" });
      await bench.until(() => bench.results.length === 7);
      assert.match(bench.results.at(-1)?.failure?.text ?? "", /scrapped, for ever/);
      assert.throws(
        () => bench.bench.command({ command: "scrap", serial: "SN0000002", reason: " " }),
        /reason/,
      );
    } finally {
      await bench.stop();
    }
  });
});

describe("unplugged", () => {
  const CUT_AT = STEPS.filter((step) => step !== "ledger" && step !== "label");
  const BYTES = [1, 60, 400];

  test("at every step and plugged in again, the same unit goes on and is finished", async () => {
    const cuts = CUT_AT.flatMap((step) =>
      BYTES.map((bytes) => ({ step, bytes, isCut: false, isBack: false })),
    );
    const stepOf: (StepName | undefined)[] = [];
    const bench = await TestBench.start(
      cuts.map((cut, i) => {
        let seen = 0;
        return {
          faults: {
            unplugAt: () => {
              if (cut.isCut || stepOf[i] !== cut.step || ++seen < cut.bytes) return false;
              return (cut.isCut = true);
            },
          },
        };
      }),
      { range, automatic: true },
    );
    try {
      bench.bench.subscribe((event) => {
        if (event.kind !== "fixture") return;
        stepOf[event.fixture - 1] = event.state === "running" ? event.step : undefined;
        const cut = cuts[event.fixture - 1];
        if (event.state !== "empty" || !cut.isCut || cut.isBack) return;
        cut.isBack = true;
        void bench.boards[event.fixture - 1].start();
      });
      const isFinished = () =>
        bench.bench.view().fixtures.every(({ state }) => state === "passed") ||
        bench.results.filter(({ result }) => result === "pass").length === cuts.length;
      assert.ok(await bench.until(isFinished, 120_000), bench.states());

      for (const step of CUT_AT)
        assert.ok(
          cuts.some((cut) => cut.step === step && cut.isCut),
          `${step} was cut`,
        );
      const cutCount = cuts.filter(({ isCut }) => isCut).length;
      const failures = bench.results.filter(({ result }) => result === "fail");
      assert.equal(failures.length, cutCount, "each cut is one failure");
      for (const { failure } of failures) assert.equal(failure?.code, "unplugged");
      for (const [i, board] of bench.boards.entries()) {
        const mine = bench.results.filter(({ fixture }) => fixture === i + 1);
        assert.equal(new Set(mine.map(({ serial }) => serial)).size, 1, "it kept its serial");
        assert.equal(benchSettings(board.machine.files.conf).id, `v1.meter.${mine[0].serial}`);
        assert.equal(bench.ledger.unit(PRODUCT, mine[0].serial)?.state, "passed");
      }
      const records = new Set(bench.boards.map(({ machine }) => machine.files.key));
      assert.equal(records.size, cuts.length, "a record for each");
    } finally {
      await bench.stop();
    }
  });
});

describe("what is wrong", () => {
  test("one silent board and one of another kind hold up none", async () => {
    const bench = await TestBench.start(
      [{ faults: { silent: true } }, { faults: { claims: "PICO_R1_3" } }, {}, {}],
      {
        range,
        automatic: true,
      },
    );
    try {
      const results = await bench.done(2);
      assert.deepEqual(
        results.map(({ result }) => result),
        ["pass", "pass"],
      );
      const failed = () =>
        bench.bench
          .view()
          .fixtures.slice(0, 2)
          .map(({ failure }) => failure?.code);
      await bench.until(() => failed().every(Boolean), 15_000);
      assert.deepEqual(failed(), ["no-answer", "wrong-board"]);
      for (const board of bench.boards.slice(0, 2))
        assert.deepEqual(board.machine.files, {}, "nothing written");
      // the silent one wakes up
      bench.boards[0].faults = {};
      assert.equal((await bench.done(3))[2].result, "pass");
    } finally {
      await bench.stop();
    }
  });

  test("noise on the line: a unit passes with what it should hold, or fails with a name, and is mended", async () => {
    const noise = [40_000, 10_000, 3_000, 1_000];
    const bench = await TestBench.start(
      noise.map((noiseEvery, i) => ({ faults: { noiseEvery, noiseSeed: i + 1 } })),
      { range, automatic: true },
    );
    try {
      const isTried = () =>
        bench.bench.view().fixtures.every(({ state }) => state === "passed" || state === "failed");
      assert.ok(await bench.until(isTried, 240_000), bench.states());
      const { fixtures } = bench.bench.view();
      assert.equal(fixtures[0].state, "passed", "a hit in 40,000 bytes is got over");
      const { [SLOTS_FILE]: slots } = (await imageOf("esp32-sim")).files;
      for (const [i, { state, serial, failure }] of fixtures.entries()) {
        const { files } = bench.boards[i].machine;
        if (state === "passed") assert.ok(files[SLOTS_FILE] === slots);
        else {
          assert.notEqual(failure?.code, "internal", failure?.text);
          // no key goes to a board whose image was not verified
          const isBegun = serial !== undefined && bench.ledger.unit(PRODUCT, serial) !== undefined;
          if (isBegun) assert.ok(files[SLOTS_FILE] === slots);
        }
        bench.boards[i].faults = {};
        if (state === "passed") continue;
        // the line is quiet again
        await bench.until(
          () => serial !== undefined || bench.bench.view().fixtures[i].serial !== undefined,
          10_000,
        );
        const before = bench.results.length;
        if (bench.bench.view().fixtures[i].state === "failed" && serial !== undefined)
          bench.bench.command({ command: "start", fixture: i + 1 });
        await bench.until(() => bench.bench.view().fixtures[i].state === "passed", 30_000);
        assert.ok(bench.results.length > before);
        assert.equal(bench.bench.view().fixtures[i].state, "passed", bench.states());
      }
    } finally {
      await bench.stop();
    }
  });

  test("R12 a serial or product that no identity takes is refused at the scan, nothing is written", async () => {
    const bench = await TestBench.start([{}]);
    try {
      await bench.ready();
      const long = "S".repeat(65);
      for (const serial of [
        "",
        " ",
        "A\0B",
        "A:B",
        "A.B",
        "A/B",
        "A+B",
        "A#B",
        "A B",
        "Ä1",
        "\x03",
        "-A",
        "$A",
        long,
      ])
        assert.throws(
          () => bench.bench.command({ command: "scan", serial }),
          UsageError,
          JSON.stringify(serial),
        );
      assert.equal(bench.bench.view().fixtures[0].serial, undefined);
      assert.throws(() => bench.bench.command({ command: "start" }), /no fixture has a device and a serial/);
      assert.throws(() => bench.bench.command({ command: "start", fixture: 9 }), /no fixture 9/);
      assert.equal(bench.entries, 0);
      assert.deepEqual(bench.boards[0].machine.files, {});
    } finally {
      await bench.stop();
    }
  });

  test("a serial outside the range or reserved for another bench is refused at the scan", async () => {
    const bench = await TestBench.start([{}], { range: { first: "SN0000001", last: "SN0000099" } });
    try {
      await bench.ready();
      const reserved = { first: "SN0000010", last: "SN0000019", reservedFor: "bench2" };
      bench.ledger.reserve({ ...reserved, product: PRODUCT, who: "test", station: "bench1" });
      const scan = (serial: string) => bench.bench.command({ command: "scan", serial });
      assert.throws(() => scan("SN0000100"), /outside this bench's range/);
      assert.throws(() => scan("SN0000011"), /reserved for bench2/);
      scan("SN0000020");
    } finally {
      await bench.stop();
    }
  });
});

describe("keys", () => {
  /** A source that gives what it likes. */
  const source = (keys: (serial: string) => Buffer[]): KeySource => ({
    about: "a bad source",
    pskLabel: "psk",
    deviceKeys: async ({ serial }) =>
      Object.fromEntries(PURPOSES.map((purpose, i) => [purpose, Buffer.from(keys(serial)[i])])) as DeviceKeys,
    close: async () => {},
  });
  const good = PURPOSES.map(() => randomKey());

  test("R1 short, zero, repeated, published and equal keys never reach a device", async () => {
    const bad: Record<string, Buffer> = {
      short: randomKey().subarray(1),
      zero: Buffer.alloc(16),
      repeated: Buffer.alloc(16, "ab"),
      published: Buffer.from("2b7e151628aed2a6abf7158809cf4f3c", "hex"),
      equal: good[0],
    };
    for (const [name, key] of Object.entries(bad)) {
      const keys = source(() => [good[0], good[1], key, good[3]]);
      const bench = await TestBench.start([{}], { keys });
      try {
        await bench.ready();
        const result = await bench.run("SN0000001");
        assert.equal(result.failure?.code, "bad-key", name);
        assert.deepEqual(bench.boards[0].machine.files, {}, "nothing was written");
      } finally {
        await bench.stop();
      }
    }
  });

  test("R3 no two units of a batch have a check value in common, and the same keys are not given twice", async () => {
    const bench = await TestBench.start([{}, {}, {}, {}], { range, automatic: true });
    try {
      const values = (await bench.done(4)).map(({ checkValue }) => checkValue);
      assert.equal(new Set(values).size, 4);
    } finally {
      await bench.stop();
    }
    const twice = await TestBench.start([{}, {}], { keys: source(() => good) });
    try {
      await twice.ready();
      assert.equal((await twice.run("SN0000001", 1)).result, "pass");
      const result = await twice.run("SN0000002", 2);
      assert.equal(result.failure?.code, "bad-key");
      assert.match(result.failure?.text ?? "", /SN0000001 has already/);
      assert.deepEqual(twice.boards[1].machine.files, {});
    } finally {
      await twice.stop();
    }
  });

  test("a device that holds the keys of another master is not touched", async () => {
    const bench = await TestBench.start([{}]);
    try {
      await bench.ready();
      await bench.run("SN0000001");
      Object.assign(bench.bench.options, { keys: masters() });
      const before = Buffer.from(storageOf(bench.boards[0]));
      assert.equal((await bench.run("SN0000001")).failure?.code, "keys-differ");
      bench.bench.command({ command: "operation", operation: "rework" });
      assert.equal((await bench.run("SN0000001")).failure?.code, "keys-differ", "its console key is another");
      assert.ok(before.equals(storageOf(bench.boards[0])));
    } finally {
      await bench.stop();
    }
  });

  test("R25 no key in argv, environment, temporary files, events, ledger, labels or on the line back", async () => {
    const temporary = mkdtempSync(join(tmpdir(), "keys-"));
    const before = process.env.TMPDIR;
    process.env.TMPDIR = temporary;
    const keys = masters();
    const secrets: string[] = [];
    for (const purpose of PURPOSES) {
      const key = (await keys.deviceKeys(identity("SN0000001")))[purpose];
      const text = key.toString("hex");
      // whole base64 quanta of the key wherever it begins in a record
      const pieces = [0, 1, 2].map((skip) => key.subarray(skip, skip + 12).toString("base64"));
      secrets.push(key.toString("latin1"), text, text.toUpperCase(), ...pieces);
    }
    const find = (text: string, where: string) => {
      for (const secret of secrets) assert.ok(!text.includes(secret), `a key in ${where}`);
    };
    let looks = 0;
    let seenFiles = 0;
    const look = () => {
      looks++;
      for (const path of filesUnder(temporary)) {
        seenFiles++;
        find(read(path), path);
      }
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        const command = read(`/proc/${pid}/cmdline`);
        find(command, `argv of ${pid}`);
        find(read(`/proc/${pid}/environ`), `environment of ${pid}`);
      }
    };
    const timer = setInterval(look, 5);
    const bench = await TestBench.start([{}], { keys });
    try {
      await bench.ready();
      assert.equal((await bench.run("SN0000001")).result, "pass");
      look();
      assert.ok(looks > 20 && seenFiles > 0, "there was something to look at");
      find(JSON.stringify(bench.events), "events");
      find(bench.boards[0].sent, "what the device said");
      for (const path of filesUnder(bench.folder)) find(read(path), path);
      // the search finds what is there
      assert.throws(() => find(bench.boards[0].machine.files.key, "the device"), /a key in the device/);
    } finally {
      clearInterval(timer);
      await bench.stop();
      process.env.TMPDIR = before;
      if (before === undefined) delete process.env.TMPDIR;
      rmSync(temporary, { recursive: true, force: true });
    }
  });

  test("R27 on a finished unit the raw prompt is shut, from power-on, to every byte and floods of Ctrl-C", async () => {
    const bench = await TestBench.start([{}]);
    try {
      await bench.ready();
      assert.equal((await bench.run("SN0000001")).result, "pass");
      const [board] = bench.boards;
      const port = board.machine.board.consolePort;
      const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
      await bench.bench.stop();
      await board.unplug();
      await board.start();
      board.sent = "";
      const attempts = [
        all,
        "\x03".repeat(5000),
        '\n\x10print("<#"+"open#>")\n',
        '\x1b\x03\x03print("<#"+"open#>")\r\n',
        all,
      ];
      for (const bytes of attempts) await feed(board, bytes);
      assert.ok(!board.sent.includes("<#open#>"), "nothing was evaluated");
      assert.notEqual(board.machine.run("E.getConsole()"), port);
      await feed(board, "\n");
      await feed(board, "prove\n");
      assert.match(board.sent, /v1\.meter\.SN0000001 /, "the firmware answers");
    } finally {
      await bench.stop().catch(() => {});
    }
  });

  test("check values are those of the keys, in the record's order", async () => {
    const keys = await masters().deviceKeys(identity("SN0000001"));
    assert.equal(checkValuesOf(keys), PURPOSES.map((purpose) => keyCheckValue(keys[purpose])).join(""));
    assert.equal(keyRecord(keys).length, RECORD_LENGTH);
    assert.equal(keyRecord(keys).subarray(0, 16).compare(keys.psk), 0);
  });
});

/** The flash of a board but for the journal, in which a device notes what happens to it. */
function storageOf({ machine }: SimulatedBoard): Buffer {
  return machine.flash.bytes.subarray(0, -2 * machine.board.journalLength);
}

/** Bytes arrive at the board as its UART gives them. */
async function feed(board: SimulatedBoard, bytes: string): Promise<void> {
  for (let i = 0; i < bytes.length; i += 16) board.type(bytes.slice(i, i + 16));
  await new Promise((resolve) => setTimeout(resolve, 20));
}

function filesUnder(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  } catch {
    return [];
  }
}

/** Read a file that may have gone in the meantime. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
