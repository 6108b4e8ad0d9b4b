/*
 * A TLS PSK server on 127.0.0.1 that can be told to misbehave at every step, for tests: the session of tls12/server_session.ts or
 * tls13/server_session.ts behind node:net, with the ways in which TCP itself can go wrong (bytes in pieces, a
 * stall or an end at any byte). Honest where it is not told otherwise; never a server for real use.
 */
import { createServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Conduct, ServerSession } from "./tls12/server_session";
import { type Conduct13, ServerSession13 } from "./tls13/server_session";

/** What happens to a session's bytes on the way. */
export interface Wire {
  /** Send in TCP pieces of this many bytes, or of as many as the function says each time. */
  pieces?: number | (() => number);
  /** Send this many bytes, then nothing more, with the connection left open. */
  stallAfter?: number;
  /** Send this many bytes and end the connection. */
  endAfter?: number;
  /** End with a reset (RST) instead of FIN. */
  reset?: boolean;
  /** Change what is sent; `offset` is that of its first byte in all that is sent. */
  wire?(bytes: Buffer, offset: number): Buffer;
}

/** A conduct under TLS 1.2, and the same under TLS 1.3. */
export interface WireConduct extends Conduct, Wire {}
export interface WireConduct13 extends Conduct13, Wire {}

/** A connection with a session of one of the two. */
export interface Connection<S = ServerSession> {
  session: S;
  socket: Socket;
  /** Every byte that went out. */
  sent: Buffer;
  /** Settles when the TCP connection is closed on both sides. */
  closed: Promise<void>;
}

export interface ScriptedServer<S = ServerSession, C = WireConduct> {
  port: number;
  connections: Connection<S>[];
  /** Wait for the nth connection, counted from 0. */
  connection(nth: number): Promise<Connection<S>>;
  /** Change what the connections to come will meet. */
  conduct: C;
  stop(): Promise<void>;
}

type Make<S, C> = (conduct: C, onSend: (bytes: Buffer) => void, onEnd: () => void) => S;

/** Start a scripted server of TLS 1.2 on a free port of 127.0.0.1. */
export function startScriptedServer(conduct: WireConduct): Promise<ScriptedServer> {
  return start(conduct, (...args) => new ServerSession(...args));
}

/** Start one of TLS 1.3. */
export function startScriptedServer13(
  conduct: WireConduct13,
): Promise<ScriptedServer<ServerSession13, WireConduct13>> {
  return start(conduct, (...args) => new ServerSession13(...args));
}

async function start<S extends { receive(bytes: Buffer): void }, C extends Wire>(
  conduct: C,
  make: Make<S, C>,
): Promise<ScriptedServer<S, C>> {
  const waiting: (() => void)[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    scripted.connections.push(serve(socket, scripted.conduct, make));
    for (const wake of waiting.splice(0)) wake();
  });
  const scripted: ScriptedServer<S, C> = {
    port: 0,
    connections: [],
    conduct,
    async connection(nth) {
      while (scripted.connections.length <= nth) await new Promise<void>((resolve) => waiting.push(resolve));
      return scripted.connections[nth];
    },
    async stop() {
      for (const { socket } of scripted.connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  scripted.port = (server.address() as { port: number }).port;
  return scripted;
}

function serve<S extends { receive(bytes: Buffer): void }, C extends Wire>(
  socket: Socket,
  conduct: C,
  make: Make<S, C>,
): Connection<S> {
  const limit = Math.min(conduct.stallAfter ?? Infinity, conduct.endAfter ?? Infinity);
  let sending = Promise.resolve();
  let offset = 0;

  function queue(bytes: Buffer): void {
    const changed = conduct.wire?.(bytes, offset) ?? bytes;
    const room = Math.max(0, limit - offset);
    offset += changed.length;
    const allowed = changed.subarray(0, room);
    connection.sent = Buffer.concat([connection.sent, allowed]);
    const { pieces } = conduct;
    sending = sending.then(async () => {
      for (let at = 0, size = 0; at < allowed.length && !socket.destroyed; at += size) {
        size = typeof pieces === "function" ? pieces() : (pieces ?? allowed.length);
        await new Promise((resolve) => socket.write(allowed.subarray(at, at + size), resolve));
        if (pieces) await nextTurn();
      }
    });
    if (offset >= (conduct.endAfter ?? Infinity)) finish();
  }

  function finish(): void {
    if (conduct.stallAfter !== undefined && offset >= conduct.stallAfter) return;
    sending = sending.then(() => {
      if (conduct.reset) socket.resetAndDestroy();
      else socket.end();
    });
  }

  const connection: Connection<S> = {
    session: make(conduct, queue, finish),
    socket,
    sent: Buffer.alloc(0),
    closed: new Promise((resolve) => socket.on("close", () => resolve())),
  };
  socket.on("data", (bytes) => connection.session.receive(bytes));
  socket.on("end", () => socket.end());
  socket.on("error", () => {});
  if (conduct.endAfter === 0) finish();
  return connection;
}

/** Start a TCP server that is no TLS server at all: it answers every piece with what `answer` returns. */
export async function startPlainServer(
  answer: (bytes: Buffer, socket: Socket) => Buffer | undefined,
): Promise<{ port: number; received: Buffer[]; stop(): Promise<void> }> {
  const sockets: Socket[] = [];
  const received: Buffer[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      received.push(bytes);
      const reply = answer(bytes, socket);
      if (reply && !socket.destroyed) socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    received,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
