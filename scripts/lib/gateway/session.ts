// One device, from the end of its handshake to the end of its connection. Nothing of it reaches a broker before its CONNECT
// has been looked at, and then only packets that it may send: its own name, its own topics, within its quotas. What
// is passed on is written anew from what was read, so that a broker cannot read it another way.
// Outward, what waits for a device that does not read is counted, and above its limit the device is cut off: nobody waits.
// Inward, one chunk of what it sends is kept, as bytes, and no more is read before that is passed on.
// Leaves out: QoS 2 (a device uses 0 and 1), sessions that outlive a connection, MQTT 5.
import type { Duplex } from "node:stream";
import mqtt, { type IConnectPacket, type Packet, type QoS } from "mqtt-packet";
import { clientIdOf, type Identity } from "../keys/identity";
import type { Limits } from "./limits";
import { encodePacket, PacketFault, PacketReader, parsePacket } from "./packet_reader";
import { TokenBucket } from "./token_bucket";
import { IMAGES, mayPublish, maySubscribe } from "./topics";

/** Return codes of CONNACK (MQTT 3.1.1, 3.2.2.3). */
export const CONNACK = {
  VERSION: 1,
  IDENTIFIER: 2,
  UNAVAILABLE: 3,
  NOT_AUTHORIZED: 5,
} as const;
const REFUSED_FILTER = 0x80; // in SUBACK, 3.9.3
const LAST_MS = 2_000; // for what was written last to be read
const MESSAGE_BYTES = 512; // of which a packet counts one more

/** Where a session's packets go: the broker inside, or one upstream. */
export interface Back {
  /** Take a packet. False: no more until the session's `ready` is called. */
  send(packet: Packet, bytes: Buffer): boolean;
  /** Topics that the device retains messages on. */
  retains(topic: string): { count: number; known: boolean };
  /** The device is gone, and all that it had sent has been given. */
  end(): void;
}

export interface SessionPorts {
  limits: Limits;
  /** Whether the identity is let in now. */
  isLetIn(identity: Identity): boolean;
  isOperator(identity: Identity): boolean;
  /** Open a way to a broker; it calls the session's `accept` or `refuse` at some time. */
  open(session: Session, connect: IConnectPacket): Back;
  onDenied(session: Session, topic: string, action: "publish" | "subscribe"): void;
  onRefused(session: Session, reason: string): void;
  onConnected(session: Session): void;
  onEnd(session: Session): void;
  /** Of all devices together, kept by the sessions: bytes that wait for them, and bytes of theirs that wait for the broker. */
  queued: { bytes: number; held: number };
}

export class Session {
  readonly clientId: string;
  /** Not undefined from CONNECT on. */
  back: Back | undefined;
  isConnected = false;
  private readonly reader: PacketReader;
  private filters = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private readonly bucket: TokenBucket;
  private queuedBytes = 0;
  private heldBytes = 0;
  private waits = false; // for the broker
  private isGone = false; // the device; what it sent before is still to be passed on
  private hasEnded = false;

  constructor(
    readonly socket: Duplex,
    readonly identity: Identity,
    readonly address: string,
    private readonly ports: SessionPorts,
  ) {
    this.clientId = clientIdOf(identity);
    this.reader = new PacketReader(ports.limits.packetLength);
    this.bucket = new TokenBucket(ports.limits);
    this.timer = setTimeout(() => this.fail("no CONNECT came in time"), ports.limits.connectTimeoutMs);
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("error", () => {}); // a reset is a close
    socket.once("close", () => this.gone());
  }

  /** The broker has taken it: CONNACK is on its way. */
  accept(): void {
    if (this.hasEnded) return;
    this.isConnected = true;
    this.ports.onConnected(this);
    this.pump();
  }

  /** The broker takes more. */
  ready(): void {
    this.waits = false;
    this.pump();
  }

  /** Tell the device why not, and end. */
  refuse(code: number, reason: string): void {
    if (this.hasEnded) return;
    this.ports.onRefused(this, reason);
    if (!this.isGone) this.close(mqtt.generate({ cmd: "connack", returnCode: code, sessionPresent: false }));
    this.end();
  }

