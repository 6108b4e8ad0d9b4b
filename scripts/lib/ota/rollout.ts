// A rollout by rings: a few devices first, then more, then all. A ring's manifests are published, then its devices' telemetry
// is waited for: who runs the new sequence has confirmed it (a device confirms after an authenticated session on the new
// image, and tells it on that session), who has gone back or refused it says why. Where more of a ring fail than is allowed,
// the rollout stops by itself and takes the manifests of all who are not done away from the broker. A broker that comes back
// may have lost what it held: all that has begun is offered again.
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
/** Failed devices that a sentence names. */
const NAMED_AT_MOST = 20;

/** Run a rollout to its end, from wherever it is. Throws DeviceError where it stops or was stopped, UsageError where another program runs it. */
export async function runRollout(options: RolloutOptions): Promise<void> {
  const { state } = options;
  const unlock = state.lock();
  try {
    refuseStopped(state);
    if (!state.done) await new Rollout(options).run();
  } finally {
    unlock();
  }
}

class Rollout {
  private readonly rowOf: Map<string, number>;
  private readonly ringOf: Map<string, number>;
  private readonly offers = new Map<number, { atMs: number; publishedMs?: number }>();
  private readonly heard = new Map<string, Heard>();
  /** Whose manifest is to be taken away: who left the image again would take it again at its next connection. */
  private failed: string[];
  /** Why nothing more goes out; an error is thrown, a sentence stops the rollout. */
  private halted: string | Error | undefined;
  /** The ring that is under way. */
  private ring = 0;
  private mustOffer = false;
  private wake = () => {};

  constructor(private readonly options: RolloutOptions) {
    const { manifests, state } = options;
    this.rowOf = new Map(
      Array.from({ length: manifests.count }, (_, row) => [manifests.identity(row).serial, row]),
    );
    this.ringOf = new Map(state.plan.rings.flatMap((ring, i) => ring.map((serial) => [serial, i] as const)));
    for (const [ring, sinceMs] of state.begun) this.offers.set(ring, { atMs: onThisClock(sinceMs) });
    for (const [serial, told] of state.heard) this.heard.set(serial, told);
    // those of an earlier run as well, which may have ended before it took their manifests away
    this.failed = [...state.results]
      .filter(([, { result }]) => result === "failed")
      .map(([serial]) => serial);
  }

  async run(): Promise<void> {
    const { broker, manifests, state, onProgress } = this.options;
    const silence = await new Fleet(state.plan.product).listen(broker, (device) => this.onDevice(device));
    const forget = broker.onReturn(() => {
      this.mustOffer = true;
      this.wake();
    });
    try {
      if (state.begun.size === 0) await refuseRollback(broker, manifests, { onProgress });
      for (const ring of state.plan.rings.keys()) {
        if (state.ended.has(ring)) continue;
        if (!state.begun.has(ring)) {
          this.tell({ begin: ring });
          this.offers.set(ring, { atMs: performance.now() });
        }
        this.ring = ring;
        await this.runRing();
        this.tell({ end: ring });
      }
      await this.takeBack();
      this.tell({ done: true });
    } finally {
      forget();
      await silence().catch(() => {}); // the connection ends with us anyway
    }
  }

  private tell(event: RolloutEvent): void {
    this.options.state.append(event);
    this.options.onEvent?.(event);
  }

  /** Take what a device has said: note a result, and halt at once where it is one too many. */
  private onDevice(device: DeviceStatus): void {
    const { state } = this.options;
    const { serial } = device;
    const ring = this.ringOf.get(serial);
    if (ring === undefined || this.halted) return;
    try {
      const offer = this.offers.get(ring);
      const before = state.results.get(serial)?.result;
      const outcome = offer && outcomeOf(device, state.plan.sequence, offer, this.heard.get(serial));
      if (outcome && outcome.result !== before && before !== "confirmed") {
        this.tell({ serial, ...outcome });
        if (outcome.result === "failed") this.failed.push(serial);
        this.checkRing();
      } else if (!outcome && !(offer && hasTried(device, offer.atMs))) this.note(device);
    } catch (error) {
      this.halt(error as Error);
    }
  }

