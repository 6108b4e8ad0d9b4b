// A TLS session over one TCP connection; socket.ts puts the face of Espruino's own net socket on it.
// `onTransport` is the only way in, for bytes and all else that TCP and timers bring; what it catches goes to `shutdown`
// and is one integer (alert.ts). One session at a time. All but that one function are sections. Leaves out renegotiation
// (RFC 5746: refused with no_renegotiation).
import { tcpConnect } from "hal:tcp_socket";
import type { Server, Socket } from "../../hal/hal";
import { ATTEMPT } from "../app/event";
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
import { AKEP2, EPOCHS, falseStart, TLS_1_3 } from "../profile";
import {
  CLOSE_NOTIFY,
  DECODE_ERROR,
  ILLEGAL_PARAMETER,
  INTERNAL_ERROR,
  NO_RENEGOTIATION,
  NO_SERVER,
  OUT_OF_MEMORY,
  RECEIVED,
  SENT,
  TIMEOUT,
  TRUNCATED,
  UNEXPECTED_MESSAGE,
} from "./alert";
import { ALERT, APPLICATION_DATA, FATAL, FINISHED, HANDSHAKE, USER_CANCELED, WARNING } from "./constants";
import { expected } from "./handshake";
import { BEGIN, FINISH, GO_ON, KEY_EXCHANGE } from "./handshake_steps";
import { outgoing } from "./outgoing";
import { contentType, incoming, keep } from "./record";
import { IS_SMALL } from "./tidy";

/** What a session tells whoever opened it, an event each: it stands. */
export const SESSION_STANDS = -1;
/**
 * Application data waits in the record layer, whose `take` gives it. Told record by record, within the turn: what is taken and
 * used up at once is off the heap before the next record is opened.
 */
export const SESSION_DATA = -2;
/** It is over, or could not be had; comes with 0 or a code of alert.ts. */
export const SESSION_ENDED = -3;

/** All that was written is on its way, and `sending` is over. */
export const SESSION_DRAINED = -4;

/** Who takes a session's events. One function and no emitter: listeners are heap (socket.ts has them). */
export type OnSession = (event: any, code?: number) => void;

// without a value they are undefined: a value is bytes, and on the heap some are a variable
/** The TCP socket under the session; undefined: none was asked for yet; 0: it is being asked for. */
let transport: Socket | 0 | undefined;
/** Who takes the session's events; undefined: there is no session. */
let port: OnSession | undefined;
/** Timer of the handshake's next step. */
let next: any;
/** Whether a turn for what TCP brought is set. */
let queued: boolean;
/** Whether what TCP and the timers bring is worked on. */
let busy: boolean;
/**
 * Whether what was written last is still on its way: who writes more fills a queue without a bound. Undefined: no longer, and who
 * wrote it is still to be told.
 */
export let sending: boolean | undefined;
/** Whether records are the handshake's. */
let shaking: boolean;
/** Whether the application may write. */
export let stands: boolean;
/** The step at which the last session ended (steps.ts). */
export let failedAt: number;
/** Weight of the records in a row that brought nothing. */
let idle: number;
/** Bytes of HelloRequests that came since the handshake. */
let requested: number;

/** As many empty records in a row are taken, and a warning counts as eight of them: BoringSSL's 32 and 4. */
const IDLE_LIMIT = 32;
const WARNING_WEIGHT = 8;

/** The turn in which what TCP brought is worked through; KEY_EXCHANGE is the other one. */
const TURN = 0;

/**
 * Take what TCP and the timers bring: bytes, in pieces of any size; the turn in which they are worked through; a boolean: TCP is
 * closed; the handshake's turn; TCP's socket: it is open, or, where it is no longer the session's, to be closed. One function,
 * for each costs heap as long as the device runs: the build makes it of those that follow.
 */
function onTransport(event?: unknown): void {
  try {
    // what runs out of memory cannot be caught: it ends there, amid its turn
    if (busy) throw OUT_OF_MEMORY;
    busy = true;
    if (typeof event === "string") bytes(event);
    else if (event === TURN || typeof event === "boolean") {
      turn();
      // what came before the end counts
      if (event !== TURN) throw shaking || stands ? TRUNCATED : NO_SERVER;
    } else proceed(event as Socket);
    busy = false;
  } catch (error) {
    busy = false;
    section(import("./session")).shutdown(error);
  }
}

/** TCP has brought bytes: they are worked through in a turn of their own, when the event that brought them is off the heap. */
function bytes(data: Bytes): void {
  if (IS_SMALL) section(import("./tidy")).tidy();
  keep(data);
  if (!queued) setTimeout(onTransport, 0, TURN);
  queued = true;
}

