// `npm run ledger`: its words, its exits, what it prints; and that bad input writes nothing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { FailureCode, LedgerEntry, StepName } from "./lib/bench/interfaces";
import { PROJECT } from "./lib/bundle/build";
import { openLedger } from "./lib/ledger/ledger";
import { rank } from "./lib/ledger/report";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "ledger-"));
const path = join(folder, "ledger.sqlite");
after(() => rmSync(folder, { recursive: true }));

function run(...args: string[]): { code: number | null; output: string; error: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    nodeArguments("scripts/ledger.ts", ...args),
    {
      cwd: PROJECT,
      encoding: "utf8",
    },
  );
  return { code: status, output: stdout, error: stderr };
}

function entry(
  type: "begin" | "unit",
  serial: string,
  seconds = 0,
  fail?: [StepName, FailureCode],
): LedgerEntry {
  return {
    ...{ type, serial, who: "Ann", station: "B1", fixture: 1, product: "meter", chip: `chip-${serial}` },
    ...{
      operation: "provision",
      imageDigest: "5a".repeat(32),
      keyVersion: 1,
      checkValue: "0A1B2C".repeat(4),
    },
    ...{ result: type === "begin" ? "begun" : fail ? "fail" : "pass", step: fail?.[0], failure: fail?.[1] },
    ...{ seconds, steps: fail ? undefined : { flash: seconds / 2 } },
  } as LedgerEntry;
}

before(() => {
  const ledger = openLedger(path);
  // 20 units: SN1 fails twice and passes at the third run, SN2 fails for good, the others pass in 1..18 seconds.
  ledger.append(entry("begin", "SN1"));
  ledger.append(entry("unit", "SN1", 3, ["flash", "flash-failed"]));
  ledger.append(entry("unit", "SN1", 3, ["prove", "proof-wrong"]));
  ledger.append(entry("unit", "SN1", 100));
  ledger.append(entry("begin", "SN2"));
  ledger.append(entry("unit", "SN2", 5, ["prove", "proof-wrong"]));
  for (let i = 3; i <= 20; i++) {
    ledger.append(entry("begin", `SN${i}`));
    ledger.append(entry("unit", `SN${i}`, i - 2));
  }
  ledger.close();
});

describe("report", () => {
  test("counts yield, failures by step and cycle time", () => {
    const { code, output } = run("report", path, "--json");
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(output), {
      ...{ units: 20, passed: 19, failed: 1, yield: 0.95, firstPassYield: 0.9, runs: 22, scrapped: 0 },
      failures: [
        { step: "flash", failure: "flash-failed", count: 1 },
        { step: "prove", failure: "proof-wrong", count: 2 },
      ],
      cycleSeconds: { median: 10, p95: 100 },
      stepSeconds: { flash: 5 },
    });
    const table = run("report", path).output;
    for (const line of [
      /^yield +95\.0 %$/m,
      /^cycle time, p95 +100\.0 s$/m,
      /^failed at prove: proof-wrong +2$/m,
    ])
      assert.match(table, line);
  });

  test("of a time without runs is not a division by zero", () => {
    const { code, output } = run("report", path, "--until", "2020-01-01");
    assert.equal(code, 0);
    assert.match(output, /^yield +-$/m);
    assert.equal(
      JSON.parse(run("report", path, "--json", "--since", "today", "--station", "B2").output).units,
      0,
    );
    assert.equal(
      JSON.parse(run("report", path, "--json", "--since", "today", "--station", "B1").output).units,
      20,
    );
  });

  test("as CSV has a line an entry, which can be read back", () => {
    const lines = run("report", path, "--csv").output.trim().split("\n");
    assert.equal(lines.length, 1 + 42);
    assert.equal(lines[0].split(",").slice(0, 5).join(), "sequence,time,type,who,station");
    assert.match(lines[2], /^2,[^,]+,unit,Ann,B1,1,SN1,,,meter,.*,fail,flash,flash-failed,,3,,,/);
    assert.ok(lines[4].includes(',100,"{""flash"":50}",'), lines[4]);
  });

  test("rank is the nearest one", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    assert.deepEqual(
      [rank(hundred, 0.5), rank(hundred, 0.95), rank([7], 0.5), rank([7], 0.95)],
      [50, 95, 7, 7],
    );
  });
});

