// The device that is commanded by another one, as sections: it gives a nonce, takes the ticket in which that comes back with a key and the
// other's identity, proves that it has the key, and obeys. A section that takes a message says whether it refuses it.
import type { Bytes } from "../bytes";
import { name, payload } from "../mqtt/client";
import { TICKET_LABEL } from "../store/derived_key";
import { PRODUCT_COMMAND } from "../tls/alert";
import { TAG } from "./box";
import { ASKED, ASKER, KEY, MESSAGE, MESSAGE_HEAD, NONCE, NONCE_LENGTH } from "./constants";
import { contexts, offered, setOffered } from "./session";

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
    return true;
  const id = section(import("../store/settings")).readSettings().id as Bytes;
  const both = E.toString(other, 0, id);
  let nonce = offered.substr(NONCE_LENGTH, NONCE_LENGTH);
  // a hello that comes twice has one nonce
  const asker = payload.substr(1, NONCE_LENGTH);
  if (asker + nonce + both !== offered) {
    nonce = section(import("../crypto/ctr_drbg")).random(NONCE_LENGTH);
    setOffered(asker + nonce + both);
  }
  section(import("../mqtt/client")).publish(
    name.substr(6),
    E.toString(
      NONCE,
      nonce,
      section(import("./box")).seal(
        E.toString(section(import("../store/derived_key")).derivedKey(TICKET_LABEL), NONCE, nonce),
        offered,
      ),
      id,
    ),
    0,
  );
}

/** Take a ticket, with the proof of who brings it, and give our own. A nonce serves once. */
export function ticket(): unknown {
  /* TICKET, Ns (11), the key's box (32), the tag of the asker's message number 0, which is empty */
  if (!offered) return true;
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
    return true;
  section(import("./session")).begin(ASKED, key, offered);
  setOffered("");
  section(import("./asked")).send();
}

/** Carry out a command, and answer it whatever comes of it. */
export function obey(): unknown {
  // one variable for all of it ("drop at once")
  let text: any = section(import("./session")).opened(ASKED);
  if (text === undefined) return true;
  const what = text.substr(1, text.charCodeAt(0));
  text = text.substr(1 + what.length);
  try {
    text = section(import("product")).command(what, text);
  } catch (_) {
    section(import("../app/application")).report(PRODUCT_COMMAND);
    text = PRODUCT_COMMAND;
  }
  section(import("./session")).keep(
    E.toString(what.length, what, typeof text === "number" ? '{"err":' + text + "}" : text || ""),
  );
  text = 0;
  section(import("./asked")).send();
}

/** Send what is kept to whoever a message has come from. */
export function send(): void {
  const secret = section(import("./session")).secret(ASKED);
  section(import("../mqtt/client")).publish(
    name.substr(6),
    secret.substr(KEY, MESSAGE_HEAD) + section(import("./box")).seal(secret, contexts[ASKED]),
    0,
  );
}