  /** Note what a device says of itself before it has tried the update. */
  private note({ serial, boots, reverted = 0 }: DeviceStatus): void {
    const before = this.heard.get(serial);
    if (boots === undefined || (before?.boots === boots && before.reverted === reverted)) return;
    this.heard.set(serial, { boots, reverted });
    this.tell({ heard: serial, boots, reverted });
  }

  private halt(why: string | Error): void {
    this.halted ??= why;
    this.wake();
  }

  /** Halt where more of the ring have failed or are silent than may; wake who waits for the last of them. */
  private checkRing(): void {
    const { state } = this.options;
    const { stopAt, rings } = state.plan;
    const { failed, silent, open } = state.counts(this.ring);
    const size = rings[this.ring].length;
    if (failed + silent > (size * stopAt) / 100) {
      const parts = [failed && `${failed} failed`, silent && `${silent} silent`].filter(Boolean);
      this.halt(`${parts.join(" and ")} of ${size} devices of ring ${this.ring + 1}, more than ${stopAt} %`);
    } else if (open === 0) this.wake();
  }

  /** Offer the ring, and wait until all of it have a result or their time is over. Throws where it stops. */
  private async runRing(): Promise<void> {
    const { state, onProgress } = this.options;
    const { waitMinutes, rings } = state.plan;
    const size = rings[this.ring].length;
    const deadlineMs = () => {
      const publishedMs = this.publishedMs();
      return publishedMs === undefined ? Number.POSITIVE_INFINITY : publishedMs + waitMinutes * 60_000;
    };
    let offering: Promise<void> | undefined;
    this.mustOffer = true;
    this.checkRing();
    for (;;) {
      state.readBehind();
      if (state.stopped !== undefined) this.halt(state.stopped);
      if (this.halted !== undefined) {
        await offering; // what is on its way arrives before it is taken away
        return this.end(this.halted);
      }
      if (this.mustOffer && !offering) {
        this.mustOffer = false;
        offering = this.offer()
          .catch((error) => this.halt(error))
          .finally(() => {
            offering = undefined;
            this.wake();
          });
      }
      await this.takeBack();
      if (performance.now() >= deadlineMs()) {
        for (const serial of rings[this.ring])
          if (!state.results.has(serial)) this.tell({ serial, result: "silent" });
        this.checkRing();
      }
      const { confirmed, open } = state.counts(this.ring);
      if (this.publishedMs() !== undefined) onProgress?.("confirmed", confirmed, size);
      if (open === 0 && !offering && !this.mustOffer && this.failed.length === 0 && !this.halted) return;
      if (this.halted === undefined) await this.nextChange();
    }
  }

  /** When the ring's manifests were all there, on this process's clock. */
  private publishedMs(): number | undefined {
    const sinceMs = this.options.state.published.get(this.ring);
    if (sinceMs === undefined) return undefined;
    const offer = this.offers.get(this.ring) ?? { atMs: 0 };
    offer.publishedMs ??= onThisClock(sinceMs);
    return offer.publishedMs;
  }

  /** Have the broker hold the pieces, and the manifests of all who have been offered it and have no result. */
  private async offer(): Promise<void> {
    const { broker, update, manifests, perSecond, state, onProgress } = this.options;
    const rows = [...state.begun.keys()]
      .flatMap((ring) => state.open(ring))
      .map((serial) => this.rowOf.get(serial) as number);
    await publishPieces(broker, update, { onProgress });
    await publishManifests(broker, manifests, {
      ...{ rows, perSecond, onProgress },
      isHalted: () => this.halted !== undefined,
      isGone: (row) => state.results.get(manifests.identity(row).serial)?.result === "failed",
    });
    if (this.halted === undefined && !state.published.has(this.ring)) this.tell({ published: this.ring });
  }

  /** Take the manifests of failed devices away. */
  private async takeBack(): Promise<void> {
    const { broker, state } = this.options;
    if (this.failed.length > 0) await clearManifests(broker, state.plan, this.failed.splice(0));
  }

