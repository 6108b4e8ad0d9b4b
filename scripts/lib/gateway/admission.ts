// Who may begin a handshake. A connection is looked at before TLS is: until a whole ClientHello has come, or what is first in another
// protocol, it costs a socket and no more, and when the pool is full, or one address has its share, those without it give way first, the
// oldest of them; then the oldest handshake. Deadlines are from TCP's accept, so that trickling bytes prolongs nothing.
// Named balancers tell whom they speak for by the PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, 2.2); from
// anyone else its bytes are no ClientHello, and that is that.
// Leaves out: PROXY version 1, which is text; UDP and Unix sockets behind a balancer, which have no address to count.
import type { Socket } from "node:net";
import type { Limits } from "./limits";

/** What is known of a connection before TLS ends. */
export interface Peer {
  socket: Socket;
  /** The device's, also behind a balancer. */
  address: string;
  port: number;
}

interface Entry extends Peer {
  key: string;
  acceptedAt: number; // by performance.now()
  hasHello: boolean;
  timer: NodeJS.Timeout;
}

/** Two queues, oldest first, as a Set keeps its order. */
class Queues {
  readonly waiting = new Set<Entry>();
  readonly atWork = new Set<Entry>();
  get size(): number {
    return this.waiting.size + this.atWork.size;
  }
  of(entry: Entry): Set<Entry> {
    return entry.hasHello ? this.atWork : this.waiting;
  }
  /** Who gives way to `newest`. */
  oldest(newest: Entry): Entry {
    for (const queue of [this.waiting, this.atWork])
      for (const entry of queue) if (entry !== newest) return entry;
    return newest;
  }
}

/** What a device must say first. */
export interface FirstMessage {
  name: string;
  /** Whether the bytes that have come, at least one, are none, not whole yet, or whole. */
  look(bytes: Buffer): "wrong" | "more" | "whole";
}

const PROXY_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const PROXY_HEADER = 16; // signature (12), version and command (1), family (1), length (2)
const LONGEST_PROXY = 1_024; // bytes after the header
const PROXY_FAMILIES: Record<number, { length: number; of(bytes: Buffer): string }> = {
  // TCP over IPv4: addresses of 4 bytes, ports of 2; over IPv6: addresses of 16 bytes.
  17: { length: 4, of: (bytes) => [...bytes].join(".") },
  33: { length: 16, of: (bytes) => (bytes.toString("hex").match(/..../g) as string[]).join(":") },
};

export class Admission {
  private readonly all = new Queues();
  private readonly byAddress = new Map<string, Queues>();
  private readonly byPeer = new Map<string, Entry>();

  constructor(
    private readonly limits: Limits,
    private readonly balancers: ReadonlySet<string>,
    private readonly first: FirstMessage,
    /** The first message is there: the socket is the handshake's now, with its bytes put back. */
    private readonly onHello: (socket: Socket, hello: Buffer) => void,
    private readonly onRefused: (peer: { address: string; port: number }, reason: string) => void,
    /** What the device says first may come: behind a balancer's header, where there is one. */
    private readonly onBegin: (socket: Socket) => void = () => {},
  ) {}

  /** Handshakes under way. */
  get size(): number {
    return this.all.size;
  }

  /** Take a connection that TCP has just accepted. */
  add(socket: Socket): void {
    const { first } = this;
    // it was reset before we had it: it has no name, and it is nobody's any more
    if (!socket.remoteAddress) return void socket.destroy();
    const key = keyOf(socket);
    const entry: Entry = {
      key,
      socket,
      address: plainAddress(socket.remoteAddress ?? ""),
      port: socket.remotePort ?? 0,
      acceptedAt: performance.now(),
      hasHello: false,
      timer: setTimeout(
        () => this.drop(entry, `no ${first.name} came in time`),
        Math.min(this.limits.helloTimeoutMs, this.limits.handshakeTimeoutMs),
      ),
    };
    this.byPeer.set(key, entry);
    socket.once("close", () => this.remove(key));
    socket.on("error", () => {}); // a reset is a close
    if (this.balancers.has(entry.address)) {
      this.all.waiting.add(entry);
      this.read(entry, (bytes) => this.proxyHeader(entry, bytes));
    } else {
      this.queue(entry);
      this.read(entry, (bytes) => this.hello(entry, bytes));
    }
    if (this.all.size > this.limits.halfOpen)
      this.drop(this.all.oldest(entry), "too many handshakes under way");
  }

