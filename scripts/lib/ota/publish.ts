// Publishing an update: its pieces once for all devices, then each device's manifest, with new keys behind it or without,
// retained. What the broker has already is found by looking first, so that the same again changes nothing and a broken run
// goes on; what was sent is looked at again, because brokers acknowledge what their rules then throw away.
// Leaves out: who gets it when (rollout.ts).
import { DeviceError, UsageError } from "../cli/exit";
import type { Broker } from "./broker";
import { type ImageFields, manifestTopic, piecesPrefix, sequenceOf } from "./manifest";
import type { Manifests } from "./sign";
import type { Update } from "./update_file";

/** Gets how many of how many are done. */
export type OnProgress = (
  step: "look" | "pieces" | "manifests" | "confirmed",
  done: number,
  of: number,
) => void;

export interface PublishOptions {
  /** Manifests a second: every device that is connected begins at once when its own comes. */
  perSecond?: number;
  /** How long the broker may take to show what it has retained, milliseconds. */
  patienceMs?: number;
  /** Asked before each message: true, and no more go out. */
  isHalted?(): boolean;
  onProgress?: OnProgress;
}

/** What was written, and what was there already. */
export interface Published {
  written: number;
  found: number;
}

/** How long a broker may take to begin or go on with what it has retained, milliseconds. */
const QUIET_MS = 500;
/** The same when everything must come, so that the wait is rarely waited out. */
const PATIENCE_MS = 10_000;
/** Up to as many topics are looked at by name; for more, those of all devices come. */
const BY_NAME = 1000;

/** Messages that the broker shall hold, by topic. */
interface Wanted {
  filters: string[];
  messages: Map<string, Buffer>;
}

/** Publish the pieces of an update. Throws DeviceError where the broker does not keep them. */
export function publishPieces(
  broker: Broker,
  update: Pick<Update, "product" | "digest" | "pieces">,
  options: PublishOptions = {},
): Promise<Published> {
  const prefix = piecesPrefix(update);
  const messages = new Map(update.pieces.map((piece, n) => [`${prefix}${n}`, piece]));
  return settle(broker, { filters: [`${prefix}+`], messages }, "pieces", {
    ...options,
    perSecond: undefined,
  });
}

/**
 * Publish manifests, all of a file or the rows that are named. Throws UsageError, with nothing published, where a device is
 * offered this sequence or a later one already with something else; DeviceError where the broker does not keep them.
 */
export async function publishManifests(
  broker: Broker,
  manifests: Manifests,
  options: PublishOptions & { rows?: readonly number[] } = {},
): Promise<Published> {
  const wanted = wantedManifests(manifests, options.rows);
  return settle(broker, wanted, "manifests", options, refuseLater(manifests.image, wanted));
}

/** Look whether any of these devices is offered this sequence or a later one already; throws as publishManifests does. */
export async function refuseRollback(
  broker: Broker,
  manifests: Manifests,
  rows?: readonly number[],
): Promise<void> {
  const wanted = wantedManifests(manifests, rows);
  const refuse = refuseLater(manifests.image, wanted);
  await look(broker, wanted, QUIET_MS, refuse.onOther);
  refuse.end();
}

/** Take the manifests of an update away from devices, by serial; one of another update that is there instead stays. */
export async function clearManifests(
  broker: Broker,
  { product, sequence }: { product: string; sequence: number },
  serials: readonly string[],
): Promise<void> {
  const topics = new Set(serials.map((serial) => manifestTopic(product, serial)));
  if (topics.size === 0) return;
  await broker.look(filtersOf(product, topics), QUIET_MS, (topic, payload) => {
    const other = sequenceOf(payload);
    if (other !== undefined && other !== sequence) topics.delete(topic);
    return false;
  });
  const empty = Buffer.alloc(0);
  await broker.publish(Array.from(topics, (topic) => ({ topic, payload: empty })));
}

/**
 * Take manifests with new keys away from devices, by rows of their file; what is there instead of them stays. Returns how many
 * were there. Throws DeviceError where the broker keeps them.
 */
