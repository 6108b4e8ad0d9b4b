// A TLS session over one TCP connection, behind the face of Espruino's own net socket (socket.ts has all of it).
// `receive` is the only way in for bytes and holds the only catch; what fails is one integer (alert.ts). One session
// at a time. Leaves out renegotiation (RFC 5746: refused with no_renegotiation).
import { tcpConnect } from "hal:tcp_socket";
import type { Socket } from "../../hal/hal";
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
import { ALERT, APPLICATION_DATA, HANDSHAKE } from "./constants";
import { BEGIN, GO_ON, KEY_EXCHANGE } from "./handshake";
import { put, receiveRecord, send, wipe } from "./record";

/** What `connect` gives; socket.ts makes it whole for applications. */
export interface TlsSocket {
  on(event: string, listener: (value: any) => void): void;
}

/** The TCP socket under the session. */
let transport: Socket | 0 | undefined = 0;
/** What the application holds; 0: there is no session. */
let socket: any = 0;
/** Whether records are the handshake's. */
let shaking = false;
/** Bytes received that are no whole record yet. */
let input: Bytes = "";
/** Longest plaintext of a record that we write, bytes; 0 until the application may write. */
let writeLimit = 0;

/**
 * End the session and tell why: 0, a code of alert.ts, what a catch caught, or a boolean: TCP is closed, by the server
 * without close_notify, or it never opened. Sends the code's alert, close_notify
 * where it has none, nothing after an alert received; wipes the keys, closes TCP; emits `error` with the code unless
 * it is 0, and `close` with the code.
 */
export function shutdown(cause: unknown): void {
  if (!socket) return;
  const code =
    typeof cause === "number"
      ? cause
      : typeof cause !== "boolean"
        ? SENT + INTERNAL_ERROR
        : shaking || writeLimit
          ? TRUNCATED
          : NO_SERVER;
  const ended = socket;
  const tcp = transport;
  socket = transport = 0; // first of all: whatever comes in from here on finds no session
  if (tcp) {
    try {
      // level fatal and the alert, or level warning and close_notify
      if (code < RECEIVED || code > SENT) send(tcp, ALERT, code > SENT ? E.toString(2, code) : "\x01\0");
      tcp.end();
    } catch (_) {
      // TCP is closed already
    }
  }
  wipe();
  shaking = false;
  writeLimit = 0;
  input = "";
  if (code) ended.emit("error", code);
  ended.emit("close", code);
}

/** Take what TCP brought: any bytes, in pieces of any size. */
function receive(data: Bytes): void {
  try {
    input = input ? E.toString(input, data) : data;
    while (socket && input.length > 4) {
      const fragment = receiveRecord(input);
      if (fragment === undefined) break;
      const type = input.charCodeAt(0);
      input = input.substr(((input.charCodeAt(3) << 8) | input.charCodeAt(4)) + 5);
      if (type === ALERT) {
        if (fragment.length !== 2) throw SENT + DECODE_ERROR;
        const alert = fragment.charCodeAt(1);
        if (alert === CLOSE_NOTIFY && !shaking) {
          socket.emit("end");
          shutdown(0);
        } else if (alert === CLOSE_NOTIFY || fragment.charCodeAt(0) !== 1) throw RECEIVED + alert;
      } else if (shaking) advance(type, fragment);
      else if (type === APPLICATION_DATA) {
        if (fragment) socket.emit("data", fragment);
      } else if (type === HANDSHAKE && fragment === "\0\0\0\0") {
        // a HelloRequest: we decline with a warning and the session lives (RFC 5246, 7.2.2)
        send(transport as Socket, ALERT, E.toString(1, NO_RENEGOTIATION));
      } else throw SENT + UNEXPECTED_MESSAGE;
    }
  } catch (error) {
    shutdown(error);
  }
}

/**
 * Send application data, in records of at most the agreed length. What is written waits in TCP's queue. Nothing is sent
 * where no session stands.
 */
export function transmit(data: Bytes): void {
  while (writeLimit && data) {
    put(data.length > writeLimit ? data.substr(0, writeLimit) : data);
    data = data.substr(writeLimit);
    send(transport as Socket, APPLICATION_DATA);
  }
}

/** Take a step of the handshake: TCP is open (`step` is no number), a record came, or the last step asked to go on. */
function advance(step: unknown, fragment: Bytes): void {
  if (!transport) return;
  try {
    const type = typeof step === "number" ? step : BEGIN;
    shaking = true;
    const limit = section(import("./handshake"))(transport, type, fragment);
    if (limit === GO_ON) setTimeout(advance, 0, KEY_EXCHANGE);
    else if (limit) {
      // under falseStart the session stands for us with our second flight already
      if (!falseStart || type !== KEY_EXCHANGE) shaking = false;
      if (!writeLimit) {
        writeLimit = limit;
        socket.emit("connect", socket);
      }
    }
  } catch (error) {
    shutdown(error);
  }
}

/**
 * Open a session to a server: TCP, then the handshake with the key and identity that are provisioned. Returns the
 * socket, which emits connect, data, end, error (with a code of alert.ts) and close; `transmit`
 * writes to it, `shutdown(0)` ends it. A session that is open is closed first.
 */
export function connect(options: { host: string; port: number }): TlsSocket {
  shutdown(0);
  const opened: any = {};
  socket = opened;
  try {
    // fresh noise for every session, tested before a byte of it is used
    section(import("../crypto/ctr_drbg_seed"))();
    transport = tcpConnect(options.host, options.port, advance, receive, shutdown);
  } catch (error) {
    // in a turn of its own: an event reaches the listeners that are there when it is emitted
    setTimeout(shutdown, 0, error);
  }
  return opened;
}

/** End the attempt with TIMEOUT, if no session stands yet. The caller has the clock: a timer more is heap. */
export function timeOut(): void {
  if (!writeLimit || shaking) shutdown(TIMEOUT);
}

/** Tell the TCP socket under the session. */
export function transportSocket(): Socket | 0 | undefined {
  return transport;
}