  /** The handshake has ended well: forget it. Returns whose it was. */
  secured(socket: Socket): Peer | undefined {
    return this.remove(keyOf(socket));
  }

  /** Whose connection it is, while its handshake is under way. */
  peerOf(socket: Socket): Peer | undefined {
    return this.byPeer.get(keyOf(socket));
  }

  private queue(entry: Entry): void {
    let queues = this.byAddress.get(entry.address);
    if (!queues) this.byAddress.set(entry.address, (queues = new Queues()));
    queues.of(entry).add(entry);
    this.all.of(entry).add(entry);
    this.onBegin(entry.socket);
    if (queues.size > this.limits.halfOpenPerAddress)
      this.drop(queues.oldest(entry), "too many handshakes under way from its address");
  }

  /** Collect bytes until `enough` has taken them; it returns false for "more". */
  private read({ socket }: Entry, enough: (bytes: Buffer) => boolean): void {
    let bytes: Buffer | undefined;
    const look = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        bytes = bytes ? Buffer.concat([bytes, chunk]) : chunk;
        socket.removeListener("readable", look);
        if (enough(bytes as Buffer) || socket.destroyed) return;
        socket.on("readable", look);
      }
    };
    socket.on("readable", look);
    look();
  }

  private proxyHeader(entry: Entry, bytes: Buffer): boolean {
    const start = bytes.subarray(0, PROXY_SIGNATURE.length);
    if (!start.equals(PROXY_SIGNATURE.subarray(0, start.length)))
      return this.drop(entry, "a balancer did not say whom it speaks for");
    if (bytes.length < PROXY_HEADER) return false;
    const [versionAndCommand, family] = bytes.subarray(12);
    const length = bytes.readUInt16BE(14);
    if (versionAndCommand >> 4 !== 2 || length > LONGEST_PROXY)
      return this.drop(entry, "a balancer spoke another PROXY protocol than version 2");
    if (bytes.length < PROXY_HEADER + length) return false;
    const row = PROXY_FAMILIES[family];
    const isProxied = (versionAndCommand & 15) === 1; // else LOCAL: the balancer's own health check
    if (isProxied && (!row || length < 2 * row.length + 4))
      return this.drop(entry, "a balancer named no address");
    if (isProxied) {
      entry.address = plainAddress(row.of(bytes.subarray(PROXY_HEADER, PROXY_HEADER + row.length)));
      entry.port = bytes.readUInt16BE(PROXY_HEADER + 2 * row.length);
    }
    this.queue(entry);
    const rest = bytes.subarray(PROXY_HEADER + length);
    if (rest.length) entry.socket.unshift(rest);
    if (!entry.socket.destroyed) this.read(entry, (more) => this.hello(entry, more));
    return true;
  }

  private hello(entry: Entry, bytes: Buffer): boolean {
    const found = this.first.look(bytes);
    if (found === "wrong") return this.drop(entry, `what came is no ${this.first.name}`);
    if (found === "more") return false;
    const queues = this.byAddress.get(entry.address) as Queues;
    for (const each of [queues, this.all]) each.waiting.delete(entry);
    entry.hasHello = true;
    for (const each of [queues, this.all]) each.atWork.add(entry);
    clearTimeout(entry.timer);
    entry.timer = setTimeout(
      () => this.drop(entry, "the handshake was not finished in time"),
      this.limits.handshakeTimeoutMs - (performance.now() - entry.acceptedAt),
    );
    entry.socket.unshift(bytes);
    this.onHello(entry.socket, bytes);
    return true;
  }

  private drop(entry: Entry, reason: string): true {
    this.remove(entry.key);
    this.onRefused(entry, reason);
    entry.socket.destroy();
    return true;
  }

  private remove(key: string): Peer | undefined {
    const entry = this.byPeer.get(key);
    if (!entry) return undefined;
    clearTimeout(entry.timer);
    this.byPeer.delete(key);
    this.all.of(entry).delete(entry);
    const queues = this.byAddress.get(entry.address);
    queues?.of(entry).delete(entry);
    if (queues?.size === 0) this.byAddress.delete(entry.address);
    return entry;
  }
}

/** TLS's socket and TCP's below it have the same. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** An IPv4 address as such, also where the socket speaks IPv6. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, "");
}
