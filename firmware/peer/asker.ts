// The device that commands another one, as sections: it asks that one for a nonce, the ticket service for a key with it, gives it the ticket
// with a proof, and waits for the other's proof. Then it sends commands, one at a time. A section that takes a message says whether it did.
import { hasAnswer } from "product";
import type { Bytes } from "../bytes";
import { name, payload } from "../mqtt/client";
import { TICKET_LABEL } from "../store/derived_key";
import { PRODUCT_COMMAND } from "../tls/alert";
import { TAG } from "./box";
import {
  ANSWER,
  ASKED,
  ASKER,
  contexts,
  HELLO,
  KEY,
  MESSAGE,
  MESSAGE_HEAD,
  NONCE,
  NONCE_LENGTH,
  REQUEST,
  STANDS,
  setStage,
  setWanted,
  stage,
  TICKET,
  TOLD,
  wanted,
} from "./session";

/** So long a command may wait for its answer, and for its session, seconds. */
const PATIENCE_S = 30;
/** When the last command was told, by getTime(). */
let toldAt: number;

/** Tell a device of our product, by its serial, a command (product/device.ts). */
export function tell(serial: Bytes, what: Bytes, text: Bytes): boolean {
  const now = getTime();
  if (stage && stage < STANDS && now < toldAt + PATIENCE_S) return false;
  toldAt = now;
  setWanted(E.toString(what.length, what, text));
  const end = section(import("./messages")).identityEnd(serial);
  if (stage === STANDS && contexts[ASKER].substr(-end.length) === end)
    section(import("./asker")).send(serial);
  else {
    const nonce = section(import("../crypto/ctr_drbg")).random(NONCE_LENGTH);
    section(import("./session")).begin(ASKER, "", nonce + end);
    setStage(NONCE);
    section(import("../mqtt/client")).publish(
      "peer/" + serial,
      E.toString(HELLO, nonce, section(import("../store/settings")).readSettings().id as Bytes),
      0,
    );
  }
  return true;
}

/** Send the command that waits. */
export function send(serial: Bytes): void {
  setStage(TOLD);
  section(import("../mqtt/client")).publish(
    "peer/" + serial,
    section(import("./session")).sealed(ASKER, wanted),
    0,
  );
  setWanted("");
}

/** Take the other's nonce: ask the service for a ticket. */
export function nonce(): unknown {
  /* NONCE, Nb (11), tag (16), identity */
  const context = contexts[ASKER];
  const other = payload.substr(1 + NONCE_LENGTH + TAG);
  if (stage !== NONCE || other.substr(other.indexOf(".")) !== context.substr(NONCE_LENGTH)) return;
  const nonces = context.substr(0, NONCE_LENGTH) + payload.substr(1, NONCE_LENGTH);
  const both = E.toString(section(import("../store/settings")).readSettings().id as Bytes, 0, other);
  contexts[ASKER] = nonces + both;
  setStage(ANSWER);
  section(import("../mqtt/client")).publish(
    "ticket",
    E.toString(REQUEST, nonces, payload.substr(1 + NONCE_LENGTH, TAG), both),
    0,
  );
  return true;
}

/** Take the service's answer: hand the ticket on, with our proof. */
export function answer(): unknown {
  /* ANSWER, Ns (11), a box with the key (16) and the ticket: its box for the other device (32) */
  const context = contexts[ASKER];
  const head = payload.substr(0, 1 + NONCE_LENGTH);
  if (stage !== ANSWER) return;
  const text = section(import("./box")).open(
    section(import("../store/derived_key")).derivedKey(TICKET_LABEL) + head,
    context,
    payload.substr(1 + NONCE_LENGTH),
  );
  if (!text) return;
  section(import("./session")).begin(ASKER, text.substr(0, KEY), context);
  setStage(MESSAGE + ASKED);
  section(import("../mqtt/client")).publish(
    "peer/" + context.substr(context.lastIndexOf(".") + 1),
    E.toString(
      TICKET,
      head.substr(1),
      text.substr(KEY),
      section(import("./session")).sealed(ASKER, "").substr(MESSAGE_HEAD),
    ),
    0,
  );
  return true;
}

/** Take a message of the other's: its proof, or what it answers to a command. */
export function message(): unknown {
  const text = section(import("./session")).opened(ASKER, payload);
  if (text === undefined) return;
  const isProof = stage !== TOLD;
  setStage(STANDS);
  if (isProof) section(import("./asker")).send(name.substr(11));
  else if (hasAnswer)
    try {
      section(import("product")).answer(
        text.substr(1, text.charCodeAt(0)),
        text.substr(1 + text.charCodeAt(0)),
      );
    } catch (_) {
      section(import("../app/application")).report(PRODUCT_COMMAND);
    }
  return true;
}
