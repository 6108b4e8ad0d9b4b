// What `npm run tickets` does, once its command line is read (scripts/tickets.ts has the options).
import type { Options } from "../../tickets";
import { CountedLines } from "../cli/counted_lines";
import { interrupted, UsageError } from "../cli/exit";
import { show } from "../cli/show";
import { checkPlaces, type Master, openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { EMPTY_LIST, readFleetList } from "../gateway/fleet_list";
import { linesOf, openBroker } from "../ota/commands/given";
import { carry } from "./carrier";
import { RATE } from "./senders";
import type { Pairs, Rules } from "./service";

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
  const lines = new CountedLines(options.json ?? false);
  let master: Master | undefined;
  try {
    master = await openMaster(options.master, {
      ...{ purpose: "psk", scheme: "kdf", name: "master" },
      secrets,
    }).finally(() => secrets.close());
    const carrier = await carry(broker, {
      ...{ keys: master, rules },
      onEvent: (event) =>
        event.event === "ticket"
          ? lines.line(event, `ticket ${event.asker} commands ${event.asked}`)
          : lines.count(`refused ${event.from}: ${event.reason}`),
      rate: {
        messagesPerSecond: options["messages-per-second"] ?? RATE.messagesPerSecond,
        burst: options.burst ?? RATE.burst,
      },
    });
    broker.onAway(() =>
      lines.line(
        { event: "away" },
        `${broker.about} is away: no ticket is given and nothing is carried until it is back`,
      ),
    );
    broker.onReturn(() => lines.line({ event: "back" }, `${broker.about} is back`));
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
    lines.flush();
  }
}
