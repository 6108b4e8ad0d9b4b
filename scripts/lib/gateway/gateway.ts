// The gateway: TLS 1.2 with pre-shared keys (Node's tls) in front of an embedded MQTT broker (aedes). Identity in, key
// out: it derives each device's key from the psk master and keeps no table. Unknown, revoked and wrong identities meet
// the same work and the same alert (RFC 4279, 2; RFC 7925, 6): whoever is not known gets a key that nobody has.
// A device may use its own topics only (protocol.md 4). Floods of half-open connections meet a deadline and a limit.
// OpenSSL cuts an identity at a NUL: what follows is never seen, and what is left needs its own key.
// Leaves out: TLS 1.3 (a key is never used under both versions, RFC 9257), clustering, quotas of retained messages.
import { constants } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { Aedes, type Client } from "aedes";
import { DeviceError, UsageError } from "../cli/exit";
import { type Master, masterFromBytes } from "../custody/master";
import { clientIdOf, type Identity, parseIdentity, topicPrefix } from "../keys/identity";
import { randomKey } from "../keys/weak_keys";

export interface GatewayOptions {
  /** The psk master, wherever it is kept; the caller closes it. */
  master: Master;
  /** The fleet's key version n; n - 1 is accepted as well. Default 1. */
  keyVersion?: number;
  /** Identities that are refused though their key is right. */
  revoked?: Iterable<string>;
  /** Default 127.0.0.1, and any free port. */
  host?: string;
  port?: number;
  /** A port of 127.0.0.1 where plain MQTT is taken from this machine's own programs, which may do all; 0: any free; default none. */
  operatorPort?: number;
  limits?: Partial<Limits>;
  onEvent?(event: GatewayEvent): void;
}

export interface Limits {
  /** From TCP's accept to Finished; not prolonged by trickling bytes. */
  handshakeTimeoutMs: number;
  /** From Finished to MQTT's CONNECT. */
  connectTimeoutMs: number;
  /** Handshakes under way at a time, in all and from one address; above it the oldest gives way. */
  halfOpen: number;
  halfOpenPerAddress: number;
  /** Connections at a time, in all. */
  connections: number;
  /** Longest MQTT packet that a device may send, bytes. */
  packetLength: number;
}

export const DEFAULT_LIMITS: Limits = {
  handshakeTimeoutMs: 15_000,
  connectTimeoutMs: 15_000,
  halfOpen: 512,
  halfOpenPerAddress: 128,
  connections: 20_000,
  packetLength: 8_192,
};

export type GatewayEvent =
  | { kind: "secured"; identity: string; address: string; suite: string }
  | { kind: "connected" | "disconnected"; identity: string }
  | { kind: "refused"; address: string; reason: string }
  | { kind: "fault"; reason: string }
  | { kind: "denied"; identity: string; topic: string; action: "publish" | "subscribe" };

export interface Gateway {
  host: string;
  port: number;
  /** Of 127.0.0.1, for this machine's own programs, where it was asked for. */
  operatorPort?: number;
  broker: Aedes;
  /** What it has done, for tests and for a look: derivations are two per handshake, whoever knocks. */
  counters: { accepted: number; halfOpen: number; secured: number; refused: number; derivations: number };
  /** Refuse an identity from now on and end its connection. */
  revoke(identity: string): void;
  close(): Promise<void>;
}

/**
 * The suites that the gateway takes. The client's order decides: it knows what costs it least. SECLEVEL 0 because
 * OpenSSL counts the 8-byte tag of CCM_8 as 64 bits of security, which RFC 7925, 4.2 finds enough for this use.
 */
const CIPHERS = [
  "PSK-AES128-CCM8",
  "PSK-AES128-CCM",
  "PSK-AES128-GCM-SHA256",
  "PSK-AES128-CBC-SHA256",
  "PSK-AES128-CBC-SHA",
  "@SECLEVEL=0",
].join(":");

