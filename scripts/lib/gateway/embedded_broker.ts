// The broker inside the gateway (aedes), for one process and what it can carry. A device's session gives it packets that
// were looked at already; it trusts them. This machine's own programs, on a port of 127.0.0.1, may do all.
// aedes waits for the slowest reader of a message and holds back all others with it, so its writes never wait here: what a
// reader has not taken is counted by the session, which cuts it off. It acknowledges a message before it keeps it, so
// a retained one is written before aedes hears of it. And what is retained goes out here, as fast as its reader takes it,
// and no more of it after an UNSUBSCRIBE.
// Leaves out: clusters, for which --upstream is; sessions that outlive a connection.
import type { Socket } from "node:net";
import { Duplex, Readable } from "node:stream";
import { Aedes, type Client } from "aedes";
import memoryPersistence from "aedes-persistence";
import type { IConnectPacket } from "mqtt-packet";
import { fileFault } from "../cli/fault";
import type { Limits } from "./limits";
import { encodePacket } from "./packet_reader";
import type { RetainedStore } from "./retained_store";
import type { Back, Session } from "./session";

const NEVER_FULL = 2 ** 40; // bytes: a stream of this mark never asks to wait
const QUEUE = 64; // packets of one client that aedes keeps before its CONNACK

/** A stream that aedes takes for a socket: its writes go where `onWrite` says and never wait. */
class Connection extends Duplex {
  constructor(
    /** The one that it stands for. */
    readonly socket: Duplex,
    private readonly onWrite: (bytes: Buffer) => void,
    private readonly onRead: () => void,
    private readonly onGone: () => void,
  ) {
    super({
      writableHighWaterMark: NEVER_FULL,
      readableHighWaterMark: 1,
      decodeStrings: true,
      emitClose: true,
    });
  }
  override _read(): void {
    this.onRead();
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.onWrite(chunk);
    done();
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.onWrite(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    done();
  }
  override _destroy(_error: Error | null, done: () => void): void {
    this.onGone();
    done();
  }
}

export interface EmbeddedBroker {
  aedes: Aedes;
  open(session: Session, connect: IConnectPacket): Back;
  /** Take a connection of this machine's own programs. */
  operator(socket: Socket): void;
  close(): Promise<void>;
}

export async function createEmbeddedBroker(
  store: RetainedStore,
  limits: Limits,
  onFault: (reason: string) => void,
): Promise<EmbeddedBroker> {
  const sessions = new WeakMap<object, Session>();
  const keep = (topic: string, payload: string | Buffer, qos: number, owner: string) => {
    const bytes = Buffer.from(payload);
    return store.put({ topic, payload: bytes, qos: qos ? 1 : 0, owner }).catch((error) => {
      onFault(`a retained message cannot be written: ${fileFault(error)}`);
      throw error;
    });
  };
  const none = () => Readable.from([]);
  const persistence = Object.assign(memoryPersistence(), {
    storeRetained: async ({ topic, payload, qos }: { topic: string; payload: Buffer; qos: number }) => {
      // Written already where a client sent it; what is left is what this process itself publishes.
      const there = store.get(topic);
      if (there ? !there.payload.equals(payload) : payload.length) await keep(topic, payload, qos, "");
    },
    createRetainedStream: none, // replay() gives them
    createRetainedStreamCombi: none,
  });

  const aedes = await Aedes.createBroker({
    persistence,
    connectTimeout: limits.connectTimeoutMs,
    drainTimeout: 0,
    queueLimit: QUEUE,
    maxInflightInbound: QUEUE,
    preConnect(client, packet, done) {
      // A session that stays when its client has gone holds memory for as long as anyone wants.
      if (packet.clean || sessions.has(client.conn)) done(null, true);
      else done(new Error("a session that outlives its connection is not kept here"), false);
    },
    authorizePublish(client, { topic, payload, qos, retain }, done) {
      // Wills come this way too.
      if (!retain) return done(null);
      const owner = client ? (sessions.get(client.conn)?.clientId ?? "") : "";
      keep(topic, payload, qos, owner).then(() => done(null), done);
    },
  });
  aedes.on("clientError", () => {}); // its connection has ended, and that is told
  aedes.on("connectionError", () => {});
  aedes.on("subscribe", (subscriptions, client) => {
    const filters = subscriptions.filter(({ qos }) => qos <= 1).map(({ topic }) => topic);
    void replay(store, client, filters);
  });
  aedes.on("clientReady", (client: Client) => sessions.get(client.conn)?.accept());

  return {
    aedes,
    open(session, connect) {
      const connection = new Connection(
        session.socket,
        (bytes) => session.deliver(bytes, () => session.written()),
        () => session.ready(),
        () => setImmediate(() => session.close()), // after what was written
      );
      sessions.set(connection, session);
      aedes.handle(connection);
      connection.push(encodePacket(connect));
      return {
        send: (_packet, bytes) => connection.push(bytes),
        retains(topic) {
          const there = store.get(topic);
          return { count: store.count(session.clientId), known: there?.owner === session.clientId };
        },
        end() {
          connection.push(null); // after what is still to be read
        },
      };
    },
    operator(socket) {
      socket.setNoDelay(true);
      const connection = new Connection(
        socket,
        (bytes) => {
          socket.write(bytes);
          if (socket.writableLength > limits.operatorQueuedBytes) {
            onFault("a program of this machine does not read and was cut off");
            socket.destroy();
          }
        },
        () => socket.resume(),
        () => setImmediate(() => socket.end()),
      );
      socket.on("data", (chunk: Buffer) => {
        if (!connection.push(chunk)) socket.pause();
      });
      socket.on("error", () => {});
      socket.on("end", () => connection.push(null));
      socket.on("close", () => connection.destroy());
      aedes.handle(connection);
    },
    close: () => new Promise<void>((resolve) => aedes.close(resolve)),
  };
}

const AT_ONCE = 64; // messages written before others have their turn

/** Give a client what is retained on its filters: at the end of SUBSCRIBE, page by page. */
async function replay(store: RetainedStore, client: Client, filters: readonly string[]): Promise<void> {
  const connection = client.conn as unknown as Connection;
  const inside = client as unknown as { subscriptions: Record<string, { qos: number }>; _nextId: number };
  let written = 0;
  for (const filter of filters) {
    for (const { topic, payload, qos } of store.match([filter])) {
      const granted = inside.subscriptions[filter]?.qos;
      if (granted === undefined || connection.destroyed) break;
      const packet = { cmd: "publish", topic, payload, retain: true, dup: false } as const;
      if (Math.min(granted, qos) > 0) {
        // As aedes numbers its own; it is glad of any PUBACK.
        const messageId = inside._nextId || 1;
        inside._nextId = (messageId + 1) % 0xffff;
        connection.write(encodePacket({ ...packet, qos: 1, messageId }));
      } else connection.write(encodePacket({ ...packet, qos: 0 }));
      const { socket } = connection;
      if (socket.writableNeedDrain) await drained(socket);
      else if (++written % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function drained(socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
