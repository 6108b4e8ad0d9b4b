// Publishing an update: its pieces once for all devices, then each device's manifest, with new keys behind it or without,
// retained. What the broker has already is found by looking first (retained.ts), so that the same again changes nothing and a
// broken run goes on; what was sent is looked at again, because brokers acknowledge what their rules then throw away.
// Leaves out: who gets it when (rollout.ts).
import { DeviceError, UsageError } from "../cli/exit";
import { type Broker, delay } from "./broker";
import { type ImageFields, manifestTopic, piecesPrefix, sequenceOf } from "./manifest";
import { look } from "./retained";
import type { Manifests } from "./sign";
import type { Update } from "./update_file";

/** Gets how many of how many are done. */
export type OnProgress = (
  step: "look" | "pieces" | "manifests" | "messages" | "confirmed",
  done: number,
  of: number,
) => void;

export interface PublishOptions {
  /** Manifests a second: every device that is connected begins at once when its own comes. */
  perSecond?: number;
  /** How long the broker may take to keep what it has acknowledged, milliseconds. */
  patienceMs?: number;
  /** Asked before each message: true, and no more go out. */
  isHalted?(): boolean;
  /** Asked of each row of manifests: true, and it need not be there any more. */
  isGone?(row: number): boolean;
  onProgress?: OnProgress;
}

/** What was written, and what was there already. */
export interface Published {
  written: number;
  found: number;
}

const PATIENCE_MS = 10_000;
/** Between two looks at what the broker should have kept, milliseconds. */
const AGAIN_MS = 250;
const EMPTY = Buffer.alloc(0);

/** A message that the broker shall hold on a topic. */
interface Wanted {
  payload: Buffer;
  /** Row of a manifest in its file. */
  row?: number;
}

/** Publish the pieces of an update. Throws DeviceError where the broker does not keep them. */
export function publishPieces(
  broker: Broker,
  update: Pick<Update, "product" | "digest" | "pieces">,
  options: PublishOptions = {},
): Promise<Published> {
  const prefix = piecesPrefix(update);
  const wanted = new Map(update.pieces.map((payload, n) => [`${prefix}${n}`, { payload }]));
  return settle(broker, wanted, "pieces", { ...options, perSecond: undefined });
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
  return settle(broker, wantedManifests(manifests, options.rows), "manifests", options, manifests.image);
}

/** Look whether any of these devices is offered this sequence or a later one already; throws as publishManifests does. */
export async function refuseRollback(
  broker: Broker,
  manifests: Manifests,
  options: Pick<PublishOptions, "onProgress"> & { rows?: readonly number[] } = {},
): Promise<void> {
  await lookFor(broker, wantedManifests(manifests, options.rows), options, manifests.image);
}

/** Take the manifests of an update away from devices, by serial; one of another update that is there instead stays. */
export async function clearManifests(
  broker: Broker,
  { product, sequence }: { product: string; sequence: number },
  serials: readonly string[],
): Promise<number> {
  const topics = serials.map((serial) => manifestTopic(product, serial));
  return takeAway(broker, topics, (_topic, payload) => {
    const there = sequenceOf(payload);
    return there === undefined || there === sequence; // what is no manifest is of no use to anyone
  });
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
  const wanted = wantedManifests(rekeys, rows);
  return takeAway(broker, [...wanted.keys()], (topic, payload) =>
    (wanted.get(topic) as Wanted).payload.equals(payload),
  );
}

/** Have the broker hold these messages, by topic. Throws DeviceError where it does not keep them. */
export function publishRetained(
  broker: Broker,
  messages: ReadonlyMap<string, Buffer>,
  options: PublishOptions = {},
): Promise<Published> {
  const wanted = new Map([...messages].map(([topic, payload]) => [topic, { payload }]));
  return settle(broker, wanted, "messages", options);
}

