// The device that commands another one, as sections: it asks that one for a nonce, the ticket service for a key with it, gives it the ticket
// with a proof, and waits for the other's proof. Then it sends commands, one at a time. A section that takes a message says whether it refuses it.
// What is told is sent in a turn of its own: whoever tells it, or what has come, is off the heap by then.
import { hasAnswer } from "product";
import { SAY } from "../app/event";
import type { Bytes } from "../bytes";
import { payload } from "../mqtt/client";
import { TICKET_LABEL } from "../store/derived_key";
import { PRODUCT_COMMAND } from "../tls/alert";
import { IS_SMALL } from "../tls/tidy";
import { TAG } from "./box";
import {
  ANSWER,
  ASKED,
  ASKER,
  HELLO,
  KEY,
  MESSAGE,
  MESSAGE_HEAD,
  NONCE,
  NONCE_LENGTH,
  REQUEST,
  TICKET,
} from "./constants";
import { contexts, keys } from "./session";

/** So long a command may wait for its answer, and for its session, seconds. */
const PATIENCE_S = 30;
/** When the last command was told, by getTime(). */
let toldAt: number;
/** What is told when there is a session, or empty. */
export let wanted: Bytes = "";
/** Where we stand: the type of the message that must come next, or one of the following; 0: there is no session. */
export let stage = 0;
/** Both have proved the key: what waits is sent when the messages of a record are used up (app/application.ts). */
export const READY = 8;
/** The answer to a command must come. */
const TOLD = 9;
/** Nothing is under way. */
const STANDS = 10;

/** Forget all of it: the broker is gone. */
export function forget(): void {
  wanted = "";
  stage = 0;
}

/** Take a command for a device of our product, by its serial (product/device.ts). */
export function tell(serial: Bytes, what: Bytes, text: Bytes): boolean {
  const now = getTime();
  if ((wanted || (stage && stage < STANDS)) && now < toldAt + PATIENCE_S) return false;
  toldAt = now;
  wanted = E.toString(what.length, what, text);
  section(import("../tls/session")).tellSoon(SAY, serial);
  return true;
}

/** A command waits: let it be sent, or begin the session for it. */
export function say(_onEvent: unknown, _event: unknown, serial: Bytes): void {
  if (!wanted) return;
  const end = section(import("./messages")).identityEnd(serial);
  section(import("../tls/session")).flushSoon();
  if (stage === STANDS && contexts[ASKER].substr(-end.length) === end) {
    stage = READY;
    return;
  }
  const nonce = section(import("../crypto/ctr_drbg")).random(NONCE_LENGTH);
  section(import("./session")).begin(ASKER, "", nonce + end);
  stage = NONCE;
  section(import("../mqtt/client")).publish(
    "peer/" + serial,
    E.toString(HELLO, nonce, section(import("../store/settings")).readSettings().id as Bytes),
    0,
  );
}

/** Where the other device hears us. */
export function there(): Bytes {
  return "peer/" + contexts[ASKER].substr(contexts[ASKER].lastIndexOf(".") + 1);
}

/** Send the command that waits. */
export function send(): void {
  if (IS_SMALL) section(import("../tls/tidy")).tidy();
  stage = TOLD;
  section(import("./session")).keep(wanted);
  wanted = "";
  const secret = section(import("./session")).secret(ASKER);
  section(import("../mqtt/client")).publish(
    section(import("./asker")).there(),
    secret.substr(KEY, MESSAGE_HEAD) + section(import("./box")).seal(secret, contexts[ASKER]),
    0,
  );
}

/** Take the other's nonce: ask the service for a ticket. */
export function nonce(): unknown {
  /* NONCE, Nb (11), tag (16), identity */
  const context = contexts[ASKER];
  const other = payload.substr(1 + NONCE_LENGTH + TAG);
  if (stage !== NONCE || other.substr(other.indexOf(".")) !== context.substr(NONCE_LENGTH)) return true;
  const nonces = context.substr(0, NONCE_LENGTH) + payload.substr(1, NONCE_LENGTH);
  const both = E.toString(section(import("../store/settings")).readSettings().id as Bytes, 0, other);
  contexts[ASKER] = nonces + both;
  stage = ANSWER;
  section(import("../mqtt/client")).publish(
    "ticket",
    E.toString(REQUEST, nonces, payload.substr(1 + NONCE_LENGTH, TAG), both),
    0,
  );
}

/** Take the service's answer: hand the ticket on, with our proof. */
export function answer(): unknown {
  /* ANSWER, Ns (11), a box with the key (16) and the ticket: its box for the other device (32) */
  if (stage !== ANSWER) return true;
  const head = payload.substr(0, 1 + NONCE_LENGTH);
  const text = section(import("./box")).open(
    section(import("../store/derived_key")).derivedKey(TICKET_LABEL) + head,
    contexts[ASKER],
    section(import("../mqtt/client")).rest(1 + NONCE_LENGTH),
  );
  if (!text) return true;
  // the session has begun with the nonce
  keys[ASKER] = text.substr(0, KEY);
  stage = MESSAGE + ASKED;
  section(import("../mqtt/client")).publish(
    section(import("./asker")).there(),
    E.toString(
      TICKET,
      head.substr(1),
      text.substr(KEY),
      section(import("./box")).seal(section(import("./session")).secret(ASKER), contexts[ASKER]),
    ),
    0,
  );
}

/** Take a message of the other's: its proof, or what it answers to a command. */
export function message(): unknown {
  let text = section(import("./session")).opened(ASKER);
  if (text === undefined) return true;
  // the proof: what waits for it is sent when this is off the heap
  if (stage < READY) stage = READY;
  if (stage !== TOLD) return;
  stage = STANDS;
  if (hasAnswer)
    try {
      const what = text.substr(1, text.charCodeAt(0));
      text = text.substr(1 + text.charCodeAt(0));
      section(import("product")).answer(what, text);
    } catch (_) {
      section(import("../app/application")).report(PRODUCT_COMMAND);
    }
}
