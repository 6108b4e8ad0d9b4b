// The gateway: TLS 1.2 and 1.3 with pre-shared keys (Node's tls) in front of an MQTT broker. Identity in, key out: it derives
// each device's key from the psk master and keeps no table. Unknown, revoked and wrong identities meet the same work
// and the same alert (RFC 4279, 2; RFC 7925, 6): whoever is not known gets a key that nobody has.
// The way of a connection: admission.ts (who may begin a handshake), here (TLS), session.ts (what a device may say), and
// then the broker inside (embedded_broker.ts) or one that stands elsewhere (upstream.ts).
// OpenSSL cuts an identity at a NUL: what follows is never seen, and what is left needs its own key.
// AKEP2 has a port of its own (akep2.ts), and keys of the label akep2.
// A key is never used under both versions (RFC 9257, 6): who offers TLS 1.3 alone is asked for the key of the label psk13, everyone else
// speaks TLS 1.2 with that of the label psk.
import { constants } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Aedes } from "aedes";
import { DeviceError, UsageError } from "../cli/exit";
import { listen } from "../cli/listen";
import { type Master, masterFromBytes } from "../custody/master";
import { type Identity, parseIdentity, parsePresented } from "../keys/identity";
import type { Label } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { Admission, type Peer } from "./admission";
import { Akep2Socket, MESSAGE_2_FIRST } from "./akep2";
import { CLIENT_HELLO_FIRST, offersTls13Alone } from "./client_hello";
import { createEmbeddedBroker, type EmbeddedBroker } from "./embedded_broker";
import { type FleetList, isLetIn } from "./fleet_list";
import { DEFAULT_LIMITS, type Limits } from "./limits";
import { Metrics, metricsServer } from "./metrics";
import { RetainedStore } from "./retained_store";
import { Session, type SessionPorts } from "./session";
import { type Credentials, UpstreamBrokers } from "./upstream";
import type { Upstream } from "./upstream_place";

export interface GatewayOptions {
  /** The psk master, wherever it is kept; the caller closes it. */
  master: Master;
  /** The fleet's key version n where the list does not say it; n - 1 is accepted as well. Default 1. */
  keyVersion?: number;
  /** Identities that are refused though their key is right. */
  revoked?: Iterable<string>;
  /** Identities that may use every topic. */
  operators?: Iterable<string>;
  /** Default 127.0.0.1, and any free port. */
  host?: string;
  port?: number;
  /** A port of `host` for AKEP2; 0: any free; default none. */
  akep2Port?: number;
  /** A port of 127.0.0.1 where plain MQTT is taken from this machine's own programs, which may do all; 0: any free; default none. */
  operatorPort?: number;
  /** A port of 127.0.0.1 for /metrics and /ready; 0: any free; default none. */
  metricsPort?: number;
  /** Addresses that speak for others, by the PROXY protocol. */
  balancers?: Iterable<string>;
  /** Where retained messages are kept; default in memory. */
  storePath?: string;
  /** Brokers that stand elsewhere: none is inside then. */
  upstream?: readonly Upstream[];
  credentials?: Credentials;
  limits?: Partial<Limits>;
  onEvent?(event: GatewayEvent): void;
}

export type GatewayEvent =
  | { kind: "secured"; identity: string; address: string; suite: string }
  | { kind: "connected" | "disconnected"; identity: string }
  | { kind: "refused"; address: string; reason: string; identity?: string }
  | { kind: "fault"; reason: string }
  | { kind: "denied"; identity: string; topic: string; action: "publish" | "subscribe" };

