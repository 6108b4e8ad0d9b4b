// The bench's ledger from the command line: `npm run ledger -- COMMAND FILE` (what it is: lib/ledger.ts).
// Verifies and counts, gives ranges to benches that are offline, takes their entries over, scraps for ever.
// Leaves out: units' entries, which the bench makes; changing one, which nobody can.
import { DeviceError, UsageError } from "./lib/cli/exit";
import { flag, option, options } from "./lib/cli/options";
import { show, showJson } from "./lib/cli/show";
import { needed, runSubcommands, subcommand } from "./lib/cli/subcommands";
import { checkSerial, parseRange } from "./lib/keys/serials";
import { openLedger } from "./lib/ledger/ledger";
import { countReport, csvLines, localMidnight, reportTable } from "./lib/ledger/report";
import { readAnchors, verifyLedger } from "./lib/ledger/verify";

const json = flag("for machines: one JSON object");
const product = option("NAME", "the product that the serial is of");
const who = option("NAME", "who does it");
const station = option("NAME", "at which station");

const VERIFY = subcommand({
  usage: "npm run ledger -- verify",
  about:
    "Check every entry and the chain. An anchor is a head that was noted elsewhere; without one nobody can tell\n" +
    "that the last entries were cut off.",
  positionals: ["FILE"],
  options: {
    anchor: options("NUMBER:HASH|FILE", "as head prints it, or a file with one a line; several", readAnchors),
    json,
  },
  run(given, [path]) {
    const { entries, head, faults } = verifyLedger(path, given.anchor?.flat());
    if (given.json) console.log(showJson({ entries, head, faults }));
    else for (const fault of faults) console.log(show(fault));
    if (faults.length) throw new DeviceError(`${path} is not as it was written: ${faults.length} faults.`);
    if (!given.json)
      console.log(
        `${entries} ${entries === 1 ? "entry" : "entries"}, each as it was written. Head ${head.sequence}:${head.hash}`,
      );
  },
});

const HEAD = subcommand({
  usage: "npm run ledger -- head",
  about: "Print number and hash of the last entry: an anchor, to be noted where the bench cannot write.",
  positionals: ["FILE"],
  options: {},
  run(_, [path]) {
    withLedger(path, "read", (ledger) => {
      const { sequence, hash } = ledger.head();
      console.log(`${sequence}:${hash}`);
    });
  },
});

const REPORT = subcommand({
  usage: "npm run ledger -- report",
  about:
    "Count yield, failures by step and cycle time. A unit counts by its last result in the time asked for; the cycle\n" +
    "time is that of the runs that passed.",
  positionals: ["FILE"],
  options: {
    since: option("DATE", "from this day on, YYYY-MM-DD or today, local time", day),
    until: option("DATE", "up to this day, itself included", day),
    station: option("NAME", "this station alone"),
    csv: flag("the entries themselves as CSV, for a spreadsheet"),
    json,
  },
  run(given, [path]) {
    if (given.csv && given.json) throw new UsageError("choose one of --csv and --json.");
    const until = given.until && new Date(given.until);
    until?.setDate(until.getDate() + 1);
    withLedger(path, "read", (ledger) => {
      const entries = ledger.entries({ since: given.since, until, station: given.station });
      if (given.csv) for (const line of csvLines(entries)) console.log(line);
      else {
        const report = countReport(entries);
        console.log(given.json ? showJson(report) : reportTable(report));
      }
    });
  },
});

const SHOW = subcommand({
  usage: "npm run ledger -- show",
  about: "Print what happened to one serial.",
  positionals: ["FILE"],
  options: { product, serial: option("SERIAL", "which", checkSerial), json },
  run(given, [path]) {
    const name = needed(given.product, "--product");
    const serial = needed(given.serial, "--serial");
    withLedger(path, "read", (ledger) => {
      const rows = [...ledger.entries()].filter((row) => row.product === name && row.serial === serial);
      const unit = ledger.unit(name, serial);
      const reservedFor = ledger.reservedFor(name, serial);
      if (given.json) console.log(showJson({ unit, reservedFor, entries: rows }));
      else {
        for (const row of rows)
          console.log(
            [row.time, row.station, row.who, row.operation, row.result, row.step, row.failure, row.reason]
              .filter(Boolean)
              .map(show)
              .join("  "),
          );
        const held = reservedFor === undefined ? "" : `, reserved for ${reservedFor}`;
        console.log(show(`${serial}: ${unit?.state ?? "never begun"}${held}`));
      }
    });
  },
});

