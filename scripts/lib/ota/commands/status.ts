// `npm run ota -- status`: who runs what, or how far a rollout is.
import { Progress } from "../../cli/progress";
import { show, showJson } from "../../cli/show";
import { needed } from "../../cli/subcommands";
import { print } from "../../cli/wrap";
import { LISTEN_SECONDS } from "../defaults";
import { Fleet } from "../fleet";
import { codeText, failuresOf, whatNext } from "../rollout";
import { RolloutState } from "../rollout_state";
import { fleetTable, tableText } from "../tables";
import { type BrokerGiven, openBroker } from "./given";

/** Listen to the fleet and print a line for each device; with `state` print a rollout's rings out of its file. */
export async function status(
  options: BrokerGiven & { product?: string; seconds?: number; state?: string; json?: boolean },
): Promise<void> {
  if (options.state !== undefined) {
    const state = new RolloutState(options.state, "read");
    printRollout(state, options.json);
    return state.close();
  }
  const fleet = new Fleet(needed(options.product, "--product NAME"));
  const seconds = options.seconds ?? LISTEN_SECONDS;
  const broker = await openBroker(options);
  const progress = new Progress(!options.json);
  try {
    await fleet.listen(broker);
    for (let second = 0; second < seconds; second++) {
      progress.show(`listen, ${fleet.devices.size} devices`, second, seconds);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    broker.demandThere();
  } finally {
    progress.stop();
    await broker.close();
  }
  const devices = [...fleet.devices.values()].sort((a, b) => (a.serial < b.serial ? -1 : 1));
  if (options.json)
    console.log(JSON.stringify(devices, (key, value) => (/Ms$/.test(key) ? undefined : value)));
  else console.log(fleetTable(devices));
}

/** Print the rings of a rollout, which devices failed and why, and which are silent. */
export function printRollout(state: RolloutState, asJson: boolean | undefined): void {
  const { product, version, sequence, rings } = state.plan;
  const { done, stopped } = state;
  const rows = rings.map((ring, i) => ({
    ...{ ring: i + 1, devices: ring.length },
    ...{
      state: state.ended.has(i) ? "done" : !state.begun.has(i) ? "waits" : stopped ? "stopped" : "under way",
    },
    ...state.counts(i),
  }));
  const failures = failuresOf(state).map(({ code, serials }) => ({ code, text: codeText(code), serials }));
  const silent = [...state.results].filter(([, { result }]) => result === "silent").map(([serial]) => serial);
  if (asJson)
    return console.log(
      showJson({ product, version, sequence, done, stopped, rings: rows, failures, silent }),
    );
  // the file may be another's
  print(
    `${show(product)} ${show(version)}, sequence ${sequence}: ${show(stopped ?? (done ? "done" : "under way"))}`,
  );
  console.log(
    tableText(
      ["ring", "devices", "state", "confirmed", "failed", "silent", "open"],
      rows.map((row) => [row.ring, row.devices, row.state, row.confirmed, row.failed, row.silent, row.open]),
    ),
  );
  for (const { code, text, serials } of failures)
    print(`${serials.length} failed with E${code}, ${text}\n  ${serials.map(show).join("\n  ")}`);
  if (silent.length > 0) print(`${silent.length} silent\n  ${silent.map(show).join("\n  ")}`);
  if (stopped !== undefined) print(whatNext(state));
}