export interface Gateway {
  host: string;
  port: number;
  akep2Port?: number;
  /** Of 127.0.0.1, for this machine's own programs, where it was asked for. */
  operatorPort?: number;
  metricsPort?: number;
  /** The broker inside; there is none with `upstream`. */
  readonly broker: Aedes;
  metrics: Metrics;
  /** What it has done, for tests and for a look: derivations are two per handshake, whoever knocks. */
  readonly counters: {
    accepted: number;
    halfOpen: number;
    secured: number;
    refused: number;
    derivations: number;
    sessions: number;
    /** Bytes that wait for devices, and bytes of devices that wait for the broker. */
    queuedBytes: number;
    heldBytes: number;
  };
  /** Replace the list: who is denied by it goes at once, and who is not any more is let in. */
  setList(list: FleetList): void;
  /** Refuse an identity from now on and end its connections. */
  revoke(identity: string): void;
  /** Take no more connections, and send the devices away one after the other. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

interface Version {
  version: "TLSv1.2" | "TLSv1.3";
  ciphers: string;
  /** What its keys are derived for. */
  label: Label;
}

/**
 * The versions and suites that the gateway takes. The client's order decides: it knows what costs it least. SECLEVEL 0 because
 * OpenSSL counts the 8-byte tag of CCM_8 as 64 bits of security, which RFC 7925, 4.2 finds enough for this use.
 */
const TLS_1_2: Version = {
  version: "TLSv1.2",
  ciphers:
    "PSK-AES128-CCM8:PSK-AES128-CCM:PSK-AES128-GCM-SHA256:PSK-AES128-CBC-SHA256:PSK-AES128-CBC-SHA:@SECLEVEL=0",
  label: "psk",
};
const TLS_1_3: Version = {
  version: "TLSv1.3",
  ciphers: "TLS_AES_128_CCM_8_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256:PSK:@SECLEVEL=0",
  label: "psk13",
};

const BACKLOG = 4_096; // connections that the kernel keeps for us; a whole fleet comes back at once

/** Start a gateway; it listens when the promise resolves. Throws UsageError when the port cannot be had. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new Door(options);
  try {
    await gateway.start();
  } catch (error) {
    await gateway.close();
    throw error;
  }
  return gateway;
}

/** Throws UsageError where a master's scheme has no key for AKEP2. */
export function checkAkep2({ scheme }: Master): void {
  if (scheme !== "kdf")
    throw new UsageError(
      `--akep2-port: the scheme ${scheme} has one key for each device, and AKEP2 wants one of its own.`,
    );
}

class Door implements Gateway {
  readonly host: string;
  readonly metrics = new Metrics();
  private readonly limits: Limits;
  private readonly emit: (event: GatewayEvent) => void;
  private list: FleetList;
  private readonly keys: KeySource;
  private readonly admission: Admission;
  private readonly akep2Admission: Admission;
  /** What message 1 has gone out on, until message 2 is there. */
  private readonly begun = new WeakMap<Socket, Akep2Socket>();
  private readonly sockets = new Set<Socket>();
  /** By the identity's text; those with a handshake that ended well. */
  private readonly sessions = new Map<string, Set<Session>>();
  private readonly queued = { bytes: 0, held: 0 };
  private counted = { accepted: 0, secured: 0, refused: 0, sessions: 0 };
  private isDraining = false;
  private store: RetainedStore | undefined;
  private inside: EmbeddedBroker | undefined;
  private upstream: UpstreamBrokers | undefined;
  private readonly tls;
  private readonly tls13: ReturnType<Door["createTls"]> | undefined;
  private readonly identities = new WeakMap<object, Identity>();
  private readonly ports: SessionPorts;
  private readonly servers: Record<"devices" | "akep2" | "operators" | "metrics", Server>;

