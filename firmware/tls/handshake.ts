// The handshake of TLS 1.2 with a pre-shared key, client side (RFC 5246, 7.4; RFC 4279, 2), as a section: its code and
// state are dropped when the session stands. States are named by what they expect. Leaves out resumption, client
// certificates and the identity hint, which RFC 4279, 5.2 lets a client skip.
import { RUNNING, update } from "hal:digest";
import { flash } from "hal:flash";
import type { Socket } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { difference, uint16 } from "../bytes";
import { random } from "../crypto/ctr_drbg";
import { falseStart } from "../profile";
import { DECODE_ERROR, DECRYPT_ERROR, NO_KEY, SENT, UNEXPECTED_MESSAGE } from "./alert";
import { clientHello } from "./client_hello";
import {
  CHANGE_CIPHER_SPEC,
  FINISHED,
  HANDSHAKE,
  HELLO_REQUEST,
  SERVER_HELLO,
  SERVER_HELLO_DONE,
  SERVER_KEY_EXCHANGE,
} from "./constants";
import { send } from "./record";

/** Longest handshake message that is waited for, bytes with its header: none of a PSK flight needs half of it. */
const MESSAGE_LIMIT = 512;

/**
 * Send the ClientHello to `transport` and return the port that takes every later record of the handshake: content
 * type and plaintext in; out: 0 to go on, else the session stands and the number is the longest plaintext, bytes,
 * that the server takes in a record (negative: under falseStart, that we may write already). Both throw NO_KEY or SENT plus the alert.
 */
export default function handshake(transport: Socket): (type: number, fragment: Bytes) => number {
  const identity: Bytes | undefined = JSON.parse(flash.read("conf") || "{}").id;
  if (!identity || (flash.read("key") || "").length !== 16) throw NO_KEY;
  let clientRandom = random(32);
  let serverRandom = "";
  let transcript = clientHello(clientRandom);
  transport.write(E.toString(HANDSHAKE, 3, 1, 0, transcript.length, transcript));
  if (RUNNING) transcript = update(32, "", transcript);
  /** Bytes of handshake messages that are not whole yet. */
  let pending = "";
  /** The HandshakeType that must come next, or CHANGE_CIPHER_SPEC below 0. */
  let expected = SERVER_HELLO;
  /** What server_hello.ts says was agreed. */
  let agreed = 0;
  /** verify_data that the server's Finished must carry. */
  let verifyData = "";

  return (type, fragment) => {
    if (type === CHANGE_CIPHER_SPEC) {
      if (expected !== -CHANGE_CIPHER_SPEC || pending || fragment !== "\x01") throw SENT + UNEXPECTED_MESSAGE;
      expected = FINISHED;
      return 0;
    }
    if (type !== HANDSHAKE || !fragment) throw SENT + UNEXPECTED_MESSAGE;
    pending += fragment;
    while (pending.length > 3) {
      const message = pending.charCodeAt(0);
      const length = 4 + uint16(pending, 2);
      if (pending.charCodeAt(1) || length > MESSAGE_LIMIT) throw SENT + DECODE_ERROR;
      if (message !== expected && message !== HELLO_REQUEST) {
        // the ServerKeyExchange may come or not (RFC 4279, 2)
        if (expected !== SERVER_KEY_EXCHANGE || message !== SERVER_HELLO_DONE) throw SENT + UNEXPECTED_MESSAGE;
        expected = SERVER_HELLO_DONE;
      }
      if (pending.length < length) break;
      const body = pending.substr(0, length);
      pending = pending.substr(length);
      if (message === HELLO_REQUEST) {
        // ignored while a handshake is under way, and no part of the transcript (RFC 5246, 7.4.1.1)
        if (length > 4) throw SENT + DECODE_ERROR;
        continue;
      }
      if (message === FINISHED) {
        if (length !== 16) throw SENT + DECODE_ERROR;
        if (difference(body.substr(4), verifyData)) throw SENT + DECRYPT_ERROR;
        if (pending) throw SENT + UNEXPECTED_MESSAGE;
        return agreed >> 10;
      }
      transcript = RUNNING ? update(32, transcript, body) : E.toString(transcript, body);
      if (message === SERVER_HELLO) {
        agreed = section(import("./server_hello"))(body);
        serverRandom = body.substr(6, 32);
        expected = SERVER_KEY_EXCHANGE;
      } else if (message === SERVER_KEY_EXCHANGE) {
        // opaque psk_identity_hint<0..2^16-1>: its length must fit, its bytes are skipped
        if (length < 6 || uint16(body, 4) !== length - 6) throw SENT + DECODE_ERROR;
        expected = SERVER_HELLO_DONE;
      } else {
        // ServerHelloDone is empty and ends the flight
        if (length > 4) throw SENT + DECODE_ERROR;
        if (pending) throw SENT + UNEXPECTED_MESSAGE;
        /* struct { opaque psk_identity<0..2^16-1>; } ClientKeyExchange; */
        const exchange = E.toString(16, 0, 0, 2 + identity.length, 0, identity.length, identity);
        transcript = RUNNING ? update(32, transcript, exchange) : E.toString(transcript, exchange);
        send(transport, HANDSHAKE, exchange);
        verifyData = section(import("./key_schedule"))(transcript, clientRandom, serverRandom, agreed);
        clientRandom = serverRandom = transcript = "";
        send(transport, CHANGE_CIPHER_SPEC, "\x01");
        send(transport, HANDSHAKE, verifyData.substr(0, 16));
        verifyData = verifyData.substr(16);
        expected = -CHANGE_CIPHER_SPEC;
        if (falseStart) return -(agreed >> 10);
      }
    }
    return 0;
  };
}
