// The handshake of TLS 1.3 with a pre-shared key and psk_ke, client side (RFC 8446, 4), as a section, and what may come after it: tickets,
// which are passed over, and new keys (4.6). States are named by what they expect. Leaves out key shares, early data, certificates,
// and a second ClientHello: a HelloRetryRequest ends the session with what the server wanted (server_hello.ts).
import { finish, RUNNING, update } from "hal:digest";
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { DECODE_ERROR, DECRYPT_ERROR, NO_KEY, UNEXPECTED_MESSAGE } from "../tls/alert";
import { CHANGE_CIPHER_SPEC, FINISHED, HANDSHAKE, SERVER_HELLO } from "../tls/constants";
import { BEGIN, FINISH, GO_ON, KEY_EXCHANGE, STANDS } from "../tls/handshake_steps";
import { ENCRYPTED_EXTENSIONS, KEY_UPDATE, NEW_SESSION_TICKET } from "./handshake_types";
import { AT_FINISHED, CLIENT, keys, SERVER, setKeys } from "./keys";
import { AT_FINISHED_KEY, secrets } from "./secrets";

/** Longest handshake message that is taken, bytes: tickets are the longest, and passed over as they come. */
const MESSAGE_LIMIT = 2048;

/** Digest state of the handshake messages so far. */
export let transcript: Bytes;
/** Bytes of handshake messages that are not whole yet. */
let pending: Bytes;
/** Bytes of a NewSessionTicket that are still to come. */
let passOver: number;
/** The HandshakeType that must come next; below 0: nothing, keys are made first; 0: the session stands. */
export let expected: number;
/** Whether a change_cipher_spec has come: for middle boxes, it says nothing (D.4). */
let isChanged: boolean;

/** Add a message to the transcript. */
function hashed(message: Bytes): void {
  transcript = RUNNING ? update(32, transcript, message) : E.toString(transcript, message);
}

/**
 * Take one step of the handshake: BEGIN sends the ClientHello; FINISH takes what key_schedule.ts returned, twice, and the second time sends
 * our Finished; any other `step` is the content type of a record that came and `fragment` its plaintext. Returns 0, GO_ON or
 * STANDS. Throws NO_KEY, or minus the alert that is to be sent.
 */
export default function handshake(transport: Socket, step: number, fragment: Bytes): number {
  if (step === BEGIN) {
    const identity: Bytes | undefined = section(import("../store/settings")).readSettings().id;
    if (!identity) throw NO_KEY;
    pending = transcript = "";
    passOver = 0;
    isChanged = false;
    expected = SERVER_HELLO;
    section(import("./secrets")).ready();
    const hello = section(import("./client_hello"))(
      section(import("../crypto/ctr_drbg")).random(32),
      identity,
    );
    hashed(hello);
    // 4.2.11.2
    const binders =
      "\0\x21\x20" +
      section(import("../crypto/hmac")).hmac(
        32,
        section(import("../crypto/hmac")).hmacKey(32, secrets.substr(AT_FINISHED_KEY)),
        E.toString(finish(32, transcript)),
      );
    hashed(binders);
    const length = hello.length + binders.length;
    transport.write(E.toString(HANDSHAKE, 3, 1, length >> 8, length, hello, binders));
    return 0;
  }
  if (step === KEY_EXCHANGE) return 0;
  if (step === FINISH) {
    const isLast = keys;
    if (isLast) {
      section(import("./record")).send(transport, HANDSHAKE, fragment.substr(AT_FINISHED));
      fragment = fragment.substr(0, AT_FINISHED);
    }
    setKeys(fragment);
    section(import("./record")).restart(CLIENT);
    section(import("./record")).restart(SERVER);
    expected = isLast ? 0 : ENCRYPTED_EXTENSIONS;
    if (!isLast) return 0;
    (transcript as unknown) = undefined;
    return STANDS;
  }
  if (step === CHANGE_CIPHER_SPEC) {
    if (!expected || isChanged || pending || fragment !== "\x01") throw -UNEXPECTED_MESSAGE;
    isChanged = true;
    return 0;
  }
  if (step !== HANDSHAKE || !fragment) throw -UNEXPECTED_MESSAGE;
  pending += fragment;
  for (;;) {
    let type = NEW_SESSION_TICKET;
    if (!passOver) {
      if (pending.length < 4) return 0;
      type = pending.charCodeAt(0);
      if (expected ? type !== expected : type !== NEW_SESSION_TICKET && type !== KEY_UPDATE)
        throw -UNEXPECTED_MESSAGE;
      const length = 4 + uint16(pending, 2);
      if (
        pending.charCodeAt(1) ||
        length > MESSAGE_LIMIT ||
        (type === FINISHED && length !== 36) ||
        (type === KEY_UPDATE && length !== 5)
      )
        throw -DECODE_ERROR;
      if (pending.length < length && type !== NEW_SESSION_TICKET) return 0;
      passOver = length;
    }
    const message = pending.substr(0, passOver);
    pending = pending.substr(passOver);
    passOver -= message.length;
    if (passOver) return 0;
    if (type === NEW_SESSION_TICKET) continue;
    // keys change only between two records (5.1)
    if (pending && type !== ENCRYPTED_EXTENSIONS) throw -UNEXPECTED_MESSAGE;
    if (type === KEY_UPDATE) {
      section(import("./key_update")).keyUpdate(transport, message);
      return 0;
    }
    if (type === FINISHED) {
      const pads = section(import("../crypto/hmac")).hmacKey(32, keys.substr(AT_FINISHED + 32));
      const verifyData = section(import("../crypto/hmac")).hmac(32, pads, E.toString(finish(32, transcript)));
      if (section(import("../bytes")).difference(message.substr(4), verifyData)) throw -DECRYPT_ERROR;
    }
    if (type === SERVER_HELLO) section(import("./server_hello"))(message);
    if (type === ENCRYPTED_EXTENSIONS) section(import("./encrypted_extensions"))(message);
    hashed(message);
    if (type !== ENCRYPTED_EXTENSIONS) {
      expected = -1; // nothing may come before the keys
      return GO_ON;
    }
    expected = FINISHED;
  }
}
