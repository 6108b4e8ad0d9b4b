// Clients of a TLS-PSK server for tests, that are not our device: Node's tls with a little MQTT, `openssl s_client`, and raw
// bytes where a library would not send what an attacker would. All of them on 127.0.0.1.
import { spawn } from "node:child_process";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import mqtt, { type Packet } from "mqtt-packet";
import { clientIdOf, parsePresented } from "../keys/identity";

/** Where it is; every function here takes a gateway or a peer as well. */
interface Where {
  port: number;
}

/** What OpenSSL makes of the alert for a key that is not the device's; from 3.2 on it has SSL/TLS for SSLV3. */
export const WRONG_KEY = "ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC";
/** The alert itself: fatal, bad_record_mac. */
export const WRONG_KEY_ALERT = "15030300020214";

const ANSWER_TIMEOUT_MS = 20_000; // a defect is told then; nothing waits for it

export function run(
  command: string,
  args: string[],
  input = "",
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args);
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code) => resolve({ code, output }));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** Run `openssl s_client` to the end of its input. The keys here are throwaway: elsewhere none goes on a command line. */
export function sClient({ port }: Where, identity: string, key: Buffer, args: string[]) {
  const psk = ["-psk", key.toString("hex"), "-psk_identity", identity];
  const version = args.some((arg) => arg.startsWith("-tls")) ? [] : ["-tls1_2"];
  return run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...psk, ...version, ...args]);
}

export function tlsClient({ port }: Where, identity: string, key: Buffer, session?: Buffer): TLSSocket {
  return connectTls({
    host: "127.0.0.1",
    port,
    maxVersion: "TLSv1.2",
    ciphers: "PSK-AES128-CCM8:PSK-AES128-CBC-SHA:@SECLEVEL=0",
    pskCallback: () => ({ identity, psk: key }),
    checkServerIdentity: () => undefined,
    session,
  });
}

/** Try a handshake with Node's client: "in", or the code of its error. */
export function knock(where: Where, identity: string, key: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = tlsClient(where, identity, key);
    socket.once("secureConnect", () => (socket.destroy(), resolve("in")));
    socket.once("error", (error: NodeJS.ErrnoException) =>
      resolve((error.code ?? error.message).replace("SSL/TLS", "SSLV3")),
    );
  });
}

/** A connection after its handshake, before CONNECT. */
export function secure(where: Where, identity: string, key: Buffer, session?: Buffer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsClient(where, identity, key, session);
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

export interface TcpClient {
  socket: Socket;
  closed: Promise<void>;
}

/** A TCP connection from an address of this machine's own; any of 127.0.0.0/8 will do. */
export function open({ port }: Where, localAddress = "127.0.0.1"): Promise<TcpClient> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ port, host: "127.0.0.1", localAddress });
    const closed = new Promise<void>((end) => socket.once("close", () => end()));
    socket.on("error", reject); // once it is open this is heard by nobody
    socket.once("connect", () => resolve({ socket, closed }));
  });
}

// A ClientHello of TLS 1.2: random of zeros, TLS_PSK_WITH_AES_128_CCM_8, secure renegotiation's SCSV.
export const CLIENT_HELLO = Buffer.from(`160301002f0100002b0303${"00".repeat(32)}000004c0a800ff0100`, "hex");

/** Send any identity bytes in a ClientKeyExchange, a made-up Finished, and return all that comes after ServerHelloDone. */
export async function rawKnock(where: Where, identity: Buffer): Promise<Buffer> {
  const { socket, closed } = await open(where);
  let received = Buffer.alloc(0);
  let answered = false;
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (answered || !received.includes(Buffer.from("0e000000", "hex"))) return; // ServerHelloDone
    answered = true;
    received = Buffer.alloc(0);
    const exchange = lengthPrefixed(2, identity);
    const message = Buffer.concat([Buffer.from([0x10]), lengthPrefixed(3, exchange)]);
    const finished = Buffer.concat([Buffer.from("1603030020", "hex"), Buffer.alloc(32, 0x55)]);
    socket.write(
      Buffer.concat([
        Buffer.from("160303", "hex"),
        lengthPrefixed(2, message),
        Buffer.from("140303000101", "hex"),
        finished,
      ]),
    );
  });
  socket.write(CLIENT_HELLO);
  await closed;
  return received;
}

function lengthPrefixed(lengthBytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
}

