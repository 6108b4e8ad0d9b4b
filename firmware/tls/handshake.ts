// The handshake of TLS 1.2 with a pre-shared key, client side (RFC 5246, 7.4; RFC 4279, 2), as a section: its code and
// state are dropped when the session stands. States are named by what they expect. Leaves out resumption, client
// certificates and the identity hint, which RFC 4279, 5.2 lets a client skip.
import { RUNNING, update } from "hal:digest";
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { EPOCHS, falseStart } from "../profile";
import { DECODE_ERROR, DECRYPT_ERROR, NO_KEY, UNEXPECTED_MESSAGE } from "./alert";
import {
  CHANGE_CIPHER_SPEC,
  FINISHED,
  HANDSHAKE,
  HELLO_REQUEST,
  SERVER_HELLO,
  SERVER_HELLO_DONE,
  SERVER_KEY_EXCHANGE,
} from "./constants";
import { BEGIN, FINISH, GO_ON, STANDS } from "./handshake_steps";

/** Longest handshake message that is taken, bytes: a ServerHello needs a tenth of it, an identity hint may be long. */
const MESSAGE_LIMIT = 2048;

/** The client's random and then the server's, 32 bytes each; "" where the transcript holds them. */
export let randoms: Bytes;
/** Digest state of the handshake messages so far. */
export let transcript: Bytes;
/** Bytes of handshake messages that are not whole yet. */
let pending: Bytes;
/** Bytes of a ServerKeyExchange that are still to come. */
let passOver: number;
/** The HandshakeType that must come next, or CHANGE_CIPHER_SPEC below 0. */
export let expected: number;
/** verify_data that the server's Finished must carry. */
let verifyData: Bytes | undefined;

/** Let go of the transcript. */
export function dropTranscript(): void {
  (transcript as unknown) = undefined;
}

/**
 * Take one step of the handshake: BEGIN sends the ClientHello, KEY_EXCHANGE the ClientKeyExchange; FINISH takes what
 * key_schedule.ts returned and sends the rest of our flight; any other `step` is the content type of a record that came
 * and `fragment` its plaintext. Returns 0, GO_ON or STANDS. Throws NO_KEY, or minus the alert that is to be sent.
 */
export default function handshake(transport: Socket, step: number, fragment: Bytes): number {
  if (step < FINISH) {
    let identity: Bytes | undefined = section(import("../store/settings")).readSettings().id;
    if (!identity) throw NO_KEY;
    if (step === BEGIN) {
      pending = transcript = "";
      passOver = 0;
      expected = SERVER_HELLO;
      const hello = section(import("./client_hello"))(section(import("../crypto/ctr_drbg")).random(32));
      if (RUNNING) randoms = hello.substr(6, 32);
      transport.write(E.toString(HANDSHAKE, 3, 1, 0, hello.length, hello));
      transcript = RUNNING ? update(32, transcript, hello) : E.toString(transcript, hello);
      return 0;
    }
    if (EPOCHS) identity = section(import("../store/tree")).take(identity);
    /* struct { opaque psk_identity<0..2^16-1>; } ClientKeyExchange; */
    const exchange = E.toString(16, 0, 0, 2 + identity.length, 0, identity.length, identity);
    transcript = RUNNING ? update(32, transcript, exchange) : E.toString(transcript, exchange);
    section(import("./record")).send(transport, HANDSHAKE, exchange);
    return 0;
  }
  if (step === FINISH) {
    if (RUNNING) randoms = "";
    (transcript as unknown) = undefined;
    section(import("./record")).send(transport, CHANGE_CIPHER_SPEC, "\x01");
    section(import("./record")).send(transport, HANDSHAKE, fragment.substr(0, 16));
    verifyData = fragment.substr(16);
    expected = -CHANGE_CIPHER_SPEC;
    return falseStart ? STANDS : 0;
  }
  if (step === CHANGE_CIPHER_SPEC) {
    if (expected !== -CHANGE_CIPHER_SPEC || pending || fragment !== "\x01") throw -UNEXPECTED_MESSAGE;
    expected = FINISHED;
    return 0;
  }
  if (step !== HANDSHAKE || !fragment) throw -UNEXPECTED_MESSAGE;
  pending += fragment;
  for (;;) {
    let type = SERVER_KEY_EXCHANGE;
    if (!passOver) {
      if (pending.length < 4) return 0;
      type = pending.charCodeAt(0);
      const length = 4 + uint16(pending, 2);
      if (type !== expected && type !== HELLO_REQUEST) {
        // the ServerKeyExchange may come or not (RFC 4279, 2)
        if (expected !== SERVER_KEY_EXCHANGE || type !== SERVER_HELLO_DONE) throw -UNEXPECTED_MESSAGE;
        expected = SERVER_HELLO_DONE;
      }
      if (
        pending.charCodeAt(1) ||
        length > MESSAGE_LIMIT ||
        ((type === HELLO_REQUEST || type === SERVER_HELLO_DONE) && length > 4) ||
        (type === FINISHED && length !== 16)
      )
        throw -DECODE_ERROR;
      // all are taken whole, but the ServerKeyExchange: opaque psk_identity_hint<0..2^16-1> is skipped as it comes
      if (pending.length < (type === SERVER_KEY_EXCHANGE ? 6 : length)) return 0;
      if (type === SERVER_KEY_EXCHANGE && uint16(pending, 4) !== length - 6) throw -DECODE_ERROR;
      passOver = length;
    }
    const message = pending.substr(0, passOver);
    pending = pending.substr(passOver);
    passOver -= message.length;
    // ServerHelloDone and Finished end a flight
    if (pending && (type === SERVER_HELLO_DONE || type === FINISHED)) throw -UNEXPECTED_MESSAGE;
    // ignored while a handshake is under way, and no part of the transcript (RFC 5246, 7.4.1.1)
    if (type === HELLO_REQUEST) continue;
    if (type === FINISHED) {
      if (section(import("../bytes")).difference(message.substr(4), verifyData as Bytes))
        throw -DECRYPT_ERROR;
      verifyData = (pending as unknown) = undefined;
      return STANDS;
    }
    transcript = RUNNING ? update(32, transcript, message) : E.toString(transcript, message);
    if (passOver) return 0;
    if (type === SERVER_HELLO_DONE) {
      expected = -1; // nothing may come before our second flight
      return GO_ON;
    }
    expected = SERVER_HELLO_DONE;
    if (type === SERVER_HELLO) {
      section(import("./server_hello"))(message);
      if (RUNNING) randoms += message.substr(6, 32);
      expected = SERVER_KEY_EXCHANGE;
    }
  }
}
