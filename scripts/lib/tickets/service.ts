// The ticket service: from a request to its answer, and what of one device's `up/` goes to another one's `down/`. It keeps nothing between two
// messages: who asks again gets another key. Leaves out the broker (carrier.ts) and the list's file.
import { randomBytes } from "node:crypto";
import { UsageError } from "../cli/exit";
import { type FleetList, isLetIn } from "../gateway/fleet_list";
import type { Identity } from "../keys/identity";
import { KEY_LENGTH, type Label } from "../keys/kdf";
import { ticketKey } from "../keys/peer_keys";
import { strongKey } from "../keys/weak_keys";
import { buildAnswer, NONCE, NONCE_LENGTH, open, parseRequest } from "./messages";

/** What the service needs of the master `psk`. */
export interface Keys {
  deviceKey(identity: Identity, label: Label): Buffer;
}

/** Who may command whom, by serials: an asker's, or `*`, and an asked one's, or `*`. */
export type Pairs = readonly (readonly [asker: string, asked: string])[];

export interface Rules {
  /** Who gets no ticket, and is in none; the fleet's key version. */
  list: FleetList;
  /** Undefined: each device of a product may command each other one. */
  pairs?: Pairs;
}

/** A ticket that was made: whose, and for whom. */
export interface Issued {
  asker: Identity;
  asked: Identity;
  answer: Buffer;
}

/** Answer a request that came from a device, by its topic. Throws UsageError with the reason why not. */
export function issue(keys: Keys, rules: Rules, product: string, serial: string, bytes: Buffer): Issued {
  const request = parseRequest(bytes);
  const { asker, asked } = request;
  // the broker's word, and no proof: an answer is of use to the asker alone
  if (asker.product !== product || asker.serial !== serial)
    throw new UsageError(`it came from ${product}/${serial}, and is ${asker.text}'s.`);
  if (asked.product !== product) throw new UsageError(`${asked.text} is of another product.`);
  if (asked.serial === serial) throw new UsageError("a device wants a ticket for itself.");
  for (const identity of [asker, asked])
    if (!isLetIn(rules.list, identity)) throw new UsageError(`${identity.text} is denied.`);
  const fits = (rule: string, name: string) => rule === "*" || rule === name;
  if (rules.pairs && !rules.pairs.some(([from, to]) => fits(from, serial) && fits(to, asked.serial)))
    throw new UsageError(`no pair lets ${asker.text} command ${asked.text}.`);
  const keyOf = (identity: Identity) => {
    const key = strongKey(keys.deviceKey(identity, "peer"), `the peer key of ${identity.text}`);
    const derived = ticketKey(key);
    key.fill(0);
    return derived;
  };
  const askedKey = keyOf(asked);
  // the nonce comes from the device that is asked, by its own tag: a key that it never asked for is of no use to anybody
  if (!open(askedKey, NONCE, request.nonce, request.context, request.tag)) {
    askedKey.fill(0);
    throw new UsageError(`its nonce is none that ${asked.text} has given to ${asker.text}.`);
  }
  const askerKey = keyOf(asker);
  const session = randomBytes(KEY_LENGTH);
  const answer = buildAnswer(
    request,
    { asker: askerKey, asked: askedKey, session },
    randomBytes(NONCE_LENGTH),
  );
  for (const key of [askedKey, askerKey, session]) key.fill(0);
  return { asker, asked, answer };
}

/** What a device has published: a request, or a message that goes to another one. */
export interface Published {
  product: string;
  serial: string;
  /** The topic under which the other device hears it; undefined: a request. */
  to?: string;
}

/**
 * Parse the topic of what a device has published: `up/ticket`, or `up/peer/<serial>`, which goes to that device, from this one. Undefined: it is
 * neither. No part is longer than an identity may be.
 */
export function parseTopic(topic: string): Published | undefined {
  const [all, product, serial, to] =
    /^([^/]{1,64})\/([^/]{1,64})\/up\/(?:ticket|peer\/([^/]{1,64}))$/.exec(topic) ?? [];
  if (all === undefined) return undefined;
  return { product, serial, to: to === undefined ? undefined : `${product}/${to}/down/peer/${serial}` };
}