const RESERVE = subcommand({
  usage: "npm run ledger -- reserve",
  about:
    "Give a range of serials to a bench that will be offline: no other station can use them from now on. With --into\n" +
    "the range is noted in that bench's own ledger, which is made if it is not there and takes no other serials.",
  positionals: ["FILE"],
  options: {
    product,
    range: option(
      "FIRST..LAST",
      "alike but for the last digits, for example SN0001000..SN0001999",
      parseRange,
    ),
    for: option("STATION", "the bench that gets it"),
    into: option("FILE", "that bench's own ledger"),
    who,
    station,
  },
  run(given, [path]) {
    const range = {
      ...needed(given.range, "--range"),
      product: needed(given.product, "--product"),
      reservedFor: needed(given.for, "--for"),
      who: needed(given.who, "--who"),
      station: needed(given.station, "--station"),
    };
    withLedger(path, "write", (ledger) => ledger.reserve(range, given.into));
    console.log(`${range.first}..${range.last} of ${range.product} is reserved for ${range.reservedFor}.`);
  },
});

const MERGE = subcommand({
  usage: "npm run ledger -- merge",
  about:
    "Take over what a bench did while it was offline. All or nothing; what was taken over before is known again, so it\n" +
    "may be done as often as one likes.",
  positionals: ["FILE", "OFFLINE_FILE"],
  options: { json },
  run(given, [path, offline]) {
    const result = withLedger(path, "write", (ledger) => ledger.merge(offline));
    if (given.json) console.log(showJson(result));
    else console.log(`${result.added} entries taken over, ${result.known} were known.`);
  },
});

const SCRAP = subcommand({
  usage: "npm run ledger -- scrap",
  about: "Scrap a serial, for ever: no bench takes it again. Erase its device, and revoke it at the gateway.",
  positionals: ["FILE"],
  options: {
    product,
    serial: option("SERIAL", "which", checkSerial),
    reason: option("TEXT", "why, in a few words"),
    who,
    station,
  },
  run(given, [path]) {
    const serial = needed(given.serial, "--serial");
    const entry = {
      ...({ type: "scrap", operation: "scrap", result: "scrapped" } as const),
      ...{ product: needed(given.product, "--product"), serial, reason: needed(given.reason, "--reason") },
      ...{ who: needed(given.who, "--who"), station: needed(given.station, "--station"), fixture: 0 },
      ...{ chip: "", imageDigest: "", keyVersion: 0, checkValue: "", seconds: 0 },
    };
    withLedger(path, "write", (ledger) => ledger.append(entry));
    console.log(`${serial} is scrapped, for ever.`);
  },
});

function withLedger<T>(
  path: string,
  access: "read" | "write",
  work: (ledger: ReturnType<typeof openLedger>) => T,
): T {
  const ledger = openLedger(path, access);
  try {
    return work(ledger);
  } finally {
    ledger.close();
  }
}

/** Parse a day to its start, local time. */
function day(text: string): Date {
  if (text === "today") return localMidnight(new Date());
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? [];
  const start = new Date(Number(year), Number(month) - 1, Number(date));
  if (year === undefined || start.getMonth() !== Number(month) - 1 || start.getDate() !== Number(date))
    throw new UsageError(`"${text}" is not a day as YYYY-MM-DD, nor "today".`);
  return start;
}

await runSubcommands(
  "ledger",
  "The ledger of the bench: append-only, each entry chained to the one before.",
  {
    verify: VERIFY,
    head: HEAD,
    report: REPORT,
    show: SHOW,
    reserve: RESERVE,
    merge: MERGE,
    scrap: SCRAP,
  },
);
