// `npm run ota -- rollout` and `stop`: an update ring by ring, and the end of it.
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../../cli/exit";
import { Progress } from "../../cli/progress";
import { needed } from "../../cli/subcommands";
import { PER_SECOND, RINGS, STOP_AT, WAIT_MINUTES } from "../defaults";
import { codeText, planRings, runRollout, stopRollout, whatNext } from "../rollout";
import { type RolloutEvent, RolloutState } from "../rollout_state";
import type { Manifests } from "../sign";
import type { Update } from "../update_file";
import { type BothGiven, type BrokerGiven, linesOf, openBroker, readBoth } from "./given";
import { printRollout } from "./status";

interface PlanGiven {
  ring?: string[];
  rings?: number[];
  "stop-at"?: number;
  wait?: number;
}

/** Publish ring by ring and wait for each to confirm; goes on where the state says. */
export async function rollout(
  options: BothGiven & BrokerGiven & PlanGiven & { state?: string; "per-second"?: number; json?: boolean },
): Promise<void> {
  const { made, signed } = readBoth(options);
  const state = openState(needed(options.state, "--state FILE"), made, signed, options);
  const progress = new Progress(!options.json);
  try {
    const broker = await openBroker(options, Number.POSITIVE_INFINITY);
    try {
      await runRollout({
        ...{ broker, update: made, manifests: signed, state },
        perSecond: options["per-second"] ?? PER_SECOND,
        onProgress: progress.show.bind(progress),
        onEvent(event) {
          const line = options.json ? jsonText(event) : eventText(event, state);
          if (line === undefined) return;
          progress.stop();
          console.log(line);
        },
      });
    } finally {
      progress.stop();
      await broker.close();
    }
    if (!options.json) printRollout(state, false);
  } finally {
    progress.stop();
    state.close();
  }
}

/** Open a rollout's state, or plan it; a plan that differs from the one in the file is refused. */
function openState(path: string, made: Update, signed: Manifests, given: PlanGiven): RolloutState {
  const serials = Array.from({ length: signed.count }, (_, row) => signed.identity(row).serial);
  const plan = {
    ...{ product: made.product, sequence: made.sequence, version: made.version },
    digest: Buffer.from(made.digest).toString("hex"),
    stopAt: given["stop-at"] ?? STOP_AT,
    waitMinutes: given.wait ?? WAIT_MINUTES,
    rings: planRings(serials, made.digest, (given.ring ?? []).map(linesOf), given.rings ?? RINGS),
  };
  if (!existsSync(path)) return RolloutState.create(path, plan);
  const state = new RolloutState(path, "write");
  if (isDeepStrictEqual(state.plan, plan)) return state;
  state.close();
  throw new UsageError(
    `${path} is the state of a rollout with other devices, rings or limits, or of another update.`,
  );
}

/** What of a rollout is said to machines: all but what only its file is for. */
function jsonText(event: RolloutEvent): string | undefined {
  return "heard" in event ? undefined : JSON.stringify(event);
}

/** What of a rollout is said to people: rings, and who failed. */
function eventText(event: RolloutEvent, state: RolloutState): string | undefined {
  if ("begin" in event) return `ring ${event.begin + 1}: ${state.plan.rings[event.begin].length} devices`;
  if ("end" in event) {
    const { confirmed, failed, silent } = state.counts(event.end);
    return `ring ${event.end + 1}: ${confirmed} confirmed, ${failed} failed, ${silent} silent`;
  }
  if ("serial" in event && event.result === "failed")
    return `${event.serial} failed: E${event.code}, ${codeText(event.code ?? 0)}`;
  return undefined;
}

/** Stop a rollout for good. */
export async function stop(options: BrokerGiven & { state?: string; json?: boolean }): Promise<void> {
  const state = new RolloutState(needed(options.state, "--state FILE"), "write");
  try {
    if (state.done) throw new UsageError(`the rollout ${state.path} is done: there is nothing to stop.`);
    const broker = await openBroker(options);
    try {
      const cleared = await stopRollout(broker, state, "by hand");
      if (options.json) console.log(JSON.stringify({ stopped: true, cleared }));
      else console.log(`stopped; the manifests of ${cleared} devices are taken away\n${whatNext(state)}`);
    } finally {
      await broker.close();
    }
  } finally {
    state.close();
  }
}