describe("verify and head", () => {
  test("say that all is well, by the anchor too", () => {
    const head = run("head", path).output.trim();
    assert.match(head, /^42:[0-9a-f]{64}$/);
    const anchors = join(folder, "anchors");
    writeFileSync(anchors, `${head}\n\n`);
    for (const anchor of [head, anchors]) {
      const { code, output } = run("verify", path, "--anchor", anchor);
      assert.equal(code, 0);
      assert.equal(output, `42 entries, each as it was written. Head ${head}\n`);
    }
  });

  test("a changed ledger is exit 1 with a sentence a fault", () => {
    const changed = join(folder, "changed.sqlite");
    const bytes = readFileSync(path);
    const at = bytes.indexOf("chip-SN20");
    bytes[at] ^= 1;
    writeFileSync(changed, bytes);
    const { code, output, error } = run("verify", changed);
    assert.equal(code, 1);
    assert.match(output, /^entry 42 was changed$/m);
    assert.match(error, /^ledger: .* is not as it was written/);
    const { faults } = JSON.parse(run("verify", changed, "--json").output);
    assert.deepEqual(faults, ["entry 42 was changed"]);
  });
});

test("a range goes to a bench offline, and what it did comes back", () => {
  const offlinePath = join(folder, "offline.sqlite");
  const by = ["--who", "Ann", "--station", "HQ", "--product", "meter"];
  const reserve = () =>
    run("reserve", path, ...by, "--range", "SN0100..SN0109", "--for", "B9", "--into", offlinePath);
  assert.deepEqual(reserve(), {
    code: 0,
    output: "SN0100..SN0109 of meter is reserved for B9.\n",
    error: "",
  });
  const offline = openLedger(offlinePath, "write");
  offline.append({ ...entry("begin", "SN0100"), station: "B9" });
  offline.append({ ...entry("unit", "SN0100", 9), station: "B9" });
  offline.close();
  assert.equal(run("merge", path, offlinePath).output, "2 entries taken over, 0 were known.\n");
  assert.deepEqual(JSON.parse(run("merge", path, offlinePath, "--json").output), { added: 0, known: 2 });
  assert.match(
    run("show", path, "--product", "meter", "--serial", "SN0100").output,
    /SN0100: passed, reserved for B9, which is offline\n$/,
  );
  assert.equal(run("scrap", path, ...by, "--serial", "SN0100", "--reason", "Burnt").code, 0);
  assert.match(
    run("show", path, "--product", "meter", "--serial", "SN0100").output,
    /Burnt\nSN0100: scrapped, /,
  );
  const { unit, entries } = JSON.parse(
    run("show", path, "--product", "meter", "--serial", "SN0100", "--json").output,
  );
  assert.deepEqual([unit.state, entries.length], ["scrapped", 4]);
  assert.equal(run("verify", path).code, 0);
});

describe("bad input is a sentence, exit 2, and nothing written", () => {
  const by = ["--who", "Ann", "--station", "HQ", "--product", "meter"];
  const key = "8f1c22a90b7d4e65f3a1d0c9b8e7f6a5";
  const wrong: string[][] = [
    [],
    ["burn"],
    ["verify"],
    ["verify", "none.sqlite"],
    ["verify", "package.json", "README.md"],
    ["verify", path, "--anchor", "7:00"],
    ["verify", path, "--anchor", "none"],
    ["verify", path, "--anchor", "README.md"],
    ["head", "none.sqlite"],
    ["head", "README.md"],
    ["head", "."],
    ["report", path, "--since", "yesterday"],
    ["report", path, "--since", "2026-02-30"],
    ["report", path, "--csv", "--json"],
    ["report", "README.md"],
    ["show", path],
    ["show", path, "--product", "meter", "--serial", "SN 1"],
    ["reserve", path, ...by, "--range", "SN0001..SN0002"],
    ["reserve", path, ...by, "--range", "SN2..SN1", "--for", "B9"],
    ["reserve", path, ...by, "--range", "SN1..SN2..SN3", "--for", "B9"],
    ["reserve", path, ...by, "--range", "SN18..SN30", "--for", "B9"],
    ["reserve", path, ...by, "--range", "SN40..SN50", "--for", "=B9"],
    ["reserve", path, ...by, "--range", "SN40..SN50", "--for", "B9", "--into", "README.md"],
    ["reserve", path, ...by, "--range", "SN40..SN50", "--for", "B9", "--into", path],
    ["merge", path],
    ["merge", path, "README.md"],
    ["merge", path, path],
    ["scrap", path, ...by, "--serial", "SN3"],
    ["scrap", path, ...by, "--serial", "", "--reason", "Burnt"],
    ["scrap", path, ...by, "--serial", "SN3", "--reason", key],
    ["scrap", path, ...by, "--serial", key, "--reason", "Burnt"],
    ["scrap", "none.sqlite", ...by, "--serial", "SN3", "--reason", "Burnt"],
  ];
  const digest = () =>
    readdirSync(folder).map((name) =>
      createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex"),
    );
  for (const args of wrong)
    test(args.join(" ").replaceAll(folder, "") || "no word", () => {
      const was = digest();
      const { code, error } = run(...args);
      assert.equal(code, 2, error);
      assert.match(error, /^ledger: [^\n]*[.?]\n$/);
      assert.ok(!error.includes(key), "R25");
      assert.deepEqual(digest(), was);
    });
});