  /** End the connection behind what was written, and this; who does not read it keeps no socket. */
  close(last?: Buffer): void {
    this.socket.end(last);
    setTimeout(() => this.socket.destroy(), LAST_MS).unref();
  }

  /** End at once; the broker sends its will. */
  cut(): void {
    this.socket.destroy();
    this.end();
  }

  private fail(reason: string): void {
    if (!this.hasEnded) this.ports.onRefused(this, reason);
    this.cut();
  }

  private gone(): void {
    this.isGone = true;
    this.ports.queued.bytes -= this.queuedBytes;
    this.queuedBytes = 0;
    if (this.back) this.pump();
    else this.end();
  }

  private end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearTimeout(this.timer);
    this.reader.clear();
    this.count();
    this.back?.end();
    this.ports.onEnd(this);
  }

  // --------------------------------------------------------------------------------------- to the device

  /** Give bytes to the device. False: it has not read what it had; `onDrained` is called when it has. */
  deliver(bytes: Buffer, onDrained: () => void): boolean {
    if (this.isGone || this.hasEnded) return true;
    const { limits, queued } = this.ports;
    const drained = this.socket.write(bytes, onDrained);
    const waiting = this.socket.writableLength;
    queued.bytes += waiting - this.queuedBytes;
    this.queuedBytes = waiting;
    if (waiting > limits.queuedBytes || queued.bytes > limits.queuedBytesTotal) this.fail("it does not read");
    return drained;
  }

  /** Some of what waited has gone out. */
  written(): void {
    if (this.isGone) return;
    const waiting = this.socket.writableLength;
    this.ports.queued.bytes += waiting - this.queuedBytes;
    this.queuedBytes = waiting;
  }

  // -------------------------------------------------------------------------------------- from the device

  private receive(chunk: Buffer): void {
    if (this.hasEnded) return;
    this.reader.feed(chunk);
    this.pump();
  }

  private count(): void {
    this.ports.queued.held += this.reader.length - this.heldBytes;
    this.heldBytes = this.reader.length;
  }

  /** The first packet that is whole, unless what comes is no MQTT, which ends the session. */
  private first(): Buffer | undefined {
    return this.orFail(() => this.reader.first());
  }

  private orFail<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof PacketFault)) throw error;
      this.fail(error.message);
      return undefined;
    }
  }

  /** Pass on what has come, as fast as the broker takes it and the device may send; meanwhile no more is read. */
  pump(): void {
    let bytes = this.first();
    while (bytes && this.mayTake()) {
      const packet = this.orFail(() => parsePacket(bytes as Buffer));
      this.reader.drop(bytes);
      if (packet) this.orFail(() => this.take(packet));
      bytes = this.hasEnded ? undefined : this.first();
    }
    if (this.hasEnded) return;
    this.count();
    if (this.isGone) {
      // Nobody waits for the rate of a device that has gone: what is over it goes with it.
      if (!bytes || (this.isConnected && !this.waits)) this.end();
    } else if (bytes) this.socket.pause();
    else if (this.socket.isPaused()) this.socket.resume();
  }

  private mayTake(): boolean {
    return !this.back || (this.isConnected && !this.waits && this.hasToken());
  }

  private take(packet: Packet): void {
    if (!this.back) return this.connect(packet);
    if (!this.isOperator)
      this.bucket.take(
        1 + (packet.cmd === "publish" ? Math.floor(packet.payload.length / MESSAGE_BYTES) : 0),
      );
    this.pass(packet);
  }

  private hasToken(): boolean {
    if (this.isOperator) return true;
    const waitMs = this.bucket.waitMs();
    if (!waitMs) return true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pump(), waitMs + 1);
    return false;
  }

  private get isOperator(): boolean {
    return this.ports.isOperator(this.identity);
  }

  private connect(packet: Packet): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (packet.cmd !== "connect") return this.fail("its first packet is no CONNECT");
    const { identity, ports } = this;
    const { limits } = ports;
    if (packet.protocolVersion !== 4 || packet.protocolId !== "MQTT")
      return this.refuse(CONNACK.VERSION, "it does not speak MQTT 3.1.1");
    if (!ports.isLetIn(identity)) return this.refuse(CONNACK.NOT_AUTHORIZED, "it is denied");
    // One key, one client (RFC 9257, 4): its MQTT name is its TLS identity's, and the latest connection wins.
    const isOwnName =
      packet.clientId === this.clientId ||
      (this.isOperator && packet.clientId.startsWith(`${this.clientId}-`));
    if (!isOwnName) return this.refuse(CONNACK.IDENTIFIER, "it came under another name");
    if (!packet.keepalive || packet.keepalive > limits.keepAliveS)
      return this.refuse(CONNACK.IDENTIFIER, "its keep-alive is none, or too long");
    if (!packet.clean) return this.refuse(CONNACK.NOT_AUTHORIZED, "it wants a session that outlives it");
    const { will } = packet;
    if (will && !this.mayPublish(will.topic, (will.retain ?? false) && will.payload.length > 0)) {
      ports.onDenied(this, will.topic, "publish");
      return this.refuse(CONNACK.NOT_AUTHORIZED, "its will is not its own");
    }
    if (will?.qos === 2) will.qos = 1;
    const { username, password, ...rest } = packet; // the key has said who it is
    const clientId = this.isOperator ? packet.clientId : this.clientId;
    this.back = ports.open(this, { ...rest, clientId });
  }

  private mayPublish(topic: string, retains: boolean): boolean {
    if (/[+#\0]/.test(topic) || topic === "") return false;
    if (this.isOperator) return true;
    if (!mayPublish(this.identity, topic)) return false;
    if (!retains || !this.back) return true;
    const { count, known } = this.back.retains(topic);
    return known || count < this.ports.limits.retained;
  }

  private give(packet: Packet): void {
    this.waits = !(this.back as Back).send(packet, encodePacket(packet));
  }

  /** Pass one packet on, or end. */
  private pass(packet: Packet): void {
    switch (packet.cmd) {
      case "publish":
        if (packet.qos === 2) this.fail("it used QoS 2");
        else if (!this.mayPublish(packet.topic, packet.retain && packet.payload.length > 0)) {
          this.ports.onDenied(this, packet.topic, "publish");
          this.cut();
        } else this.give(packet);
        break;
      case "subscribe":
        this.subscribe(packet);
        break;
      case "unsubscribe":
        for (const filter of packet.unsubscriptions) this.filters.delete(filter);
        this.give(packet);
        break;
      case "puback":
      case "pingreq":
      case "disconnect":
        this.give(packet);
        break;
      default:
        this.fail(`a device sends no ${packet.cmd}`);
    }
  }

  /** A SUBSCRIBE with a filter that is not the device's, or one too many, is refused whole. */
  private subscribe(packet: Packet & { cmd: "subscribe" }): void {
    const { subscriptions, messageId } = packet;
    const denied = this.isOperator
      ? undefined
      : subscriptions.find(({ topic }) => topic.includes("\0") || !maySubscribe(this.identity, topic));
    const wanted = new Set([...this.filters, ...subscriptions.map(({ topic }) => topic)]);
    const images = [...wanted].filter((filter) => filter.startsWith(IMAGES)).length;
    const tooMany =
      !this.isOperator &&
      (images > this.ports.limits.imageSubscriptions ||
        wanted.size - images > this.ports.limits.subscriptions);
    if (denied || tooMany) {
      this.ports.onDenied(this, (denied ?? subscriptions[0]).topic, "subscribe");
      const granted = subscriptions.map(() => REFUSED_FILTER);
      this.deliver(mqtt.generate({ cmd: "suback", messageId: messageId as number, granted }), () =>
        this.written(),
      );
      return;
    }
    this.filters = wanted;
    for (const one of subscriptions) one.qos = Math.min(1, one.qos) as QoS;
    this.give(packet);
  }
}
