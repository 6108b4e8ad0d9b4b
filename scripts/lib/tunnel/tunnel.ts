// The other end of devices of the profile `esp` (firmware/README.md 14): takes their packets of ESP in TCP (RFC 9329), hands the datagrams in them on
// to one UDP socket, and what that one sends back to the devices. Which device it is the SPI says; where two have the same, the ICV.
// What is no packet of a device's ends its connection, whatever is wrong with it; nothing is answered before a packet was good.
// Leaves out acknowledgements: a datagram for a device that is not there, or does not read, is lost and counted.
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { UsageError } from "../cli/exit";
import { fileFault, systemFault } from "../cli/fault";
import { listen } from "../cli/listen";
import type { Associations } from "../keys/esp_keys";
import type { Identity } from "../keys/identity";
import { topicPrefix } from "../keys/identity";
import type { Counter, Counters } from "./counters";
import { DATAGRAM_LONGEST, datagramOf, packetOf, SERVER_ADDRESS } from "./ipv4";
import { headOf, IPV4, NO_NEXT_HEADER, PacketFault, protect, unprotect } from "./packet";
import { framed, StreamReader } from "./stream";

/** A device that is let in. */
export interface TunnelDevice {
  identity: Identity;
  associations: Associations;
}

export interface Place {
  host: string;
  port: number;
}

/** What happens, for people and machines. */
export type TunnelEvent =
  | { event: "connected" | "ended"; identity: string; address: string }
  | { event: "refused"; address: string; identity?: string; reason: string }
  | { event: "lost"; identity?: string; reason: string };

export interface TunnelLimits {
  /** Connections at a time. */
  connections: number;
  /** From TCP's accept to a good packet, milliseconds. */
  firstPacketMs: number;
  /** Without a packet, milliseconds: a device asks for a sign of life each minute. */
  silenceMs: number;
  /** Bytes that wait for a device that does not read; a datagram above is lost. */
  queuedBytes: number;
}

export const LIMITS: TunnelLimits = {
  connections: 10_000,
  firstPacketMs: 15_000,
  silenceMs: 180_000,
  queuedBytes: 16_384,
};

export interface TunnelOptions {
  listen: Place;
  /** Where datagrams are sent from, and where what is for devices comes. */
  udp: Place;
  /** Where they are handed on, and whence alone datagrams for devices are taken: an IPv4 address. */
  to: Place;
  devices: readonly TunnelDevice[];
  counters: Counters;
  limits?: Partial<TunnelLimits>;
  onEvent?(event: TunnelEvent): void;
}

/** Find devices by the SPI that they send under and by their topics. */
class Devices {
  private readonly bySpi = new Map<number, TunnelDevice[]>();
  private readonly byPrefix = new Map<string, TunnelDevice>();
  constructor(devices: readonly TunnelDevice[]) {
    for (const device of devices) {
      const { spi } = device.associations.up;
      this.bySpi.set(spi, [...(this.bySpi.get(spi) ?? []), device]);
      const prefix = topicPrefix(device.identity);
      const other = this.byPrefix.get(prefix);
      // of two key versions the later one is sent to, until the other one speaks
      if (!other || other.identity.keyVersion < device.identity.keyVersion) this.byPrefix.set(prefix, device);
    }
  }
  withSpi(spi: number): readonly TunnelDevice[] {
    return this.bySpi.get(spi) ?? [];
  }
  has(identity: string): boolean {
    return [...this.bySpi.values()].flat().some((device) => device.identity.text === identity);
  }
  knows(prefix: string): boolean {
    return this.byPrefix.has(prefix);
  }
}

const addressOf = (socket: Socket) => `${socket.remoteAddress}:${socket.remotePort}`;

export class Tunnel {
  private devices: Devices;
  private readonly connections = new Set<Connection>();
  /** The connection of each device that is there, by its topics. */
  private readonly there = new Map<string, Connection>();
  private server?: Server;
  private udp?: UdpSocket;
  readonly limits: TunnelLimits;

  constructor(readonly options: TunnelOptions) {
    this.devices = new Devices(options.devices);
    this.limits = { ...LIMITS, ...options.limits };
  }