/** A minimal MQTT client; `ended` resolves when the server closes. */
export interface MqttClient {
  socket: Socket;
  ended: Promise<void>;
  /** The next packet; throws where the server closes first. */
  next(): Promise<Packet>;
  send(packet: Packet): void;
  /** Subscribe, with QoS 1 where none is given, and return what SUBACK grants. */
  subscribe(...filters: (string | { topic: string; qos: 0 | 1 })[]): Promise<(number | object)[]>;
  publish(
    topic: string,
    payload: string | Buffer,
    options?: { qos?: 0 | 1; retain?: boolean },
  ): Promise<void>;
  /** The next PUBLISH, as `topic payload`. */
  heard(): Promise<string>;
  end(): void;
}

/** Speak MQTT over a connection, up to CONNACK. Throws with its return code. */
export async function mqttOver(
  socket: Socket,
  connect: object,
  answerTimeoutMs = ANSWER_TIMEOUT_MS,
): Promise<MqttClient> {
  const parser = mqtt.parser();
  const packets: Packet[] = [];
  let wake = () => {};
  let messageId = 0;
  parser.on("packet", (packet: Packet) => (packets.push(packet), wake()));
  socket.on("data", (chunk) => parser.parse(chunk));
  socket.on("error", () => {});
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const next = async (): Promise<Packet> => {
    while (packets.length === 0) {
      let timer: NodeJS.Timeout | undefined;
      const what = await Promise.race([
        new Promise<string>((resolve) => (wake = () => resolve("more"))),
        ended.then(() => "ended"),
        new Promise<string>((resolve) => (timer = setTimeout(resolve, answerTimeoutMs, "silent"))),
      ]);
      clearTimeout(timer);
      if (what !== "more" && packets.length === 0)
        throw new Error(`the server ${what === "ended" ? "closed the connection" : "is silent"}`);
    }
    return packets.shift() as Packet;
  };
  const send = (packet: Packet) => void socket.write(mqtt.generate(packet));
  /** The next packet of a kind; what comes before it waits in its place. */
  const nextOf = async (command: string): Promise<Packet> => {
    const others: Packet[] = [];
    for (;;) {
      const packet = await next();
      if (packet.cmd === command) {
        packets.unshift(...others);
        return packet;
      }
      others.push(packet);
    }
  };
  send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    ...connect,
  } as Packet);
  const connack = await next();
  if (connack.cmd !== "connack" || connack.returnCode !== 0) {
    socket.destroy();
    throw new Error(`refused with return code ${connack.cmd === "connack" && connack.returnCode}`);
  }
  return {
    socket,
    ended,
    next,
    send,
    async subscribe(...filters) {
      send({
        cmd: "subscribe",
        messageId: ++messageId,
        subscriptions: filters.map((one) => (typeof one === "string" ? { topic: one, qos: 1 } : one)),
      } as Packet);
      const suback = await nextOf("suback");
      return suback.cmd === "suback" ? suback.granted : [];
    },
    async publish(topic, payload, { qos = 0, retain = false } = {}) {
      const id = qos ? { messageId: ++messageId } : {};
      send({ cmd: "publish", topic, payload, qos, dup: false, retain, ...id } as Packet);
      if (qos) await nextOf("puback");
    },
    async heard() {
      const packet = await nextOf("publish");
      if (packet.cmd !== "publish") throw new Error("cannot be");
      if (packet.qos) send({ cmd: "puback", messageId: packet.messageId } as Packet);
      return `${packet.topic} ${packet.payload}`;
    },
    end: () => socket.end(mqtt.generate({ cmd: "disconnect" } as Packet)),
  };
}

/** A device: its handshake and its CONNECT. */
export async function mqttClient(
  where: Where,
  identity: string,
  key: Buffer,
  connect: object = {},
  answerTimeoutMs?: number,
): Promise<MqttClient> {
  const clientId = clientIdOf(parsePresented(identity));
  return mqttOver(await secure(where, identity, key), { clientId, ...connect }, answerTimeoutMs);
}

/** An operator of this machine, in plain MQTT. */
export async function operatorClient(
  port: number,
  clientId = "operator",
  answerTimeoutMs?: number,
): Promise<MqttClient> {
  const { socket } = await open({ port });
  return mqttOver(socket, { clientId }, answerTimeoutMs);
}
