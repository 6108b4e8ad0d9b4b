/*
 * A small broker on 127.0.0.1, plain MQTT 3.1.1, that keeps retained messages and has the habits which a real one cannot be made
 * to have at will: it is late, has a short queue, keeps acknowledgements back. All else is honest.
 */
import { createServer, type Socket } from "node:net";
import { generate, type Packet, parser } from "mqtt-packet";

export interface Habits {
  /** Milliseconds from a SUBACK to what is retained. */
  lateMs?: number;
  /** As many retained messages at most come of one SUBSCRIBE; the others are dropped. */
  queue?: number;
  /** Asked of each packet that was received: true, and it is not acknowledged. */
  loses?(packet: Packet): boolean;
  /** Asked of each packet that was received: true, and the connection is cut before anything else. */
  cuts?(packet: Packet): boolean;
  /** Asked of each retained PUBLISH: true, and it is acknowledged and not kept. */
  forgets?(topic: string): boolean;
}

export interface ScriptedBroker {
  port: number;
  retained: Map<string, Buffer>;
  habits: Habits;
  /** How many connections there have been. */
  connections: number;
  /** End all connections and forget what is retained, as a broker without a disk that is started again. */
  restart(): void;
  stop(): Promise<void>;
}

function matches(filter: string, topic: string): boolean {
  const levels = filter.split("/");
  const of = topic.split("/");
  const hash = levels.indexOf("#");
  if (hash >= 0) return levels.slice(0, hash).every((level, i) => level === "+" || level === of[i]);
  return levels.length === of.length && levels.every((level, i) => level === "+" || level === of[i]);
}

export async function startScriptedBroker(habits: Habits = {}): Promise<ScriptedBroker> {
  const clients = new Map<Socket, Set<string>>();
  const server = createServer({ noDelay: true }, (socket) => {
    broker.connections++;
    const filters = new Set<string>();
    clients.set(socket, filters);
    const read = parser({ protocolVersion: 4 });
    const send = (packet: Packet) => socket.writable && socket.write(generate(packet));
    socket.on("close", () => clients.delete(socket)).on("error", () => {});
    socket.on("data", (bytes) => read.parse(bytes));
    read.on("packet", (packet) => {
      const { cmd } = packet;
      if (socket.destroyed) return;
      if (broker.habits.cuts?.(packet)) return socket.destroy();
      const isLost = broker.habits.loses?.(packet) ?? false;
      if (cmd === "connect") send({ cmd: "connack", returnCode: 0, sessionPresent: false });
      if (cmd === "pingreq") send({ cmd: "pingresp" });
      if (cmd === "disconnect") socket.end();
      if (cmd === "unsubscribe") {
        for (const filter of packet.unsubscriptions) filters.delete(filter);
        if (!isLost) send({ cmd: "unsuback", messageId: packet.messageId, granted: [] });
      }
      if (cmd === "publish") {
        const { topic, messageId } = packet;
        const payload = Buffer.from(packet.payload);
        if (packet.retain && !broker.habits.forgets?.(topic)) {
          if (payload.length > 0) broker.retained.set(topic, payload);
          else broker.retained.delete(topic);
        }
        if (packet.qos && !isLost) send({ cmd: "puback", messageId });
        for (const [other, wanted] of clients)
          if ([...wanted].some((filter) => matches(filter, topic)))
            other.write(generate({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false }));
      }
      if (cmd === "subscribe") {
        const topics = packet.subscriptions.map(({ topic }) => topic);
        const granted = packet.subscriptions.map(() => 0 as const);
        if (!isLost) send({ cmd: "suback", messageId: packet.messageId, granted });
        for (const topic of topics) filters.add(topic);
        const give = () => {
          let count = 0;
          for (const [topic, payload] of broker.retained)
            if (topics.some((filter) => matches(filter, topic)))
              if (count++ < (broker.habits.queue ?? Number.POSITIVE_INFINITY))
                send({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: true });
        };
        if (isLost) return;
        if (broker.habits.lateMs) setTimeout(give, broker.habits.lateMs);
        else give();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const broker: ScriptedBroker = {
    port: (server.address() as { port: number }).port,
    retained: new Map(),
    habits,
    connections: 0,
    restart() {
      for (const socket of clients.keys()) socket.destroy();
      broker.retained.clear();
    },
    async stop() {
      for (const socket of clients.keys()) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return broker;
}
