// The way to a broker that stands elsewhere, or to a cluster: for each device a TCP connection on which its CONNECT, looked at
// and written anew, goes ahead of what it sends. No state is kept here, so that any number of gateways run side by side;
// that the latest connection of a device wins is the broker's to see to. The brokers are tried in turn, beginning with
// another one each time; where none takes a device, it is told so (CONNACK 3) and comes back by itself.
// Leaves out: TLS to the broker. It stands beside the gateway, in a network of the operator's own, or behind a stunnel.
import { connect as connectTcp, type Socket } from "node:net";
import type { IConnectPacket, Packet } from "mqtt-packet";
import { connectFault } from "../cli/connect_fault";
import { UsageError } from "../cli/exit";
import { readPrivateFile } from "../files/private_file";
import { encodePacket } from "./packet_reader";
import { type Back, CONNACK, type Session } from "./session";
import type { Upstream } from "./upstream_place";

const ANSWER_TIMEOUT_MS = 5_000; // for TCP, and again for CONNACK

/** A name and password for the brokers; every device's connection uses the same, which only the gateway knows. */
export interface Credentials {
  username: string;
  password: Buffer;
}

/** Read `NAME:PASSWORD` from a private file. Throws UsageError. */
export function readCredentials(path: string): Credentials {
  const bytes = readPrivateFile(path, 1_024, "a name and a password");
  const colon = bytes.indexOf(":");
  const end = bytes.indexOf("\n");
  if (colon < 1) throw new UsageError(`${path} does not hold NAME:PASSWORD.`);
  return {
    username: bytes.toString("utf8", 0, colon),
    password: bytes.subarray(colon + 1, end < 0 ? undefined : end),
  };
}

export class UpstreamBrokers {
  private next = 0;
  /** Connections to brokers now. */
  connections = 0;

  constructor(
    private readonly brokers: readonly Upstream[],
    private readonly credentials: Credentials | undefined,
    private readonly onFault: (reason: string) => void,
  ) {}

  open(session: Session, connect: IConnectPacket): Back {
    const way = new Way(
      session,
      encodePacket({ ...connect, ...this.credentials }),
      this.inTurn(),
      this.onFault,
      (step) => {
        this.connections += step;
      },
    );
    return way;
  }

  /** Whether any broker takes a connection now. */
  async isThere(): Promise<boolean> {
    for (const broker of this.inTurn()) {
      const taken = await new Promise<boolean>((resolve) => {
        const socket = connectTcp({ ...broker, timeout: ANSWER_TIMEOUT_MS }, () => resolve(true));
        socket.once("error", () => resolve(false)).once("timeout", () => resolve(false));
        socket.once("connect", () => socket.destroy()).once("timeout", () => socket.destroy());
      });
      if (taken) return true;
    }
    return false;
  }

  private inTurn(): Upstream[] {
    const at = this.next++ % this.brokers.length;
    return [...this.brokers.slice(at), ...this.brokers.slice(0, at)];
  }
}

/** One device's way to a broker. */
class Way implements Back {
  private socket: Socket | undefined;
  private isTaken = false;
  private hasEnded = false;
  private answer = Buffer.alloc(0); // until CONNACK is whole
  private readonly retained = new Set<string>();

  constructor(
    private readonly session: Session,
    private readonly connect: Buffer,
    private readonly left: Upstream[],
    private readonly onFault: (reason: string) => void,
    private readonly count: (step: 1 | -1) => void,
  ) {
    this.tryNext("");
  }

  private tryNext(fault: string): void {
    const broker = this.left.shift();
    if (!broker) {
      this.onFault(`no broker takes a device: ${fault}`);
      this.hasEnded = true;
      return this.session.refuse(CONNACK.UNAVAILABLE, "no broker is there");
    }
    const where = `${broker.host}:${broker.port}`;
    const socket = connectTcp({ ...broker, noDelay: true });
    this.socket = socket;
    this.answer = Buffer.alloc(0);
    let reason = "it closed before it answered";
    this.count(1);
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error("it does not answer")));
    socket.once("connect", () => socket.write(this.connect));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      reason = connectFault(error);
    });
    socket.on("data", (chunk: Buffer) => (this.isTaken ? this.forward(chunk) : this.connack(chunk)));
    socket.on("drain", () => this.session.ready());
    socket.once("close", () => {
      this.count(-1);
      if (this.hasEnded || socket !== this.socket) return;
      // The broker has gone, or another connection has this device's name now: its device begins again.
      if (this.isTaken) this.session.cut();
      else this.tryNext(`${where}: ${reason}`);
    });
  }

  /** CONNACK is four bytes (MQTT 3.1.1, 3.2); what follows goes to the device with it. */
  private connack(chunk: Buffer): void {
    this.answer = Buffer.concat([this.answer, chunk]);
    if (this.answer.length < 4) return;
    const [type, length, , code] = this.answer;
    const socket = this.socket as Socket;
    if (type !== 0x20 || length !== 2) return void socket.destroy(new Error("it does not speak MQTT 3.1.1"));
    if (code !== 0) return void socket.destroy(new Error(`it refuses with CONNACK ${code}`));
    this.isTaken = true;
    socket.setTimeout(0);
    this.forward(this.answer);
    this.session.accept();
  }

  /** A device that does not read stops its broker's socket, and the broker's own limit is the queue. */
  private forward(bytes: Buffer): void {
    const socket = this.socket as Socket;
    const drained = this.session.deliver(bytes, () => {
      this.session.written();
      if (socket.isPaused()) socket.resume();
    });
    if (!drained) socket.pause();
  }

  send(packet: Packet, bytes: Buffer): boolean {
    if (packet.cmd === "publish" && packet.retain && packet.payload.length) this.retained.add(packet.topic);
    return (this.socket as Socket).write(bytes);
  }

  /** What this connection has retained: what earlier ones did, only the broker knows. */
  retains(topic: string): { count: number; known: boolean } {
    return { count: this.retained.size, known: this.retained.has(topic) };
  }

  end(): void {
    this.hasEnded = true;
    this.socket?.end();
    // A broker that does not answer our FIN is let go.
    const { socket } = this;
    setTimeout(() => socket?.destroy(), ANSWER_TIMEOUT_MS).unref();
  }
}
