// What a ledger's entries say of the line: yield, failures by step, cycle time; as a table, JSON or CSV.
// A unit is a product's serial; it counts by its last result. The cycle time is that of the runs that passed; a unit
// that went on after a cut counts the seconds of its last run.
// Leaves out: entries that are no end of a run.
import { STEPS } from "../bench/interfaces";
import { show, showCsv } from "../cli/show";
import { COLUMN_NAMES, type Row, stepsOf } from "./entry";

export interface Report {
  /** Units with a result. */
  units: number;
  passed: number;
  failed: number;
  /** passed / units; undefined where there is none. */
  yield?: number;
  /** Units that passed at their first run / units. */
  firstPassYield?: number;
  runs: number;
  scrapped: number;
  failures: { step: string; failure: string; count: number }[];
  /** Of the runs that passed, in seconds: nearest rank. */
  cycleSeconds?: { median: number; p95: number };
  /** Median of each step in the runs that passed, in seconds. */
  stepSeconds: Record<string, number>;
}

/** Count entries. */
export function countReport(entries: Iterable<Row>): Report {
  const last = new Map<string, boolean>();
  const first = new Map<string, boolean>();
  const failures = new Map<string, number>();
  const seconds: number[] = [];
  const stepSeconds = new Map<string, number[]>();
  let runs = 0;
  let scrapped = 0;
  for (const row of entries) {
    if (row.type === "scrap") scrapped++;
    if (row.type !== "unit") continue;
    runs++;
    const unit = `${row.product}/${row.serial}`;
    const passed = row.result === "pass";
    last.set(unit, passed);
    if (!first.has(unit)) first.set(unit, passed);
    if (!passed) {
      const why = `${row.step || "-"} ${row.failure || "-"}`;
      failures.set(why, (failures.get(why) ?? 0) + 1);
      continue;
    }
    seconds.push(row.seconds);
    for (const [step, spent] of Object.entries(stepsOf(row.steps)))
      stepSeconds
        .set(step, stepSeconds.get(step) ?? [])
        .get(step)
        ?.push(spent as number);
  }
  const count = (map: Map<string, boolean>) => [...map.values()].filter(Boolean).length;
  const units = last.size;
  const passed = count(last);
  const order = ["-", ...STEPS] as string[];
  return {
    units,
    passed,
    failed: units - passed,
    ...(units ? { yield: passed / units, firstPassYield: count(first) / units } : {}),
    runs,
    scrapped,
    failures: [...failures]
      .map(([why, times]) => ({ step: why.split(" ")[0], failure: why.split(" ")[1], count: times }))
      .sort((a, b) => order.indexOf(a.step) - order.indexOf(b.step) || b.count - a.count),
    ...(seconds.length ? { cycleSeconds: { median: rank(seconds, 0.5), p95: rank(seconds, 0.95) } } : {}),
    stepSeconds: Object.fromEntries(
      STEPS.filter((step) => stepSeconds.has(step)).map((step) => [
        step,
        rank(stepSeconds.get(step) as number[], 0.5),
      ]),
    ),
  };
}

/** The smallest value that at least this share of all values does not exceed (nearest rank). */
export function rank(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** A report for people. */
export function reportTable(report: Report): string {
  const percent = (share?: number) => (share === undefined ? "-" : `${(share * 100).toFixed(1)} %`);
  const lines: [string, string | number][] = [
    ["units", report.units],
    ["passed", report.passed],
    ["failed", report.failed],
    ["yield", percent(report.yield)],
    ["yield at first run", percent(report.firstPassYield)],
    ["runs", report.runs],
    ["scrapped", report.scrapped],
    ["cycle time, median", report.cycleSeconds ? `${report.cycleSeconds.median.toFixed(1)} s` : "-"],
    ["cycle time, p95", report.cycleSeconds ? `${report.cycleSeconds.p95.toFixed(1)} s` : "-"],
    ...Object.entries(report.stepSeconds).map(
      ([step, seconds]) => [`  ${step}, median`, `${seconds.toFixed(1)} s`] as [string, string],
    ),
    ...report.failures.map(
      ({ step, failure, count }) => [show(`failed at ${step}: ${failure}`), count] as [string, number],
    ),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  const valueWidth = Math.max(...lines.map(([, value]) => String(value).length));
  return lines
    .map(([name, value]) => `${name.padEnd(width)}  ${String(value).padStart(valueWidth)}`)
    .join("\n");
}

/** The entries themselves as CSV (RFC 4180), a head line first; for spreadsheets. */
export function* csvLines(entries: Iterable<Row>): Generator<string> {
  yield COLUMN_NAMES.join(",");
  for (const row of entries) yield COLUMN_NAMES.map((name) => showCsv(String(row[name]))).join(",");
}

/** The start of this day, local time. */
export function localMidnight(now: Date): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate());
}
