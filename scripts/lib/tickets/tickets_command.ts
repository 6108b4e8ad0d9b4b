// What `npm run tickets` does, once its command line is read (scripts/tickets.ts has the options).
import type { Options } from "../../tickets";
import { interrupted, UsageError } from "../cli/exit";
import { show, showJson } from "../cli/show";
import { checkPlaces, type Master, openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { EMPTY_LIST, readFleetList } from "../gateway/fleet_list";
import { linesOf, openBroker } from "../ota/commands/given";
import { carry, type TicketEvent } from "./carrier";
import type { Pairs, Rules } from "./service";

/** What was refused is told this often, counted, milliseconds, and in so many lines with the tickets: a flood is no full disk. */
const EVERY_MS = 1_000;
const LINES = 50;

/** Read who may command whom. Throws UsageError with the line that is none. */
export function readPairs(path: string): Pairs {
  return linesOf(path).map((line) => {
    const parts = line.split(/\s+/);
    if (parts.length !== 2 || parts.some((part) => /[./+#]/.test(part)))
      throw new UsageError(`${path}: "${show(line)}" is not two serials, or * for one of them.`);
    return [parts[0], parts[1]] as const;
  });
}

/** Run the command. */
export async function run(options: Options): Promise<void> {
  if (options.master === undefined) throw new UsageError("--master is missing. See --help.");
  const read = {
    list: () => (options.list === undefined ? EMPTY_LIST : readFleetList(options.list)),
    pairs: () => (options.pairs === undefined ? undefined : readPairs(options.pairs)),
  };
  let rules: Rules = { list: read.list(), pairs: read.pairs() };
  const secrets = new Secrets(options, ["master"]);
  await checkPlaces([options.master]);
  const broker = await openBroker(options, Number.POSITIVE_INFINITY).catch((error) => {
    secrets.close();
    throw error;
  });
  const reporter = new Reporter(options.json ?? false);
  let master: Master | undefined;
  try {
    master = await openMaster(options.master, {
      ...{ purpose: "psk", scheme: "kdf", name: "master" },
      secrets,
    }).finally(() => secrets.close());
    const carrier = await carry(broker, {
      ...{ keys: master, rules },
      onEvent: (event) => reporter.take(event),
    });
    const end = interrupted();
    process.on("SIGHUP", () => {
      let areRead = true;
      // each by itself: a slip in one holds up no denial in the other
      for (const which of ["list", "pairs"] as const)
        try {
          rules = { ...rules, [which]: read[which]() };
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
          areRead = false;
          console.error(`tickets: ${show(error.message)} That list stays as it was.`);
        }
      carrier.setRules(rules);
      if (areRead && !options.json) console.log("the lists have been read");
    });
    if (!options.json) console.log(`tickets are given at ${broker.about}; Ctrl-C ends it`);
    await Promise.race([end, broker.lost]);
  } finally {
    await broker.close();
    master?.close();
    reporter.flush();
  }
}

/** A line for each ticket; what was refused once a second, counted. Above LINES a second one line counts the rest. */
class Reporter {
  private readonly counts = new Map<string, number>();
  private lines = 0;
  private timer?: NodeJS.Timeout;
  constructor(private readonly asJson: boolean) {}

  take(event: TicketEvent): void {
    this.timer ??= setTimeout(() => this.flush(), EVERY_MS).unref();
    if (event.event === "ticket" && this.lines++ < LINES)
      return console.log(
        this.asJson ? showJson(event) : show(`ticket ${event.asker} commands ${event.asked}`),
      );
    let what = event.event === "ticket" ? "ticket" : `refused ${event.from}: ${event.reason}`;
    // who floods us has another reason each time
    if (this.counts.size >= LINES && !this.counts.has(what)) what = "others";
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lines = 0;
    for (const [what, count] of this.counts)
      console.log(this.asJson ? showJson({ event: "counted", what, count }) : show(`${what} (${count})`));
    this.counts.clear();
  }
}