  constructor(private readonly options: GatewayOptions) {
    this.host = options.host ?? "127.0.0.1";
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.emit = options.onEvent ?? (() => {});
    this.list = {
      keyVersion: options.keyVersion ?? 1,
      denied: new Set(options.revoked),
      operators: new Set(options.operators),
    };
    this.keys = new KeySource(options.master, (reason) => this.fault(reason));
    const balancers = new Set(options.balancers);
    this.admission = new Admission(
      this.limits,
      balancers,
      CLIENT_HELLO_FIRST,
      (socket, hello) => {
        const tls = this.tls13 && offersTls13Alone(hello) ? this.tls13 : this.tls;
        tls.emit("connection", socket);
      },
      ({ address, port }, reason) => this.refused(`${address}:${port}`, reason),
    );
    this.akep2Admission = new Admission(
      this.limits,
      balancers,
      MESSAGE_2_FIRST,
      (socket) => this.akep2(socket),
      ({ address, port }, reason) => this.refused(`${address}:${port}`, reason),
      (socket) => this.begun.set(socket, new Akep2Socket(socket)),
    );
    this.tls = this.createTls(TLS_1_2);
    // the older schemes have but one key for each device
    if (options.master.scheme === "kdf") this.tls13 = this.createTls(TLS_1_3);
    this.ports = {
      limits: this.limits,
      queued: this.queued,
      isLetIn: (identity) => isLetIn(this.list, identity),
      isOperator: (identity) => this.list.operators.has(identity.text),
      open: (session, connect) => (this.upstream ?? (this.inside as EmbeddedBroker)).open(session, connect),
      onDenied: ({ identity }, topic, action) => {
        this.metrics.denied.inc();
        this.emit({ kind: "denied", identity: identity.text, topic, action });
      },
      onRefused: ({ identity, address }, reason) => this.refused(address, reason, identity.text),
      onConnected: ({ identity }) => {
        this.metrics.connected.inc();
        this.emit({ kind: "connected", identity: identity.text });
      },
      onEnd: (session) => this.ended(session),
    };
    this.servers = {
      devices: createServer({ noDelay: true }, (socket) => {
        if (this.accept(socket)) this.admission.add(socket);
      }),
      akep2: createServer({ noDelay: true }, (socket) => {
        if (this.accept(socket)) this.akep2Admission.add(socket);
      }),
      operators: createServer((socket) => this.operator(socket)),
      metrics: metricsServer(
        () => this.metrics.registry.metrics(),
        () => this.isReady(),
      ),
    };
    this.metrics.gauges({
      halfOpen: () => this.halfOpen,
      sessions: () => this.counted.sessions,
      connections: () => this.sockets.size,
      queuedBytes: () => this.queued.bytes,
      heldBytes: () => this.queued.held,
    });
  }

  async start(): Promise<void> {
    const { options, host } = this;
    if (options.akep2Port !== undefined) checkAkep2(options.master);
    if (options.upstream?.length) {
      this.upstream = new UpstreamBrokers(options.upstream, options.credentials, (reason) =>
        this.fault(reason),
      );
    } else {
      this.store = new RetainedStore(options.storePath);
      this.inside = await createEmbeddedBroker(this.store, this.limits, (reason) => this.fault(reason));
    }
    await listen(this.servers.devices, { host, port: options.port ?? 0, backlog: BACKLOG }, "the gateway");
    if (options.akep2Port !== undefined)
      await listen(this.servers.akep2, { host, port: options.akep2Port, backlog: BACKLOG }, "the gateway");
    if (options.operatorPort !== undefined)
      await listen(
        this.servers.operators,
        { host: "127.0.0.1", port: options.operatorPort, backlog: BACKLOG },
        "the gateway",
      );
    if (options.metricsPort !== undefined)
      await listen(
        this.servers.metrics,
        { host: "127.0.0.1", port: options.metricsPort, backlog: BACKLOG },
        "the gateway",
      );
  }

  get port(): number {
    return portOf(this.servers.devices) as number;
  }
  get akep2Port(): number | undefined {
    return portOf(this.servers.akep2);
  }
  get operatorPort(): number | undefined {
    return portOf(this.servers.operators);
  }
  get metricsPort(): number | undefined {
    return portOf(this.servers.metrics);
  }
  get broker(): Aedes {
    if (!this.inside) throw new Error("with an upstream there is no broker inside");
    return this.inside.aedes;
  }
  private get halfOpen(): number {
    return this.admission.size + this.akep2Admission.size;
  }
  get counters() {
    return {
      ...this.counted,
      halfOpen: this.halfOpen,
      derivations: this.keys.derivations,
      queuedBytes: this.queued.bytes,
      heldBytes: this.queued.held,
    };
  }

