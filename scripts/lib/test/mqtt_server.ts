/*
 * A broker of a few lines behind Node's TLS with a pre-shared key, for tests that want to see and answer each packet of one
 * simulated board by themselves. Honest where it is not told otherwise.
 */
import { createServer, type TLSSocket } from "node:tls";
import { generate, type Packet, parser } from "mqtt-packet";
import { KEY, Watch } from "./device";

const CIPHERS = "PSK-AES128-CCM8:PSK-AES128-CCM:PSK-AES128-CBC-SHA256:PSK-AES128-CBC-SHA:@SECLEVEL=0";

/** What is answered to a packet: packets, bytes, "close" (close_notify and FIN behind what came before); undefined: what is right. */
export type Answer = (Packet | Buffer | "close")[];

export class MqttServer extends Watch {
  /** All that came, the number of the connection with each. */
  readonly packets: (Packet & { connection: number })[] = [];
  connections = 0;
  port = 0;
  private readonly sockets = new Set<TLSSocket>();
  private stopServer: () => Promise<void> = async () => {};

  private constructor(private readonly answer: (packet: Packet, server: MqttServer) => Answer | undefined) {
    super();
  }

  static async start(
    answer: (packet: Packet, server: MqttServer) => Answer | undefined = () => undefined,
    key: Buffer = KEY,
  ): Promise<MqttServer> {
    const mqtt = new MqttServer(answer);
    const server = createServer(
      { ciphers: CIPHERS, minVersion: "TLSv1.2", maxVersion: "TLSv1.2", pskCallback: () => key },
      (socket) => mqtt.serve(socket),
    );
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    mqtt.port = (server.address() as { port: number }).port;
    mqtt.stopServer = async () => {
      for (const socket of mqtt.sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    };
    return mqtt;
  }

  /** The packets of one kind. */
  of(cmd: Packet["cmd"]): (Packet & { connection: number })[] {
    return this.packets.filter((packet) => packet.cmd === cmd);
  }

  /** What was published on `<base>/up/<name>`. */
  published(name: string): { text: string; connection: number }[] {
    return this.packets.flatMap((packet) =>
      packet.cmd === "publish" && packet.topic === `sensor/0001/up/${name}`
        ? [{ text: packet.payload.toString("latin1"), connection: packet.connection }]
        : [],
    );
  }

  /** Send to the board that is connected. */
  send(...answers: Answer): void {
    for (const socket of this.sockets) give(socket, answers);
  }

  async stop(): Promise<void> {
    await this.stopServer();
  }

  private serve(socket: TLSSocket): void {
    const connection = ++this.connections;
    this.sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.sockets.delete(socket));
    const reader = parser({ protocolVersion: 4 });
    reader.on("packet", (packet) => {
      this.packets.push(Object.assign(packet, { connection }));
      give(socket, this.answer(packet, this) ?? honest(packet));
      this.wake();
    });
    socket.on("data", (bytes) => reader.parse(bytes));
  }
}

/** A PUBLISH of QoS 0. */
export function message(topic: string, payload: string): Packet {
  return { cmd: "publish", topic, payload, qos: 0, dup: false, retain: false };
}

/** All of it in one write, so that it may be one segment. */
function give(socket: TLSSocket, answers: Answer): void {
  socket.cork();
  for (const answer of answers)
    if (answer === "close") socket.end();
    else if (socket.writable) socket.write(Buffer.isBuffer(answer) ? answer : generate(answer));
  socket.uncork();
}

/** What an honest broker answers to a packet. */
export function honest(packet: Packet): Answer {
  if (packet.cmd === "connect") return [{ cmd: "connack", returnCode: 0, sessionPresent: false }];
  if (packet.cmd === "pingreq") return [{ cmd: "pingresp" }];
  if (packet.cmd === "publish" && packet.qos) return [{ cmd: "puback", messageId: packet.messageId }];
  if (packet.cmd === "subscribe")
    return [
      { cmd: "suback", messageId: packet.messageId, granted: packet.subscriptions.map(({ qos }) => qos) },
    ];
  return [];
}