  /** Listen. Throws UsageError where it cannot. */
  async start(): Promise<void> {
    this.udp = await bound(this.options.udp);
    this.udp.on("message", (datagram, from) => this.fromUdp(datagram, from));
    // what cannot be delivered there is lost
    this.udp.on("error", (error) => this.tell({ event: "lost", reason: systemFault(error) }));
    this.server = createServer({ noDelay: true }, (socket) => this.accept(socket));
    try {
      await listen(this.server, this.options.listen, "the tunnel");
    } catch (error) {
      this.udp.close();
      throw error;
    }
  }

  /** Where it listens and sends from, once it is started. */
  get places(): { port: number; udpPort: number } {
    const address = this.server?.address() as { port: number };
    return { port: address.port, udpPort: (this.udp as UdpSocket).address().port };
  }

  /** Let in these and no others; connections of others end. */
  setDevices(devices: readonly TunnelDevice[]): void {
    this.devices = new Devices(devices);
    for (const connection of this.connections)
      if (connection.device && !this.devices.has(connection.device.identity.text)) connection.end();
  }

  async stop(): Promise<void> {
    for (const connection of this.connections) connection.end();
    await new Promise((resolve) => (this.server ? this.server.close(resolve) : resolve(undefined)));
    await new Promise((resolve) =>
      this.udp ? this.udp.close(() => resolve(undefined)) : resolve(undefined),
    );
  }

  tell(event: TunnelEvent): void {
    this.options.onEvent?.(event);
  }

  private accept(socket: Socket): void {
    socket.on("error", () => {});
    if (this.connections.size >= this.limits.connections) {
      this.tell({ event: "refused", address: addressOf(socket), reason: "there are too many connections" });
      socket.destroy();
      return;
    }
    const connection = new Connection(this, socket);
    this.connections.add(connection);
    socket.on("close", () => {
      this.connections.delete(connection);
      const { device } = connection;
      if (!device) return;
      if (this.there.get(topicPrefix(device.identity)) === connection)
        this.there.delete(topicPrefix(device.identity));
      this.tell({ event: "ended", identity: device.identity.text, address: connection.address });
    });
  }

  /** Find whose packet it is, and open it: its number is noted. Throws PacketFault. */
  open(packet: Buffer, own?: TunnelDevice): { device: TunnelDevice; counter: Counter; datagram?: Buffer } {
    const head = headOf(packet);
    if (!head) throw new PacketFault("has a length that no packet has");
    const candidates = own
      ? own.associations.up.spi === head.spi
        ? [own]
        : []
      : this.devices.withSpi(head.spi);
    let fault = new PacketFault("has an SPI of no device");
    for (const device of candidates) {
      const counter = this.options.counters.of(device.identity.text);
      if (!counter.isNew(head.sequence)) {
        fault = new PacketFault("has a sequence number that came already");
        continue;
      }
      let opened: ReturnType<typeof unprotect>;
      try {
        opened = unprotect(device.associations.up, packet);
      } catch (error) {
        if (!(error instanceof PacketFault)) throw error;
        fault = error;
        continue;
      }
      counter.accept(head.sequence);
      const { nextHeader, payload } = opened;
      // a packet that is there to hide how much is said (RFC 4303, 2.6)
      if (nextHeader === NO_NEXT_HEADER) return { device, counter };
      if (nextHeader !== IPV4) throw new PacketFault("has no IPv4 packet of a device's in the tunnel");
      return { device, counter, datagram: datagramOf(payload, device.associations.address) };
    }
    throw fault;
  }

  /** The device of this connection is there; an older connection of it gives way. */
  isThere(connection: Connection, { identity }: TunnelDevice): void {
    const prefix = topicPrefix(identity);
    const older = this.there.get(prefix);
    this.there.set(prefix, connection);
    older?.end();
    this.tell({ event: "connected", identity: identity.text, address: connection.address });
  }

  /** Hand a datagram of a device on: `<product>/<serial>/` before it. */
  handOn({ identity }: TunnelDevice, datagram: Buffer): void {
    const { host, port } = this.options.to;
    this.udp?.send([Buffer.from(topicPrefix(identity)), datagram], port, host);
  }

