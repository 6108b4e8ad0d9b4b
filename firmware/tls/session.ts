// A TLS session over one TCP connection; socket.ts puts the face of Espruino's own net socket on it.
// `onTransport` is the only way in, for bytes and all else that TCP and timers bring; what it catches goes to `shutdown`
// and is one integer (alert.ts). One session at a time. All but that one function are sections. Leaves out renegotiation
// (RFC 5746: refused with no_renegotiation).
import type { Socket } from "../../hal/hal";
import {
  STEP_FINISHED,
  STEP_HELLO,
  STEP_IDLE,
  STEP_KEY_EXCHANGE,
  STEP_MQTT,
  STEP_NOISE,
  STEP_TCP,
} from "../app/steps";
import type { Bytes } from "../bytes";
import { falseStart } from "../profile";
import {
  CLOSE_NOTIFY,
  DECODE_ERROR,
  INTERNAL_ERROR,
  NO_RENEGOTIATION,
  NO_SERVER,
  RECEIVED,
  SENT,
  TIMEOUT,
  TRUNCATED,
  UNEXPECTED_MESSAGE,
} from "./alert";
import { ALERT, APPLICATION_DATA, FINISHED, HANDSHAKE } from "./constants";
import { BEGIN, expected, FINISH, GO_ON, KEY_EXCHANGE } from "./handshake";
import { contentType, keep, outgoing } from "./record";

/**
 * What a session tells whoever opened it, each in a turn of its own: null when it stands; application data; a code when
 * it is over, 0 or one of alert.ts. One function and no emitter: listeners are heap (socket.ts has them).
 */
export type SessionEvent = null | Bytes | number;

/** Where a server is. */
export interface Server {
  host: string;
  port: number;
}

// without a value they are undefined: a value is bytes, and on the heap some are a variable
/** The TCP socket under the session; undefined: none was asked for yet; 0: it is being asked for. */
let transport: Socket | 0 | undefined;
/** Who takes the session's events; undefined: there is no session. */
let port: ((event: any) => void) | undefined;
/** Timer of the handshake's next step. */
let next: any;
/** Whether a turn for what TCP brought is set. */
let queued: boolean;
/** Whether records are the handshake's. */
let shaking: boolean;
/** Whether the application may write. */
export let stands: boolean;
/** The step at which the last session ended (steps.ts). */
export let failedAt: number;

/**
 * Take what TCP and the timers bring: bytes, in pieces of any size, which are worked through in a turn of their own, when
 * the event that brought them is off the heap; null: that turn; that it is closed, a boolean; else the handshake goes on.
 */
function onTransport(event?: unknown): void {
  try {
    if (typeof event === "string") {
      keep(event);
      if (!queued) setTimeout(onTransport, 0, null);
      queued = true;
    } else if (event === null || event === !!event) {
      queued = false;
      // a record is opened from here, and not from the section that takes it: there is a frame less on the heap then
      for (
        let fragment: Bytes | undefined;
        port && (fragment = section(import("./record")).receiveRecord()) !== undefined;
      )
        section(import("./session")).receive(fragment);
      // what came before the end counts
      if (event !== null) throw event;
    } else section(import("./session")).advance(event);
  } catch (error) {
    section(import("./session")).shutdown(error);
  }
}

/**
 * End the session and tell why: 0, a code of alert.ts, or a boolean: TCP is closed, by the server without close_notify,
 * or it never opened. An Error says the same where there is TCP: a write to a closed one throws. Sends the code's alert,
 * close_notify where it has none, nothing after an alert received; wipes the keys, closes TCP and tells the code.
 */
export function shutdown(cause: unknown): void {
  const ended = port;
  if (!ended) return;
  const code =
    cause === +(cause as number)
      ? cause
      : cause !== !!cause && !transport
        ? SENT + INTERNAL_ERROR
        : shaking || stands
          ? TRUNCATED
          : NO_SERVER;
  const tcp = transport;
  failedAt = section(import("./session")).progress();
  port = transport = undefined; // first of all: whatever comes in from here on finds no session
  // and this before what may run out of memory, or nobody would try again
  setTimeout(ended, 0, code);
  if (tcp) {
    try {
      // what TCP still brings is for no session, least of all for the next
      tcp.removeAllListeners();
      // level fatal and the alert, or level warning and close_notify
      if (code < RECEIVED || code > SENT)
        section(import("./record")).send(tcp, ALERT, code > SENT ? E.toString(2, code) : "\x01\0");
      tcp.end();
    } catch (_) {
      // TCP is closed already
    }
  }
  section(import("./record")).wipe();
  shaking = stands = false;
  if (next) next = clearTimeout(next);
}

