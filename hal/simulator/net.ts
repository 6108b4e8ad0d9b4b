// Espruino's `net` library (jswrap_net, socketserver) for clients, over node:net, with what it gives and no
// more: binary strings of at most a chunk, write that always returns false and sends a Uint8Array as decimal
// text, drain, events through the queue. Its traps: a late `data` listener, a callback together with
// on('connect'), connect that throws. Unlike a board, which waits in connect() and throws when the server
// refuses, this closes a turn later; `refuse` makes it throw. Leaves out servers, UDP, pipe and TLS.
import { connect, type Socket as NodeSocket } from "node:net";
import { binary } from "./bytes";
import type { Counters } from "./counters";
import { addEventMethods, type Emitters, type EventLoop } from "./events";

const ERROR_UNSENT = -8;
const ERROR_NO_ROUTE = -4;
const ERROR_NOT_FOUND = -6;
const ERROR_RESET = -9;
/** Most bytes that wait for a late listener (jswrap_stream). */
const BACKLOG_LIMIT = 512;
/** Received bytes over which TCP is told to wait. */
const RECEIVE_HIGH = 65536;

export interface NetFaults {
  /** connect() throws at once, as on a chip without a free socket or when the server refuses. */
  refuse?: boolean;
  /** Names that DNS does not know; true: none is known. */
  unknownHosts?: string[] | true;
}

export interface NetHost {
  loop: EventLoop;
  emitters: Emitters;
  counters: Counters;
  chunk: number;
  faults: NetFaults;
  online(): boolean;
  onWire(direction: "out" | "in", bytes: Buffer): void;
}

/** The sockets of a board. */
export class Net {
  private sockets = new Set<BoardSocket>();

  constructor(private host: NetHost) {
    host.emitters.onListener = (target, event) => {
      for (const socket of this.sockets) if (socket.face === target) socket.listenerAdded(event);
    };
  }

  library(): Record<string, unknown> {
    return { connect: (options: unknown, callback?: unknown) => this.connect(options, callback) };
  }

  /** The link is gone, or the power: every socket closes without a word to the other side's application. */
  closeAll(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  private connect(options: unknown, callback: unknown): object | undefined {
    if (typeof options !== "object" || options === null) throw new Error("Expecting Options to be an Object");
    if (callback !== undefined && typeof callback !== "function")
      throw new Error("Expecting Callback Function");
    const { host = "127.0.0.1", port } = options as { host?: string; port?: number };
    if (!this.host.online()) throw new Error("Not connected to the internet");
    const { refuse, unknownHosts } = this.host.faults;
    if (unknownHosts === true || unknownHosts?.includes(String(host)))
      throw new Error("Unable to locate host");
    if (refuse) throw new Error("Unable to create socket");
    const socket = new BoardSocket(this.host, callback as (() => void) | undefined, () =>
      this.sockets.delete(socket),
    );
    this.sockets.add(socket);
    socket.open(String(host), Number(port) & 0xffff);
    return socket.face;
  }
}

class BoardSocket {
  /** What the board's code holds. */
  readonly face: object = {};
  private tcp: NodeSocket | undefined;
  private opened = false;
  private closed = false;
  /** end() was called: closes when all is sent. */
  private closing = false;
  private unsent = 0;
  private received = Buffer.alloc(0);
  private deliveryQueued = false;
  private stash: string | undefined;
  private connectListeners = 0;
  private finished = false;
  /**
   * More than the backlog waited for a late listener: it gets the same chunk in every turn until new data
   * come.
   */
  private overrun = false;

  constructor(
    private host: NetHost,
    private callback: (() => void) | undefined,
    private gone: () => void,
  ) {
    Object.assign(this.face, {
      write: (data: unknown) => this.write(data),
      end: (data?: unknown) => this.end(data),
    });
    addEventMethods(this.face, host.emitters);
  }

  open(host: string, port: number): void {
    const tcp = connect({ host, port, noDelay: true, allowHalfOpen: true });
    this.tcp = tcp;
    tcp.on("connect", () => this.host.loop.queue(() => this.connected()));
    tcp.on("data", (bytes: Buffer) => {
      this.host.counters.bytesIn += bytes.length;
      this.host.onWire("in", bytes);
      this.received = Buffer.concat([this.received, bytes]);
      this.overrun = false;
      if (this.received.length > RECEIVE_HIGH) tcp.pause();
      this.queueDelivery();
    });
    tcp.on("end", () => this.peerClosed(0));
    tcp.on("error", (error: NodeJS.ErrnoException) => {
      // an open socket that fails reads as closed; one that never opened has a reason
      const reasons: Record<string, number> = { ENOTFOUND: ERROR_NOT_FOUND, EHOSTUNREACH: ERROR_NO_ROUTE };
      this.peerClosed(this.opened ? 0 : (reasons[error.code ?? ""] ?? ERROR_RESET));
    });
  }