/** Work through what TCP has brought, record by record: each is off the heap before the next is opened ("in its turn"). */
function turn(): void {
  queued = false;
  // opened from here, and not from the section that takes it up ("a frame less")
  while (port) {
    // here, where the least stands on the heap that cannot be moved; the handshake's key schedule does it itself
    if (IS_SMALL && stands) section(import("./tidy")).tidy();
    if (!section(import("./record")).receiveRecord()) break;
    if (section(import("./session")).receive()) port(SESSION_DATA);
  }
  // what came of them, when all are off the heap
  section(import("./session")).drain();
  if (!sending) section(import("./session")).flush();
}

/** Tell that all is on its way; not while records wait to be opened: what comes of it would be on the heap beside them. */
export function drain(): void {
  if (sending !== undefined || !stands || !port) return;
  sending = false;
  port(SESSION_DRAINED);
}

/** Go on in a turn of the session's own: the handshake; TCP is open; or a socket's end that was put off. */
function proceed(event: Socket | number): void {
  if (event === KEY_EXCHANGE) section(import("./session")).advance(KEY_EXCHANGE);
  else if (event === transport) {
    // it is open, or all that was written is on its way
    if (!shaking && !stands) section(import("./session")).advance(BEGIN);
    sending = undefined;
    if (!queued) section(import("./session")).drain();
  } else {
    section(import("./session")).flush();
    (event as Socket).end();
  }
}

/**
 * End the session and tell why: 0, a code of alert.ts, or an Error of our own code, which is INTERNAL_ERROR, its place on the
 * console. Sends the code's alert, close_notify where it has none, nothing after an alert received; wipes the keys, closes TCP
 * and tells the code.
 */
export function shutdown(cause: unknown): void {
  const ended = port;
  if (!ended) return;
  const tcp = transport;
  const code = codeOf(cause, tcp);
  failedAt = section(import("./session")).progress();
  port = transport = undefined; // first of all: whatever comes in from here on finds no session
  busy = sending = shaking = stands = false;
  if (next) next = clearTimeout(next);
  // and these before what may run out of memory: or keys and TCP would stay, and nobody would try again
  if (tcp) setTimeout(onTransport, 0, tcp);
  setTimeout(ended, 0, SESSION_ENDED, code);
  if (tcp) sayLast(tcp, code);
}

/** The code that a session ends with. */
function codeOf(cause: unknown, tcp: Socket | 0 | undefined): number {
  // the turn that should have come to this was cut short
  if (cause === TIMEOUT && busy) return OUT_OF_MEMORY;
  // minus an alert: it is to be sent; other events of the application are above these
  if (typeof cause === "number") return cause < ATTEMPT ? SENT - cause : cause;
  try {
    if (tcp) tcp.write("");
    print((cause as Error).stack);
    return SENT + INTERNAL_ERROR;
  } catch (_) {
    return TRUNCATED; // a write to a TCP that is closed, of which nothing has told yet
  }
}

/** Send the alert that belongs to a code: close_notify where it has none, nothing after an alert received. */
function sayLast(tcp: Socket, code: number): void {
  try {
    // what TCP still brings is for no session, least of all for the next, and would pile up where nobody takes it
    tcp.removeAllListeners();
    tcp.on("data", parseInt);
    // a close_notify received is answered (RFC 5246, 7.2.1)
    if (code > SENT || code <= RECEIVED + CLOSE_NOTIFY)
      section(import("./record")).send(
        tcp,
        ALERT,
        code > SENT ? E.toString(FATAL, code) : E.toString(WARNING, CLOSE_NOTIFY),
      );
  } catch (_) {
    // TCP is closed already, or what protects the alert fails
  }
}

/** Tell the step where the session stands (steps.ts), STEP_IDLE where there is none. */
export function progress(): number {
  if (!port) return STEP_IDLE;
  if (!shaking) return stands ? STEP_MQTT : transport === undefined ? STEP_NOISE : STEP_TCP;
  // FINISHED, or CHANGE_CIPHER_SPEC below 0: both are 20
  if (expected * expected === FINISHED * FINISHED) return STEP_FINISHED;
  return expected < 0 ? STEP_KEY_EXCHANGE : STEP_HELLO;
}

/** Take up the record that is open (record.ts). Returns whether what it brought is the application's. */
export function receive(): boolean | undefined {
  if (!shaking && contentType === APPLICATION_DATA) {
    if (incoming) idle = 0;
    else count(1);
    return !!incoming;
  }
  if (contentType === ALERT) alerts();
  else if (shaking) {
    idle = 0;
    section(import("./session")).advance(contentType, section(import("./record")).take());
  } else if (TLS_1_3) {
    // tickets and new keys
    count(WARNING_WEIGHT);
    section(import("./handshake"))(transport as Socket, contentType, section(import("./record")).take());
  } else if (!AKEP2) helloRequests();
}