/** Tell the step where the session stands (steps.ts), STEP_IDLE where there is none. */
export function progress(): number {
  if (!port) return STEP_IDLE;
  if (!shaking) return stands ? STEP_MQTT : transport === undefined ? STEP_NOISE : STEP_TCP;
  // FINISHED, or CHANGE_CIPHER_SPEC below 0: both are 20
  if (expected * expected === FINISHED * FINISHED) return STEP_FINISHED;
  return expected < 0 ? STEP_KEY_EXCHANGE : STEP_HELLO;
}

/** Take the plaintext of a record, its type in `contentType`. */
export function receive(fragment: Bytes): void {
  if (contentType === ALERT) {
    if (fragment.length !== 2) throw SENT + DECODE_ERROR;
    const alert = fragment.charCodeAt(1);
    if (alert === CLOSE_NOTIFY && !shaking) throw 0;
    if (alert === CLOSE_NOTIFY || fragment.charCodeAt(0) !== 1) throw RECEIVED + alert;
  } else if (shaking) section(import("./session")).advance(contentType, fragment);
  else if (contentType === APPLICATION_DATA) {
    if (fragment) setTimeout(port as () => void, 0, fragment);
  } else if (contentType === HANDSHAKE && fragment === "\0\0\0\0") {
    // a HelloRequest: we decline with a warning and the session lives (RFC 5246, 7.2.2)
    section(import("./record")).send(transport as Socket, ALERT, E.toString(1, NO_RENEGOTIATION));
  } else throw SENT + UNEXPECTED_MESSAGE;
}

/** Send what `put` has put there, in records, as soon as the session stands; where there is none it is dropped. */
export function flush(): void {
  if (!port) section(import("./record")).wipe();
  while (stands && outgoing) section(import("./record")).send(transport as Socket, APPLICATION_DATA);
}

/** Take a step of the handshake: TCP is open (`step` is no number), a record came, or the last step asked to go on. */
export function advance(step?: unknown, fragment?: Bytes): void {
  if (!transport) return;
  let type = (step as number) | BEGIN;
  shaking = true;
  if (type === KEY_EXCHANGE) {
    section(import("./handshake"))(transport, type, "");
    // not from within the handshake: its frame and this one's would be on the heap together
    fragment = section(import("./key_schedule"))();
    type = FINISH;
  }
  const result = section(import("./handshake"))(transport, type, fragment as Bytes);
  next = 0;
  if (result === GO_ON) next = setTimeout(onTransport, 0, KEY_EXCHANGE);
  else if (result) {
    // under falseStart the session stands for us with our second flight already
    if (!falseStart || type !== FINISH) shaking = false;
    if (!stands && port) {
      stands = true;
      section(import("./session")).flush();
      setTimeout(port, 0, null);
    }
  }
}

/**
 * Open a session to a server: TCP, then the handshake with the key and identity that are provisioned. `onEvent` takes
 * what it tells; `put` and `flush` write to it, `shutdown(0)` ends it. A session that is open is closed first. What this throws
 * is for `shutdown` too.
 */
export function connect(server: Server, onEvent: (event: any) => void): void {
  section(import("./session")).shutdown(0);
  port = onEvent;
  // fresh noise for every session, tested before a byte of it is used
  section(import("../crypto/ctr_drbg")).seed();
  transport = 0;
  transport = section(import("hal:tcp_socket")).tcpConnect(server.host, server.port, onTransport);
}

/** End the attempt with TIMEOUT, if no session stands yet. The caller has the clock: a timer more is heap. */
export function timeOut(): void {
  if (!stands || shaking) section(import("./session")).shutdown(TIMEOUT);
}

/** Tell the TCP socket under the session. */
export function transportSocket(): Socket | 0 | undefined {
  return transport;
}