  destroy(): void {
    this.closed = true;
    this.tcp?.destroy();
  }

  listenerAdded(event: string): void {
    if (event === "connect") this.connectListeners++;
    if (event === "data" && this.stash !== undefined) {
      const stash = this.stash;
      this.stash = undefined;
      this.host.emitters.emit(this.face, "data", stash);
      if (this.received.length) this.queueDelivery();
    }
  }

  private connected(): void {
    if (this.closed) return;
    this.opened = true;
    const { emitters, loop } = this.host;
    if (!this.callback) emitters.emit(this.face, "connect", this.face);
    else if (!this.connectListeners) {
      const callback = this.callback as (socket: object) => void;
      loop.queue(() => callback.call(this.face, this.face));
    }
    if (!this.unsent) emitters.emit(this.face, "drain", this.face);
  }

  private queueDelivery(): void {
    if (this.deliveryQueued) return;
    this.deliveryQueued = true;
    this.host.loop.queue(() => {
      this.deliveryQueued = false;
      this.deliver();
    });
  }

  /** Give one chunk of what was received to the listener, or keep it for a late one. */
  private deliver(): void {
    if (this.closed || !this.received.length) return;
    const text = this.received.toString("latin1", 0, this.host.chunk);
    if (this.host.emitters.has(this.face, "data")) {
      this.host.emitters.emitNow(this.face, "data", text);
      if (this.overrun) return this.queueDelivery();
    } else if (this.stash === undefined) {
      this.stash = text;
    } else if (this.stash.length + text.length <= BACKLOG_LIMIT) {
      this.stash += text;
    } else {
      this.overrun = true;
      return;
    }
    this.received = this.received.subarray(text.length);
    if (this.received.length) this.queueDelivery();
    else this.tcp?.resume();
  }

  private write(data: unknown): boolean {
    if (this.closed || this.closing) throw new Error("This socket is closed");
    if (data === undefined) return false;
    const bytes = binary(isArray(data) ? Array.from(data as Uint8Array).join(",") : String(data));
    this.unsent += bytes.length;
    // sent from the idle loop, a chunk at a time
    for (let at = 0; at < bytes.length; at += this.host.chunk) {
      const chunk = bytes.subarray(at, at + this.host.chunk);
      this.host.loop.queue(() => this.send(chunk));
    }
    return false;
  }

  private send(chunk: Buffer): void {
    if (this.closed || !this.tcp) return;
    this.host.counters.bytesOut += chunk.length;
    this.host.onWire("out", chunk);
    this.tcp.write(chunk, (error) => {
      if (error || this.closed) return;
      this.unsent -= chunk.length;
      if (this.unsent) return;
      if (this.closing) this.host.loop.queue(() => this.close(0));
      else this.host.emitters.emit(this.face, "drain", this.face);
    });
  }

  private end(data?: unknown): void {
    if (this.closed) return;
    if (data !== undefined) this.write(data);
    this.closing = true;
    if (!this.unsent) this.host.loop.queue(() => this.close(0));
  }

  private peerClosed(error: number): void {
    if (this.finished) return;
    this.finished = true;
    const close = () => {
      if (this.closed) return;
      // what was received first goes to the listener
      if (this.received.length && this.host.emitters.has(this.face, "data")) {
        this.deliver();
        this.host.loop.queue(close);
      } else this.close(error || (this.unsent && !this.closing ? ERROR_UNSENT : 0));
    };
    this.host.loop.queue(close);
  }

  private close(error: number): void {
    if (this.closed) return;
    this.closed = true;
    this.tcp?.end();
    this.tcp?.destroySoon();
    const { emitters } = this.host;
    if (error) emitters.emit(this.face, "error", { code: error, message: `socket error ${error}` });
    emitters.emit(this.face, "end");
    emitters.emit(this.face, "close", !!error);
    this.gone();
  }
}

function isArray(data: unknown): boolean {
  return ArrayBuffer.isView(data) || Array.isArray(data);
}
