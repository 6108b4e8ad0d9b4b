// `npm run ota -- rollout` and `stop`: an update ring by ring, and the end of it.
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../../cli/exit";
import { Progress } from "../../cli/progress";
import { show, showJson } from "../../cli/show";
import { needed } from "../../cli/subcommands";
import { print } from "../../cli/wrap";
import { checkNewFiles } from "../../files/new_file";
import { PER_SECOND, RINGS, STOP_AT, WAIT_MINUTES } from "../defaults";
import { codeText, planRings, runRollout, stopRollout, whatNext } from "../rollout";
import { type Plan, type RolloutEvent, RolloutState } from "../rollout_state";
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
  const path = needed(options.state, "--state FILE");
  const plan = planOf(made, signed, options);
  const known = existsSync(path) ? openState(path, plan) : undefined;
  if (!known) checkNewFiles(path);
  const progress = new Progress(!options.json);
  let state = known;
  try {
    const broker = await openBroker(options, Number.POSITIVE_INFINITY);
    try {
      // a state is there when a broker is
      const own = known ?? RolloutState.create(path, plan);
      state = own;
      await runRollout({
        ...{ broker, update: made, manifests: signed, state: own },
        perSecond: options["per-second"] ?? PER_SECOND,
        onProgress: progress.show.bind(progress),
        onEvent(event) {
          const line = options.json ? jsonText(event) : eventText(event, own);
          if (line === undefined) return;
          progress.stop();
          console.log(line);
        },
      });
    } finally {
      progress.stop();
      await broker.close();
    }
    if (!options.json && state) printRollout(state, false);
  } finally {
    progress.stop();
    state?.close();
  }
}

function planOf(made: Update, signed: Manifests, given: PlanGiven): Plan {
  const serials = Array.from({ length: signed.count }, (_, row) => signed.identity(row).serial);
  return {
    ...{ product: made.product, sequence: made.sequence, version: made.version },
    digest: Buffer.from(made.digest).toString("hex"),
    stopAt: given["stop-at"] ?? STOP_AT,
    waitMinutes: given.wait ?? WAIT_MINUTES,
    rings: planRings(serials, made.digest, (given.ring ?? []).map(linesOf), given.rings ?? RINGS),
  };
}

/** Open a rollout's state; a plan that differs from the one in the file is refused. */
function openState(path: string, plan: Plan): RolloutState {
  const state = new RolloutState(path, "write");
  if (isDeepStrictEqual(state.plan, plan)) return state;
  state.close();
  throw new UsageError(
    `${path} is the state of a rollout with other devices, rings or limits, or of another update.`,
  );
}

/** What of a rollout is said to machines: all but what only its file is for. */
function jsonText(event: RolloutEvent): string | undefined {
  return "heard" in event ? undefined : showJson(event);
}

/** What of a rollout is said to people: rings, and who failed. */
function eventText(event: RolloutEvent, state: RolloutState): string | undefined {
  if ("begin" in event) return `ring ${event.begin + 1}: ${state.plan.rings[event.begin].length} devices`;
  if ("end" in event) {
    const { confirmed, failed, silent } = state.counts(event.end);
    return `ring ${event.end + 1}: ${confirmed} confirmed, ${failed} failed, ${silent} silent`;
  }
  if ("serial" in event && event.result === "failed")
    return `${show(event.serial)} failed: E${event.code}, ${codeText(event.code ?? 0)}`;
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
      else print(`stopped; the manifests of ${cleared} devices are taken away\n${whatNext(state)}`);
    } finally {
      await broker.close();
    }
  } finally {
    state.close();
  }
}