  private fromUdp(datagram: Buffer, from: RemoteInfo): void {
    const { to } = this.options;
    if (from.address !== to.host || from.port !== to.port)
      return this.tell({
        event: "lost",
        reason: `a datagram of ${from.address}:${from.port} is of nobody's`,
      });
    const second = datagram.indexOf("/", datagram.indexOf("/") + 1);
    const prefix = datagram.toString("latin1", 0, second + 1);
    if (second < 0 || !this.devices.knows(prefix))
      return this.tell({ event: "lost", reason: "a datagram is for no device that is let in" });
    const text = datagram.subarray(second + 1);
    if (text.length > DATAGRAM_LONGEST)
      return this.tell({
        event: "lost",
        reason: `a datagram for ${prefix} has ${text.length} bytes, and a device takes ${DATAGRAM_LONGEST}`,
      });
    const connection = this.there.get(prefix);
    if (!connection) this.tell({ event: "lost", reason: `${prefix} is not there` });
    else connection.send(text);
  }
}

/** One TCP connection; whose it is shows with its first good packet. */
class Connection {
  device?: TunnelDevice;
  private counter?: Counter;
  readonly address: string;
  private readonly reader = new StreamReader();
  private timer: NodeJS.Timeout;

  constructor(
    private readonly tunnel: Tunnel,
    private readonly socket: Socket,
  ) {
    this.address = addressOf(socket);
    this.timer = setTimeout(
      () => this.refuse("no packet of a device's came in time"),
      tunnel.limits.firstPacketMs,
    );
    socket.on("data", (bytes) => this.take(bytes));
    socket.on("end", () => this.end());
    socket.on("close", () => clearTimeout(this.timer));
  }

  end(): void {
    this.socket.destroy();
  }

  /** Send a datagram; it is lost where the device does not read, or its key is used up. */
  send(text: Buffer): void {
    const { device, counter, socket } = this;
    if (!device || !counter) return;
    const lost = (reason: string) =>
      this.tunnel.tell({ event: "lost", identity: device.identity.text, reason });
    if (socket.writableLength > this.tunnel.limits.queuedBytes) return lost("the device does not read");
    let number: number | undefined;
    try {
      number = counter.next();
    } catch (error) {
      return lost(`its sequence numbers cannot be kept: ${fileFault(error)}`);
    }
    if (number === undefined) return lost("its key is used up: give it another");
    const { down, address } = device.associations;
    socket.write(framed(protect(down, number, packetOf(SERVER_ADDRESS, address, text))));
  }

  private refuse(reason: string): void {
    this.tunnel.tell({
      event: "refused",
      address: this.address,
      ...(this.device && { identity: this.device.identity.text }),
      reason,
    });
    this.end();
  }

  private take(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    try {
      for (const packet of this.reader.take(bytes)) {
        // what keeps a NAT's state alive (RFC 3948, 2.3)
        if (packet.length === 1 && packet[0] === 0xff) continue;
        const { device, counter, datagram } = this.tunnel.open(packet, this.device);
        clearTimeout(this.timer);
        this.timer = setTimeout(
          () => this.refuse("it has been silent for too long"),
          this.tunnel.limits.silenceMs,
        );
        if (!this.device) {
          this.device = device;
          this.counter = counter;
          this.tunnel.isThere(this, device);
        }
        if (datagram?.equals(PING)) this.send(PONG);
        else if (datagram) this.tunnel.handOn(device, datagram);
        if (this.socket.destroyed) return;
      }
    } catch (error) {
      this.refuse(
        error instanceof PacketFault
          ? `what came ${error.message}`
          : `its sequence numbers cannot be kept: ${fileFault(error)}`,
      );
    }
  }
}

/** What a device asks to know whether this end is there, and the answer. */
const PING = Buffer.from("ping");
const PONG = Buffer.from("pong");

/** Open a UDP socket at a place. Throws UsageError. */
function bound({ host, port }: Place): Promise<UdpSocket> {
  const socket = createSocket("udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", (error) =>
      reject(new UsageError(`the tunnel cannot take datagrams on ${host}:${port}: ${systemFault(error)}.`)),
    );
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}
