/*
 * The other end of one device of the profile `esp` on 127.0.0.1, which can be told to misbehave in every field, for tests: ESP in TCP, honest where it
 * is not told otherwise. Every packet of the device is kept as it came.
 */
import { createServer, type Socket } from "node:net";
import { type Association, type Associations, associationsOf, type Transform } from "../../keys/esp_keys";
import { datagramOf, packetOf, SERVER_ADDRESS } from "../../tunnel/ipv4";
import { IPV4, padded, protectPadded, unprotect } from "../../tunnel/packet";
import { framed } from "../../tunnel/stream";
import { Watch } from "../device";

const PREFIX = 6;

/** A packet that the device has sent. */
export interface Sent {
  bytes: Buffer;
  sequence: number;
  datagram: string;
}

/** One connection of the device. */
export class PeerConnection {
  stream: Buffer = Buffer.alloc(0);
  readonly sent: Sent[] = [];
  isClosed = false;
  private pending: Buffer = Buffer.alloc(0);
  private isOpen = false;

  constructor(
    private readonly peer: EspPeer,
    readonly socket: Socket,
  ) {
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      peer.wake();
    });
    socket.on("data", (bytes) => this.take(bytes));
  }

  private take(bytes: Buffer): void {
    this.stream = Buffer.concat([this.stream, bytes]);
    this.pending = Buffer.concat([this.pending, bytes]);
    if (!this.isOpen && this.pending.length >= PREFIX) {
      this.isOpen = true;
      this.pending = this.pending.subarray(PREFIX);
    }
    while (this.isOpen && this.pending.length >= 2 && this.pending.length >= this.pending.readUInt16BE(0)) {
      const length = this.pending.readUInt16BE(0);
      const packet = Buffer.from(this.pending.subarray(2, length));
      this.pending = this.pending.subarray(length);
      const { up, address } = this.peer.associations;
      if (packet.readUInt32BE(0) !== up.spi) {
        this.peer.strangers.push(packet);
        this.socket.destroy();
        break;
      }
      const { payload } = unprotect(up, packet);
      const datagram = datagramOf(payload, address).toString("latin1");
      const sequence = packet.readUInt32BE(4);
      this.sent.push({ bytes: packet, sequence, datagram });
      this.peer.highest = Math.max(this.peer.highest, sequence);
      if (datagram === "ping" && this.peer.answers) this.say("pong");
    }
    this.peer.wake();
  }

  /** Send a datagram to the device, under the next number or another. */
  say(datagram: string | Buffer, sequence?: number): void {
    this.socket.write(framed(this.peer.packet(datagram, sequence)));
  }
}

export class EspPeer extends Watch {
  readonly associations: Associations;
  readonly connections: PeerConnection[] = [];
  /** Packets under another SPI, whose connections end. */
  readonly strangers: Buffer[] = [];
  /** Whether a `ping` is answered. */
  answers = true;
  /** The highest number that came or was sent. */
  highest = 0;
  port = 0;
  private readonly server = createServer({ noDelay: true }, (socket) => {
    this.connections.push(new PeerConnection(this, socket));
    this.wake();
  });

  private constructor(key: Buffer, transform: Transform) {
    super();
    this.associations = associationsOf(key, transform);
  }

  static async start(key: Buffer, transform: Transform): Promise<EspPeer> {
    const peer = new EspPeer(key, transform);
    await new Promise<void>((resolve) => peer.server.listen(0, "127.0.0.1", resolve));
    peer.port = (peer.server.address() as { port: number }).port;
    return peer;
  }

  get down(): Association {
    return this.associations.down;
  }

  /** The next number to send under. */
  next(): number {
    return ++this.highest;
  }

  /** A packet in the tunnel with that datagram. */
  inner(datagram: string | Buffer): Buffer {
    return packetOf(SERVER_ADDRESS, this.associations.address, Buffer.from(datagram as string, "latin1"));
  }

  /** A packet of ESP with that datagram. */
  packet(datagram: string | Buffer, sequence = this.next()): Buffer {
    return this.seal(padded(this.down.transform, this.inner(datagram)), sequence);
  }

  /** A packet of ESP with this inside, padding and next header with it. */
  seal(text: Buffer, sequence = this.next()): Buffer {
    return protectPadded(this.down, sequence, text);
  }

  /** The same with other things in the tunnel, well padded. */
  sealInner(inner: Buffer, nextHeader = IPV4): Buffer {
    return this.seal(padded(this.down.transform, inner, nextHeader));
  }

  get last(): PeerConnection {
    return this.connections[this.connections.length - 1];
  }

  /** All datagrams that begin so. */
  datagrams(beginning: string): string[] {
    return this.connections
      .flatMap(({ sent }) => sent.map(({ datagram }) => datagram))
      .filter((datagram) => datagram.startsWith(beginning));
  }

  /** All packets of the device, in order. */
  get packets(): Sent[] {
    return this.connections.flatMap(({ sent }) => sent);
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