/** Start a gateway; it listens when the promise resolves. Throws UsageError when the port cannot be had. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const revoked = new Set(options.revoked);
  const emit = options.onEvent ?? (() => {});
  const identities = new WeakMap<object, Identity>();
  const counters = { accepted: 0, halfOpen: 0, secured: 0, refused: 0, derivations: 0 };
  const operators = new WeakSet<object>();
  const broker = await createBroker(identities, operators, limits, emit);
  const keyOf = keySource(options, revoked, counters, emit);

  const tls = createTlsServer({
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
    ciphers: CIPHERS,
    honorCipherOrder: false,
    handshakeTimeout: limits.handshakeTimeoutMs + 1000, // idle time; the deadline of HalfOpen comes first
    // No tickets: a resumed session would outlive a revocation, and a device keeps no room for one.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    pskCallback(socket: TLSSocket, text: string) {
      const { key, identity } = keyOf(text);
      if (identity) identities.set(socket, identity);
      return key;
    },
  });

  const halfOpen = new HalfOpen(limits, counters, (address, reason) =>
    emit({ kind: "refused", address, reason }),
  );
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    counters.accepted++;
    if (sockets.size >= limits.connections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    halfOpen.add(socket);
    tls.emit("connection", socket);
  });

  tls.on("secureConnection", (socket) => {
    halfOpen.secured(socket);
    const identity = identities.get(socket);
    if (!identity) {
      socket.destroy(); // cannot be: without an identity nobody holds the key
      return;
    }
    counters.secured++;
    emit({
      kind: "secured",
      identity: identity.text,
      address: addressOf(socket),
      suite: socket.getCipher().standardName,
    });
    limitPackets(socket, limits.packetLength);
    broker.handle(socket);
  });
  tls.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    counters.refused++;
    // Without an address it is one that HalfOpen dropped, or that left by itself.
    if (socket.remoteAddress)
      emit({ kind: "refused", address: addressOf(socket), reason: error.code ?? error.message });
    socket.destroy();
  });

  const operatorServer = createServer((socket) => {
    operators.add(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    broker.handle(socket);
  });

  const host = options.host ?? "127.0.0.1";
  try {
    await listen(server, host, options.port ?? 0);
    if (options.operatorPort !== undefined) await listen(operatorServer, "127.0.0.1", options.operatorPort);
  } catch (error) {
    server.close();
    broker.close();
    throw error;
  }

  return {
    host,
    port: (server.address() as AddressInfo).port,
    operatorPort: (operatorServer.address() as AddressInfo | null)?.port,
    broker,
    counters,
    revoke(text) {
      revoked.add(text);
      const { clients } = broker as unknown as { clients: Record<string, Client> };
      for (const client of Object.values(clients))
        if (identities.get(client.conn)?.text === text) client.close();
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      operatorServer.close();
      await new Promise<void>((resolve) => broker.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * Make the function from an identity's text to its key. Every call derives twice, the device's key and one under a
 * master that nobody has, and then takes one of them: known or not, revoked or not, the work is the same.
 */
function keySource(
  options: GatewayOptions,
  revoked: ReadonlySet<string>,
  counters: { derivations: number },
  emit: (event: GatewayEvent) => void,
) {
  const version = options.keyVersion ?? 1;
  const { master } = options;
  const nobodysMaster = masterFromBytes(randomKey(), master.purpose, master.scheme);
  const nobody = parseIdentity("v1.nobody.0");
  const deriveBoth = (identity: Identity) => {
    const keys = [master, nobodysMaster].map((one) => one.deviceKey(identity));
    counters.derivations += keys.length;
    return keys;
  };
  const parseAndDerive = (text: string): { identity?: Identity; keys: Buffer[] } => {
    try {
      const identity = parseIdentity(text);
      return { identity, keys: deriveBoth(identity) };
    } catch (error) {
      if (error instanceof UsageError) return { keys: deriveBoth(nobody) };
      throw error;
    }
  };
  return (text: string): { key: Buffer; identity?: Identity } => {
    try {
      const { identity, keys } = parseAndDerive(text);
      const [deviceKey, nobodysKey] = keys;
      const current =
        identity !== undefined && (identity.keyVersion === version || identity.keyVersion === version - 1);
      const known = current && !revoked.has(text);
      return known ? { key: deviceKey, identity } : { key: nobodysKey };
    } catch (error) {
      // The token with the master is gone: everyone is refused, and the gateway says why and lives on.
      if (!(error instanceof DeviceError)) throw error;
      emit({ kind: "fault", reason: error.message });
      return { key: nobodysMaster.deviceKey(nobody) };
    }
  };
}

/** The connections whose handshake is under way: a deadline for each, and limits above which the oldest gives way. */
class HalfOpen {
  // By address and port of the peer, oldest first, as a Map keeps its order.
  private readonly byPeer = new Map<string, { socket: Socket; address: string; timer: NodeJS.Timeout }>();
  private readonly perAddress = new Map<string, number>();

  constructor(
    private readonly limits: Limits,
    private readonly counters: { halfOpen: number },
    private readonly onDrop: (address: string, reason: string) => void,
  ) {}

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const peer = addressOf(socket);
    const timer = setTimeout(
      () => this.drop(peer, "the handshake was not finished in time"),
      this.limits.handshakeTimeoutMs,
    );
    this.byPeer.set(peer, { socket, address, timer });
    this.perAddress.set(address, (this.perAddress.get(address) ?? 0) + 1);
    this.counters.halfOpen = this.byPeer.size;
    socket.once("close", () => this.remove(peer));
    if ((this.perAddress.get(address) ?? 0) > this.limits.halfOpenPerAddress) this.dropOldest(address);
    if (this.byPeer.size > this.limits.halfOpen) this.dropOldest();
  }

  secured(socket: TLSSocket): void {
    this.remove(addressOf(socket));
  }

  private dropOldest(address?: string): void {
    for (const [peer, entry] of this.byPeer) {
      if (address === undefined || entry.address === address)
        return this.drop(peer, "too many handshakes under way");
    }
  }

  private drop(peer: string, reason: string): void {
    const entry = this.byPeer.get(peer);
    this.remove(peer);
    this.onDrop(peer, reason);
    entry?.socket.destroy();
  }

  private remove(peer: string): void {
    const entry = this.byPeer.get(peer);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.byPeer.delete(peer);
    const left = (this.perAddress.get(entry.address) ?? 1) - 1;
    if (left > 0) this.perAddress.set(entry.address, left);
    else this.perAddress.delete(entry.address);
    this.counters.halfOpen = this.byPeer.size;
  }
}

