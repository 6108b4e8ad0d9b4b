// A rollout by rings: a few devices first, then more, then all. A ring's manifests are published, then its devices' telemetry
// is waited for: who runs the new sequence has confirmed it (a device confirms after an authenticated session on the new
// image, and tells it on that session), who has gone back or refused it says why. Where more of a ring fail than is allowed,
// the rollout stops by itself and takes the manifests of all who are not done away from the broker.
// Leaves out: deciding what is wrong with an image.
import { createHash } from "node:crypto";
import { MANIFEST_SEQUENCE } from "../../../firmware/tls/alert";
import { errorText } from "../cli/error_text";
import { DeviceError, UsageError } from "../cli/exit";
import type { Broker } from "./broker";
import { type DeviceStatus, Fleet } from "./fleet";
import { clearManifests, type OnProgress, publishManifests, publishPieces, refuseRollback } from "./publish";
import type { RolloutEvent, RolloutState } from "./rollout_state";
import type { Manifests } from "./sign";
import type { Update } from "./update_file";

/**
 * Share serials out to rings: `lists` as they are, then the others up to each share, in percent of all others, rising to 100.
 * Who comes first among them is drawn by the image's digest: no device is always the first to try. Throws UsageError.
 */
export function planRings(
  serials: readonly string[],
  digest: Uint8Array,
  lists: readonly (readonly string[])[],
  shares: readonly number[],
): string[][] {
  const known = new Set(serials);
  const listed = new Set<string>();
  for (const serial of lists.flat()) {
    if (!known.has(serial)) throw new UsageError(`the serial ${serial} of a ring has no manifest.`);
    if (listed.has(serial)) throw new UsageError(`the serial ${serial} is in two rings.`);
    listed.add(serial);
  }
  if (shares.at(-1) !== 100 || shares.some((share, i) => share <= (shares[i - 1] ?? 0)))
    throw new UsageError("the shares of the rings must rise and end with 100, for example 1,10,100.");
  const draw = (serial: string) => createHash("sha256").update(digest).update(serial).digest("hex");
  const rest = serials
    .filter((serial) => !listed.has(serial))
    .map((serial) => ({ serial, place: draw(serial) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1))
    .map(({ serial }) => serial);
  const ends = shares.map((share) => Math.ceil((rest.length * share) / 100));
  const rings = ends.map((end, i) => rest.slice(ends[i - 1] ?? 0, end));
  return [...lists.map((list) => [...list]), ...rings].filter((ring) => ring.length > 0);
}

export interface RolloutOptions {
  broker: Broker;
  update: Update;
  manifests: Manifests;
  state: RolloutState;
  /** Manifests a second. */
  perSecond: number;
  onEvent?(event: RolloutEvent): void;
  onProgress?: OnProgress;
}

/** How often the clock and the file are looked at, milliseconds. */
const TICK_MS = 250;

/** Run a rollout to its end, from wherever it is. Throws DeviceError where it stops or was stopped. */
export async function runRollout(options: RolloutOptions): Promise<void> {
  const { broker, update, manifests, state, onProgress } = options;
  refuseStopped(state);
  if (state.done) return;
  const rowOf = new Map(
    Array.from({ length: manifests.count }, (_, row) => [manifests.identity(row).serial, row]),
  );
  const ringOf = new Map(state.plan.rings.flatMap((ring, i) => ring.map((serial) => [serial, i] as const)));
  const tell = (event: RolloutEvent) => {
    state.append(event);
    options.onEvent?.(event);
  };
  // those of an earlier run as well, which may have ended before it took their manifests away
  const failed = [...state.results].filter(([, { result }]) => result === "failed").map(([serial]) => serial);
  const fleet = new Fleet(state.plan.product);
  const silence = await fleet.listen(broker, (device) => {
    const ring = ringOf.get(device.serial);
    const begunMs = ring === undefined ? undefined : state.begun.get(ring);
    if (begunMs === undefined) return;
    const before = state.results.get(device.serial)?.result;
    const outcome = outcomeOf(device, state.plan.sequence, begunMs);
    if (!outcome || before === outcome.result || before === "confirmed") return;
    tell({ serial: device.serial, ...outcome });
    if (outcome.result === "failed") failed.push(device.serial);
  });
  try {
    if (state.begun.size === 0) await refuseRollback(broker, manifests);
    await publishPieces(broker, update, { onProgress });
    for (const ring of state.plan.rings.keys()) {
      if (state.ended.has(ring)) continue;
      if (!state.begun.has(ring)) tell({ begin: ring });
      await runRing(options, ring, rowOf, tell, failed);
      tell({ end: ring });
    }
    tell({ done: true });
  } finally {
    await silence();
  }
}

/**
 * Publish a ring's manifests, and wait until all have a result or their time is over. Throws DeviceError where too many
 * failed or the rollout was stopped meanwhile; then the manifests of all who are not done are gone from the broker.
 */
async function runRing(
  options: RolloutOptions,
  ring: number,
  rowOf: ReadonlyMap<string, number>,
  tell: (event: RolloutEvent) => void,
  failed: string[],
): Promise<void> {
  const { broker, manifests, state, onProgress } = options;
  const { stopAt, waitMinutes, rings } = state.plan;
  const size = rings[ring].length;
  const rows = state.open(ring).map((serial) => rowOf.get(serial) as number);
  let halted = false;
  let broken: unknown;
  const isHalted = () => halted;
  const publishing = publishManifests(broker, manifests, { ...options, rows, isHalted })
    .then(() => {
      if (!halted && !state.published.has(ring)) tell({ published: ring });
    })
    .catch((error) => (broken = error));
  const halt = async (why: string) => {
    halted = true;
    await publishing; // what is on its way arrives before it is taken away
    await stopRollout(broker, state, why);
  };
  for (;;) {
    if (broken) throw broken;
    state.readBehind();
    if (state.stopped !== undefined) {
      await halt(state.stopped);
      return refuseStopped(state);
    }
    // who left the image again would take it again at its next connection
    if (failed.length > 0) await clearManifests(broker, state.plan, failed.splice(0));
    const publishedMs = state.published.get(ring);
    const isOver = publishedMs !== undefined && Date.now() >= publishedMs + waitMinutes * 60_000;
    for (const serial of isOver ? rings[ring] : [])
      if (!state.results.has(serial)) tell({ serial, result: "silent" });
    const counts = state.counts(ring);
    if (publishedMs !== undefined) onProgress?.("confirmed", counts.confirmed, size);
    const bad = counts.failed + counts.silent;
    if (bad > (size * stopAt) / 100) {
      const why = `${bad} of ${size} devices of ring ${ring + 1} failed, more than ${stopAt} %`;
      await halt(why);
      throw new DeviceError(`${why}: the rollout is stopped.${reasons(state)}`);
    }
    if (publishedMs !== undefined && counts.open === 0) return;
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
}

function refuseStopped(state: RolloutState): void {
  if (state.stopped !== undefined)
    throw new DeviceError(
      `the rollout ${state.path} is stopped: ${state.stopped}. A new one takes a greater sequence.`,
    );
}

/** Stop a rollout for good: take the manifests of all who were offered it and have not confirmed away from the broker. */
export async function stopRollout(broker: Broker, state: RolloutState, why: string): Promise<number> {
  if (state.stopped === undefined) state.append({ stopped: why });
  const serials = state.plan.rings
    .filter((_, ring) => state.begun.has(ring))
    .flat()
    .filter((serial) => state.results.get(serial)?.result !== "confirmed");
  await clearManifests(broker, state.plan, serials);
  return serials.length;
}

/**
 * What a device's word means for the update of `sequence`, which it was offered at `offeredMs`; undefined: nothing yet. Why
 * it left its last update stays in its telemetry: it is about this one where the device has started since.
 */
export function outcomeOf(
  device: DeviceStatus,
  sequence: number,
  offeredMs: number,
): { result: "confirmed" } | { result: "failed"; code: number } | undefined {
  if (device.sequence !== undefined && device.sequence >= sequence) return { result: "confirmed" };
  const { update } = device;
  // "not newer" is about what it was offered before, or from a device that will tell a later sequence
  const refusal = update?.error === MANIFEST_SEQUENCE ? 0 : update?.error;
  if (refusal && (update?.sequence ?? sequence) === sequence && device.heardMs >= offeredMs)
    return { result: "failed", code: refusal };
  if (device.reverted && device.startedMs !== undefined && device.startedMs >= offeredMs)
    return { result: "failed", code: device.reverted };
  return undefined;
}

/** Why devices failed, most frequent first: a line each. */
function reasons(state: RolloutState): string {
  return failuresOf(state)
    .map(({ code, count }) => `\n  ${count} x E${code}: ${errorText(code) ?? "no code of this version"}`)
    .join("");
}

/** The codes of failed devices with their numbers, most frequent first. */
export function failuresOf(state: RolloutState): { code: number; count: number }[] {
  const counts = new Map<number, number>();
  for (const { result, code = 0 } of state.results.values())
    if (result === "failed") counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts].map(([code, count]) => ({ code, count })).sort((a, b) => b.count - a.count);
}