  // ------------------------------------------------------------------------------------- the way of a connection

  /** Count a connection that TCP has accepted; false: it is one too many. */
  private accept(socket: Socket): boolean {
    this.counted.accepted++;
    this.metrics.accepted.inc();
    if (this.sockets.size >= this.limits.connections) {
      this.refused(`${socket.remoteAddress}:${socket.remotePort}`, "too many connections");
      socket.destroy();
      return false;
    }
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    return true;
  }

  /** Message 2 of AKEP2 is there. */
  private akep2(socket: Socket): void {
    const stream = this.begun.get(socket) as Akep2Socket;
    let identity: Identity | undefined;
    stream.begin({
      keyOf: (text) => {
        const found = this.keys.keyOf(text, this.list, "akep2");
        this.metrics.derivations.inc(2);
        identity = found.identity;
        return found.key;
      },
      onSecured: () => this.secured(stream, this.akep2Admission.secured(socket), identity, () => "AKEP2"),
      onRefused: (reason) => {
        const peer = this.akep2Admission.peerOf(socket);
        if (peer) this.refused(`${peer.address}:${peer.port}`, reason);
      },
    });
  }

  private createTls({ version, ciphers, label }: Version) {
    const tls = createTlsServer({
      minVersion: version,
      maxVersion: version,
      ciphers,
      honorCipherOrder: false,
      handshakeTimeout: this.limits.handshakeTimeoutMs + 1000, // idle time; the deadline of admission comes first
      // No tickets: a resumed session would outlive a revocation, and a device keeps no room for one.
      secureOptions:
        constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_ALLOW_NO_DHE_KEX,
      pskCallback: (socket: TLSSocket, text: string) => {
        const { key, identity } = this.keys.keyOf(text, this.list, label);
        this.metrics.derivations.inc(2);
        if (identity) this.identities.set(socket, identity);
        return key;
      },
    });
    tls.on("secureConnection", (socket) =>
      this.secured(
        socket,
        this.admission.secured(socket),
        this.identities.get(socket),
        () => socket.getCipher()?.standardName ?? "none any more", // asked for by few, and dear
      ),
    );
    tls.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      const peer = this.admission.peerOf(socket);
      // Without a peer it is one that admission dropped, or that left by itself.
      if (peer) this.refused(`${peer.address}:${peer.port}`, error.code ?? error.message);
      socket.destroy();
    });
    return tls;
  }

  private secured(
    socket: Duplex,
    peer: Peer | undefined,
    identity: Identity | undefined,
    suiteOf: () => string,
  ): void {
    // Without a peer it has left meanwhile; without an identity nobody holds the key; and the list may have changed.
    if (!peer || !identity || !isLetIn(this.list, identity) || this.isDraining) {
      socket.destroy();
      return;
    }
    this.counted.secured++;
    this.metrics.secured.inc();
    const address = `${peer.address}:${peer.port}`;
    const { emit } = this;
    emit({
      kind: "secured",
      identity: identity.text,
      address,
      get suite() {
        return suiteOf();
      },
    });
    let same = this.sessions.get(identity.text);
    if (!same) this.sessions.set(identity.text, (same = new Set()));
    if (same.size >= this.limits.socketsPerDevice) {
      const [oldest] = same;
      oldest.cut();
    }
    this.counted.sessions++;
    same.add(new Session(socket, identity, address, this.ports));
    this.sessions.set(identity.text, same); // the cut one may have taken an empty set away
  }

  private ended(session: Session): void {
    const { text } = session.identity;
    const same = this.sessions.get(text);
    if (!same?.delete(session)) return;
    this.counted.sessions--;
    if (!same.size) this.sessions.delete(text);
    if (session.isConnected) this.emit({ kind: "disconnected", identity: text });
  }

  private operator(socket: Socket): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    if (this.inside) this.inside.operator(socket);
    else socket.destroy(); // the operator speaks to the broker itself
  }

  private refused(address: string, reason: string, identity?: string): void {
    this.counted.refused++;
    this.metrics.refused.inc({ reason });
    this.emit({ kind: "refused", address, reason, ...(identity && { identity }) });
  }

  private fault(reason: string): void {
    this.metrics.faults.inc();
    this.emit({ kind: "fault", reason });
  }

  // ----------------------------------------------------------------------------------------------- the list

  setList(list: FleetList): void {
    this.list = { ...list, keyVersion: list.keyVersion ?? this.options.keyVersion ?? 1 };
    for (const same of [...this.sessions.values()])
      for (const session of [...same]) if (!isLetIn(this.list, session.identity)) session.cut();
  }

  revoke(identity: string): void {
    this.setList({ ...this.list, denied: new Set([...this.list.denied, identity]) });
  }

  // ---------------------------------------------------------------------------------------------------- end

  private async isReady(): Promise<boolean> {
    if (this.isDraining || !this.servers.devices.listening) return false;
    return this.upstream ? this.upstream.isThere() : true;
  }

  /** Devices that are sent away come back at once, elsewhere: spread over time they do not all come together. */
  async drain(): Promise<void> {
    this.isDraining = true;
    this.servers.devices.close();
    this.servers.akep2.close();
    const all = [...this.sessions.values()].flatMap((same) => [...same]);
    const stepMs = 50;
    const steps = Math.max(1, Math.floor(this.limits.drainMs / stepMs));
    const each = Math.ceil(all.length / steps);
    while (all.length) {
      for (const session of all.splice(0, each)) session.cut();
      if (all.length) await new Promise((resolve) => setTimeout(resolve, stepMs));
    }
  }

  async close(): Promise<void> {
    this.isDraining = true;
    const closed = Object.values(this.servers).map(
      (server) => new Promise((resolve) => server.close(resolve)),
    );
    await this.inside?.close();
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(closed);
    this.store?.close();
  }
}