  /** Stop the rollout for good, or end with an error that leaves it as it is. */
  private async end(why: string | Error): Promise<never> {
    const { broker, state } = this.options;
    if (typeof why !== "string") throw why;
    const isNew = state.stopped === undefined;
    await stopRollout(broker, state, why);
    if (!isNew) refuseStopped(state);
    throw new DeviceError(`${why}: the rollout is stopped.${reasons(state)}\n${whatNext(state)}`);
  }

  private async nextChange(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, TICK_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A time of the file on this process's clock, as well as the system's clock can tell; from here on nobody sets it. */
function onThisClock(sinceMs: number): number {
  return performance.now() - Math.max(0, Date.now() - sinceMs);
}

function refuseStopped(state: RolloutState): void {
  if (state.stopped !== undefined)
    throw new DeviceError(`the rollout ${state.path} is stopped: ${state.stopped}.\n${whatNext(state)}`);
}

/** What to do when a rollout has stopped. */
export function whatNext({ path, plan }: RolloutState): string {
  return (
    `Devices that run sequence ${plan.sequence} keep it, nobody else is offered it any more. \`status --state ${path}\` names ` +
    `who failed. Mend the image, build and sign it with a sequence above ${plan.sequence}, and roll it out with a new --state.`
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

/** What a device said before it had tried the update. */
interface Heard {
  boots: number;
  reverted: number;
}

/**
 * What a device's word means for the update of `sequence`, which it was offered at `atMs` of this process's clock; undefined:
 * nothing yet. `heard` is what it said before it had tried it.
 */
export function outcomeOf(
  device: DeviceStatus,
  sequence: number,
  { atMs }: { atMs: number },
  heard?: Heard,
): { result: "confirmed" } | { result: "failed"; code: number } | undefined {
  if (device.sequence !== undefined && device.sequence >= sequence) return { result: "confirmed" };
  const { update } = device;
  // "not newer" is about what it was offered before, or from a device that will tell a later sequence
  const refusal = update?.error === MANIFEST_SEQUENCE ? 0 : update?.error;
  if (refusal && (update?.sequence ?? sequence) === sequence && (update?.heardMs ?? 0) >= atMs)
    return { result: "failed", code: refusal };
  if (device.reverted && hasLeft(device, atMs, heard)) return { result: "failed", code: device.reverted };
  return undefined;
}

/**
 * Whether the reason for which a device left its last update, and which stays in its telemetry, is about this one: it has
 * started since, and had not given that reason before or has told of an update since.
 */
function hasLeft(device: DeviceStatus, atMs: number, heard: Heard | undefined): boolean {
  const hasStarted = device.startedMs !== undefined && device.startedMs >= atMs;
  if (device.boots === undefined) return hasStarted; // older firmware does not count its starts
  if (!heard) return hasStarted && hasTried(device, atMs);
  return device.boots > heard.boots && (hasTried(device, atMs) || device.reverted !== heard.reverted);
}

/** Whether a device has told of an update since it was offered one. */
function hasTried({ update }: DeviceStatus, atMs: number): boolean {
  return update !== undefined && update.heardMs >= atMs;
}

/** Why devices failed, most frequent first, each with some of their serials: a line each. */
function reasons(state: RolloutState): string {
  return failuresOf(state)
    .map(({ code, serials }) => {
      const more = serials.length > NAMED_AT_MOST ? ` and ${serials.length - NAMED_AT_MOST} more` : "";
      const named = serials.slice(0, NAMED_AT_MOST).join(", ");
      return `\n  ${serials.length} x E${code}: ${codeText(code)}\n    ${named}${more}`;
    })
    .join("");
}

/** The sentence of a code. */
export function codeText(code: number): string {
  return errorText(code) ?? "no code of this version";
}

/** The codes of failed devices with their serials, most frequent first. */
export function failuresOf(state: RolloutState): { code: number; serials: string[] }[] {
  const failures = new Map<number, string[]>();
  for (const [serial, { result, code = 0 }] of state.results)
    if (result === "failed") {
      const serials = failures.get(code) ?? [];
      serials.push(serial);
      failures.set(code, serials);
    }
  return [...failures]
    .map(([code, serials]) => ({ code, serials }))
    .sort((a, b) => b.serials.length - a.serials.length);
}