/** Take up alerts, one or more in a record (RFC 5246, 6.2.1 and 7.2). */
function alerts(): void {
  const fragment = section(import("./record")).take();
  if (!fragment || fragment.length & 1) throw -DECODE_ERROR;
  for (let i = 0; i < fragment.length; i += 2) {
    const level = fragment.charCodeAt(i);
    const description = fragment.charCodeAt(i + 1);
    if (level < WARNING || level > FATAL) throw -ILLEGAL_PARAMETER;
    // close_notify is the end of a session, but no end for a handshake
    // in TLS 1.3 the level says nothing (RFC 8446, 6)
    if (description === CLOSE_NOTIFY || level === FATAL || (TLS_1_3 && description !== USER_CANCELED))
      throw description || shaking ? RECEIVED + description : 0;
    count(WARNING_WEIGHT);
  }
}

/**
 * Take up HelloRequests, four zeros each, in records as they please: we decline with a warning and the session lives (RFC
 * 5246, 7.2.2 and 7.4.1.1).
 */
function helloRequests(): void {
  const fragment = section(import("./record")).take();
  if (contentType !== HANDSHAKE || !fragment || fragment !== "\0".repeat(fragment.length))
    throw -UNEXPECTED_MESSAGE;
  requested += fragment.length;
  if (requested < 4) return;
  requested &= 3;
  count(WARNING_WEIGHT);
  section(import("./record")).send(transport as Socket, ALERT, E.toString(WARNING, NO_RENEGOTIATION));
}

/** Count a record that brings nothing: an honest server sends few of them in a row. */
function count(weight: number): void {
  idle += weight;
  if (idle > IDLE_LIMIT) throw -UNEXPECTED_MESSAGE;
}

/** Send what `put` has put there in a turn of the session's own: for whoever is not within an event. */
export function flushSoon(): void {
  if (!queued) setTimeout(onTransport, 0, TURN);
  queued = true;
}

/** Tell whoever takes the events of the session that stands one of his own, with what belongs to it, in a turn of its own. */
export function tellSoon(event: number, what: any): void {
  setTimeout(port as OnSession, 0, event, what);
}

/** Send what `put` has put there, in records, as soon as the session stands; where there is none it is dropped. */
export function flush(): void {
  if (!port) section(import("./record")).wipe();
  while (stands && outgoing) {
    sending = true;
    section(import("./record")).send(transport as Socket, APPLICATION_DATA);
  }
}

/** Take a step of the handshake: of its own, or of a record of type `step` and plaintext `fragment`. */
export function advance(step: number, fragment?: Bytes): void {
  if (!transport) return;
  let type = step;
  shaking = true;
  if (type === KEY_EXCHANGE) {
    section(import("./handshake"))(transport, type, "");
    // not from within the handshake: its frame and this one's would be on the heap together
    fragment = section(import("./key_schedule"))();
    type = FINISH;
  }
  const result = section(import("./handshake"))(transport, type, fragment as Bytes);
  next = 0;
  // what came behind the message that the keys were made for
  if (TLS_1_3 && type === FINISH) setTimeout(onTransport, 0, TURN);
  if (result === GO_ON) next = setTimeout(onTransport, 0, KEY_EXCHANGE);
  else if (result) {
    // under falseStart the session stands for us with our second flight already
    if (!falseStart || type !== FINISH) shaking = false;
    if (!stands && port) {
      stands = true;
      section(import("./session")).flush();
      setTimeout(port, 0, SESSION_STANDS);
    }
  }
}

/**
 * Open a session to a server: TCP, then the handshake with the key and identity that are provisioned. `onEvent` takes
 * what it tells; `put` and `flush` write to it, `shutdown(0)` ends it. A session that is open is closed first. What this throws
 * is for `shutdown` too.
 */
export function connect(server: Server, onEvent: OnSession): void {
  section(import("./session")).shutdown(0);
  section(import("./record")).wipe();
  if (EPOCHS) section(import("../store/tree")).overwrite();
  idle = requested = 0;
  port = onEvent;
  // fresh noise for every session, tested before a byte of it is used
  section(import("../crypto/ctr_drbg")).seed();
  transport = 0;
  transport = tcpConnect(server, onTransport);
}

/** End the attempt with TIMEOUT, if no session stands yet. The caller has the clock: a timer more is heap. */
export function timeOut(): void {
  if (!stands || shaking) section(import("./session")).shutdown(TIMEOUT);
}