export async function clearRekeys(
  broker: Broker,
  rekeys: Manifests,
  rows: readonly number[],
): Promise<number> {
  const { filters, messages } = wantedManifests(rekeys, rows);
  const missing = await look(broker, { filters, messages }, QUIET_MS);
  const there = new Map([...messages].filter(([topic]) => !missing.has(topic)));
  const empty = Buffer.alloc(0);
  await broker.publish(Array.from(there.keys(), (topic) => ({ topic, payload: empty })));
  const gone = await look(broker, { filters, messages: there }, QUIET_MS);
  const kept = [...there.keys()].find((topic) => !gone.has(topic));
  if (kept !== undefined)
    throw new DeviceError(`${broker.about} acknowledged that ${kept} is empty and kept what was there.`);
  return there.size;
}

/** What to subscribe to for the manifests of some devices of a product. */
function filtersOf(product: string, topics: Iterable<string>): string[] {
  const all = [...topics];
  return all.length > BY_NAME ? [manifestTopic(product, "+")] : all;
}

function wantedManifests(manifests: Manifests, rows?: readonly number[]): Wanted {
  const { product } = manifests.image;
  const messages = new Map<string, Buffer>();
  for (const row of rows ?? Array.from({ length: manifests.count }, (_, i) => i))
    messages.set(manifestTopic(product, manifests.identity(row).serial), manifests.manifest(row));
  return { filters: filtersOf(product, messages.keys()), messages };
}

interface Refusal {
  onOther(topic: string, payload: Buffer): void;
  /** Throw what was found. */
  end(): void;
}

function refuseLater(image: ImageFields, { messages }: Wanted): Refusal {
  const later: { topic: string; sequence: number }[] = [];
  return {
    onOther(topic, payload) {
      const sequence = sequenceOf(payload);
      if (sequence !== undefined && sequence >= image.sequence && messages.has(topic))
        later.push({ topic, sequence });
    },
    end() {
      if (later.length === 0) return;
      const [{ topic, sequence }] = later;
      const others = later.length > 1 ? ` (and ${later.length - 1} more)` : "";
      throw new UsageError(
        `${topic} offers sequence ${sequence} already${others}, and ${image.sequence} is not newer: sign this image with a ` +
          "greater sequence; nothing was published.",
      );
    },
  };
}

/** Look at what is retained: delete from a copy of `wanted` what is there as it should be, and return what is not. */
async function look(
  broker: Broker,
  { filters, messages }: Wanted,
  quietMs: number,
  onOther: (topic: string, payload: Buffer) => void = () => {},
): Promise<Map<string, Buffer>> {
  const missing = new Map(messages);
  if (missing.size === 0) return missing;
  await broker.look(filters, quietMs, (topic, payload) => {
    if (messages.get(topic)?.equals(payload)) missing.delete(topic);
    else onOther(topic, payload);
    return missing.size === 0;
  });
  return missing;
}

/** Have the broker hold what is wanted. */
async function settle(
  broker: Broker,
  wanted: Wanted,
  step: "pieces" | "manifests",
  { perSecond, patienceMs = PATIENCE_MS, isHalted, onProgress }: PublishOptions,
  refuse?: Refusal,
): Promise<Published> {
  const of = wanted.messages.size;
  onProgress?.("look", 0, of);
  const missing = await look(broker, wanted, QUIET_MS, refuse?.onOther);
  refuse?.end();
  const found = of - missing.size;
  let done = found;
  onProgress?.(step, done, of);
  const messages = function* () {
    for (const [topic, payload] of missing) {
      if (isHalted?.()) return;
      yield { topic, payload };
    }
  };
  await broker.publish(messages(), { perSecond, onDone: () => onProgress?.(step, ++done, of) });
  if (missing.size > 0 && !isHalted?.()) {
    const filters = wanted.filters.length > 1 ? [...missing.keys()] : wanted.filters;
    const lost = await look(broker, { filters, messages: missing }, patienceMs);
    if (lost.size > 0)
      throw new DeviceError(
        `${broker.about} acknowledged ${lost.size} messages and did not keep them, ${[...lost.keys()][0]} for one: may this ` +
          "operator publish there, and is there a limit to what is retained?",
      );
  }
  return { written: missing.size, found };
}
