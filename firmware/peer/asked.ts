// The device that is commanded by another one, as sections: it gives a nonce, takes the ticket in which that comes back with a key and the
// other's identity, proves that it has the key, and obeys. A section that takes a message says whether it did.
import type { Bytes } from "../bytes";
import { name, payload } from "../mqtt/client";
import { TICKET_LABEL } from "../store/derived_key";
import { PRODUCT_COMMAND } from "../tls/alert";
import { TAG } from "./box";
import { ASKED, ASKER, KEY, MESSAGE, NONCE, NONCE_LENGTH, offered, setOffered } from "./session";

/** Longest identity, bytes. */
const IDENTITY_LIMIT = 64;

/** Give a nonce to who wants to command us; the last one who asked may bring a ticket. */
export function hello(): unknown {
  /* HELLO, Na (11), identity */
  const other = payload.substr(1 + NONCE_LENGTH);
  if (
    other.length > IDENTITY_LIMIT ||
    other.substr(other.indexOf(".")) !== section(import("./messages")).identityEnd(name.substr(11))
  )
    return;
  const id = section(import("../store/settings")).readSettings().id as Bytes;
  const both = E.toString(other, 0, id);
  let nonce = offered.substr(NONCE_LENGTH, NONCE_LENGTH);
  // a hello that comes twice has one nonce
  if (payload.substr(1, NONCE_LENGTH) + nonce + both !== offered) {
    nonce = section(import("../crypto/ctr_drbg")).random(NONCE_LENGTH);
    setOffered(payload.substr(1, NONCE_LENGTH) + nonce + both);
  }
  section(import("../mqtt/client")).publish(
    name.substr(6),
    E.toString(
      NONCE,
      nonce,
      section(import("./box")).seal(
        E.toString(section(import("../store/derived_key")).derivedKey(TICKET_LABEL), NONCE, nonce),
        offered,
        "",
      ),
      id,
    ),
    0,
  );
  return true;
}

/** Take a ticket, with the proof of who brings it, and give our own. A nonce serves once. */
export function ticket(): unknown {
  /* TICKET, Ns (11), the key's box (32), the tag of the asker's message number 0, which is empty */
  if (!offered) return;
  const key = section(import("./box")).open(
    section(import("../store/derived_key")).derivedKey(TICKET_LABEL) + payload.substr(0, 1 + NONCE_LENGTH),
    offered,
    payload.substr(1 + NONCE_LENGTH, KEY + TAG),
  );
  if (
    !key ||
    section(import("./box")).open(
      E.toString(key, MESSAGE + ASKER, { data: 0, count: 11 }),
      offered,
      payload.substr(1 + NONCE_LENGTH + KEY + TAG),
    ) === undefined
  )
    return;
  section(import("./session")).begin(ASKED, key, offered);
  setOffered("");
  return section(import("./asked")).send("");
}

/** Carry out a command, and answer it whatever comes of it. */
export function obey(): unknown {
  let text = section(import("./session")).opened(ASKED, payload);
  if (text === undefined) return;
  let answer: Bytes | number | undefined;
  const what = text.substr(1, text.charCodeAt(0));
  text = text.substr(1 + text.charCodeAt(0));
  try {
    answer = section(import("product")).command(what, text);
  } catch (_) {
    section(import("../app/application")).report(PRODUCT_COMMAND);
    answer = PRODUCT_COMMAND;
  }
  text = typeof answer === "number" ? '{"err":' + answer + "}" : answer || "";
  return section(import("./asked")).send(E.toString(what.length, what, text));
}

/** Send to whoever a message has come from. */
export function send(text: Bytes): unknown {
  return section(import("../mqtt/client")).publish(
    name.substr(6),
    section(import("./session")).sealed(ASKED, text),
    0,
  );
}