/** Take away what is ours on these topics, and see that it has gone. Returns how many were there. */
export async function takeAway(
  broker: Broker,
  topics: readonly string[],
  isOurs: (topic: string, payload: Buffer) => boolean,
): Promise<number> {
  const ours = async (among: readonly string[]) => {
    const found = new Set<string>();
    const onFound = (topic: string, payload: Buffer) => {
      if (isOurs(topic, payload)) found.add(topic);
      else found.delete(topic);
    };
    await look(broker, among, onFound, { isPatient: true });
    return [...found];
  };
  const there = await ours(topics);
  await broker.publish(there.map((topic) => ({ topic, payload: EMPTY })));
  const [kept] = await ours(there);
  if (kept !== undefined)
    throw new DeviceError(`${broker.about} acknowledged that ${kept} is empty and kept what was there.`);
  return there.length;
}

function wantedManifests(manifests: Manifests, rows?: readonly number[]): Map<string, Wanted> {
  const { product } = manifests.image;
  const wanted = new Map<string, Wanted>();
  for (const row of rows ?? Array.from({ length: manifests.count }, (_, i) => i))
    wanted.set(manifestTopic(product, manifests.identity(row).serial), {
      payload: manifests.manifest(row),
      row,
    });
  return wanted;
}

/**
 * Look which of these messages are not there. With `image` they are its manifests: throws UsageError where one of another
 * content lies there that is of its sequence or a later one.
 */
async function lookFor(
  broker: Broker,
  wanted: ReadonlyMap<string, Wanted>,
  { onProgress }: Pick<PublishOptions, "onProgress">,
  image?: ImageFields,
): Promise<Map<string, Wanted>> {
  const missing = new Map(wanted);
  const later = new Map<string, number>();
  const onFound = (topic: string, payload: Buffer) => {
    if (wanted.get(topic)?.payload.equals(payload)) missing.delete(topic);
    else if (image) {
      const sequence = sequenceOf(payload);
      if (sequence !== undefined && sequence >= image.sequence) later.set(topic, sequence);
    }
  };
  await look(broker, [...wanted.keys()], onFound, {
    isPatient: image !== undefined,
    onProgress: (done, of) => onProgress?.("look", done, of),
  });
  const [first] = later;
  if (image && first) {
    const [topic, sequence] = first;
    const others = later.size > 1 ? ` (and ${later.size - 1} more)` : "";
    throw new UsageError(
      `${topic} offers sequence ${sequence} already${others}, and ${image.sequence} is not newer: sign this image with a ` +
        "greater sequence; nothing was published.",
    );
  }
  return missing;
}

/** Have the broker hold what is wanted. Begins anew where the connection broke meanwhile: the broker may have lost it all. */
async function settle(
  broker: Broker,
  wanted: Map<string, Wanted>,
  step: "pieces" | "manifests" | "messages",
  options: PublishOptions,
  image?: ImageFields,
): Promise<Published> {
  const { perSecond, patienceMs = PATIENCE_MS, isHalted, isGone, onProgress } = options;
  const of = wanted.size;
  const written = new Set<string>();
  const stillWanted = (messages: ReadonlyMap<string, Wanted>) =>
    new Map([...messages].filter(([, { row }]) => row === undefined || !isGone?.(row)));
  for (let connection = -1; connection !== broker.connections; ) {
    connection = broker.connections;
    const missing = stillWanted(await lookFor(broker, stillWanted(wanted), options, image));
    let done = of - missing.size;
    onProgress?.(step, done, of);
    const messages = function* () {
      for (const [topic, { payload, row }] of missing) {
        if (isHalted?.()) return;
        if (row !== undefined && isGone?.(row)) continue;
        written.add(topic);
        yield { topic, payload };
      }
    };
    await broker.publish(messages(), { perSecond, onDone: () => onProgress?.(step, ++done, of) });
    const deadlineMs = performance.now() + patienceMs;
    for (let lost = missing; ; await delay(AGAIN_MS)) {
      if (isHalted?.()) break;
      lost = await lookFor(broker, stillWanted(lost), {}, undefined);
      lost = stillWanted(lost);
      if (lost.size === 0 || connection !== broker.connections || isHalted?.()) break;
      if (performance.now() < deadlineMs) continue;
      throw new DeviceError(
        `${broker.about} acknowledged ${lost.size} messages and did not keep them, ${[...lost.keys()][0]} for one: may this ` +
          "operator publish there, and is there a limit to what is retained?",
      );
    }
    if (isHalted?.()) break;
  }
  return { written: written.size, found: of - written.size };
}