/**
 * From an identity's text to its key. Every call derives twice, the device's key and one under a master that nobody
 * has, and then takes one of them: known or not, revoked or not, the work is the same.
 */
class KeySource {
  derivations = 0;
  private readonly nobodysMaster: Master;
  private readonly nobody = parseIdentity("v1.nobody.0");

  constructor(
    private readonly master: Master,
    private readonly onFault: (reason: string) => void,
  ) {
    this.nobodysMaster = masterFromBytes(randomKey(), master.purpose, master.scheme);
  }

  keyOf(text: string, list: FleetList, label: Label): { key: Buffer; identity?: Identity } {
    try {
      const { identity, keys } = this.parseAndDerive(text, label);
      const [deviceKey, nobodysKey] = keys;
      return identity && isLetIn(list, identity) ? { key: deviceKey, identity } : { key: nobodysKey };
    } catch (error) {
      // The token with the master is gone: everyone is refused, and the gateway says why and lives on.
      if (!(error instanceof DeviceError)) throw error;
      this.onFault(error.message);
      return { key: this.nobodysMaster.deviceKey(this.nobody) };
    }
  }

  private parseAndDerive(text: string, label: Label): { identity?: Identity; keys: Buffer[] } {
    try {
      const identity = parsePresented(text);
      return { identity, keys: this.deriveBoth(identity, label) };
    } catch (error) {
      if (error instanceof UsageError) return { keys: this.deriveBoth(this.nobody, label) };
      throw error;
    }
  }

  private deriveBoth(identity: Identity, label: Label): Buffer[] {
    const keys = [this.master, this.nobodysMaster].map((one) => one.deviceKey(identity, label));
    this.derivations += keys.length;
    return keys;
  }
}

function portOf(server: Server): number | undefined {
  return (server.address() as AddressInfo | null)?.port;
}