/** The broker, which trusts the TLS identity and nothing that MQTT says about who is who. */
function createBroker(
  identities: WeakMap<object, Identity>,
  operators: WeakSet<object>,
  limits: Limits,
  emit: (event: GatewayEvent) => void,
): Promise<Aedes> {
  const mayAll = (client: Client | null) => !client || operators.has(client.conn); // without a client: the broker itself
  const identityOf = (client: Client) => identities.get(client.conn) as Identity;
  const denied = (client: Client, topic: string, action: "publish" | "subscribe") => {
    const identity = identityOf(client).text;
    emit({ kind: "denied", identity, topic, action });
    return new Error(`${identity} may not ${action} ${topic}`);
  };
  return Aedes.createBroker({
    connectTimeout: limits.connectTimeoutMs,
    queueLimit: 64,
    maxInflightInbound: 16,
    authenticate(client, _username, _password, done) {
      // One key, one client (RFC 9257, 4): its MQTT name is that of its TLS identity, and the latest connection wins.
      if (operators.has(client.conn)) return done(null, true);
      const identity = identityOf(client);
      if (client.id === clientIdOf(identity)) done(null, true);
      else
        done(
          Object.assign(new Error(`${identity.text} came as the MQTT client ${client.id}`), {
            returnCode: 2,
          }),
          null,
        );
    },
    authorizePublish(client, packet, done) {
      // Wills come this way too.
      if (mayAll(client) || mayPublish(identityOf(client as Client), packet.topic)) done(null);
      else done(denied(client as Client, packet.topic, "publish"));
    },
    authorizeSubscribe(client, subscription, done) {
      if (mayAll(client) || maySubscribe(identityOf(client), subscription.topic))
        return done(null, subscription);
      denied(client, subscription.topic, "subscribe");
      done(null, null); // SUBACK 0x80
    },
  }).then((broker) => {
    const tell = (kind: "connected" | "disconnected") => (client: Client) => {
      if (!operators.has(client.conn)) emit({ kind, identity: identityOf(client).text });
    };
    broker.on("clientReady", tell("connected"));
    broker.on("clientDisconnect", tell("disconnected"));
    return broker;
  });
}

/** Whether a device may publish on a topic: its own only, and not its own firmware manifest. */
export function mayPublish(identity: Identity, topic: string): boolean {
  const prefix = topicPrefix(identity);
  return topic.startsWith(prefix) && topic.length > prefix.length && topic !== `${prefix}ota`;
}

/** Whether a device may subscribe to a filter: its own topics, and the image pieces of its product (protocol.md 5). */
export function maySubscribe(identity: Identity, filter: string): boolean {
  return [topicPrefix(identity), `fw/${identity.product}/`].some(
    (prefix) => filter.startsWith(prefix) && filter.length > prefix.length,
  );
}

/**
 * End a connection that announces an MQTT packet longer than `limit` bytes, before the broker collects it.
 * Fixed header: type and flags (1 byte), remaining length (1 to 4 bytes of 7 bits, least first); MQTT 3.1.1, 2.2.
 */
function limitPackets(socket: TLSSocket, limit: number): void {
  let skip = 0; // bytes of the packet's body still to come
  let header = 0; // bytes of the fixed header seen
  let length = 0;
  // The broker reads; as a `data` listener beside its `readable` this one only looks on.
  socket.on("data", (chunk: Buffer) => {
    let at = 0;
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++];
      if (header++ === 0) continue;
      length += (byte & 0x7f) * 128 ** (header - 2);
      if (length > limit || header > 5) {
        socket.destroy();
        return;
      }
      if (byte < 0x80) {
        skip = length;
        header = 0;
        length = 0;
      }
    }
  });
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

const LISTEN_FAULTS: Record<string, string> = {
  EADDRINUSE: "another program listens there already",
  EACCES: "it is not permitted",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "no such host is known",
};

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const fault = LISTEN_FAULTS[error.code ?? ""] ?? error.message;
      reject(new UsageError(`the gateway cannot listen on ${host}:${port}: ${fault}.`));
    });
    server.listen(port, host, resolve);
  });
}
