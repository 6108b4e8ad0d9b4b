// The operator's connection to a broker: MQTT 3.1.1 over TLS-PSK to any, or in plain to this machine's own (the gateway's
// operator port). Made anew by itself when it breaks, or when an answer is overdue; what is under way then goes on.
// Leaves out: certificates and passwords; stunnel or the broker's own bridge bring those. What is retained: retained.ts.
import { randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ErrorWithReasonCode, type ErrorWithSubackPacket, type IStream, MqttClient } from "mqtt";
import { RECEIVED } from "../../../firmware/tls/alert";
import { connectFault } from "../cli/connect_fault";
import { errorText } from "../cli/error_text";
import { DeviceError, UsageError } from "../cli/exit";
import type { Endpoint } from "../cli/options";
import { KEY_LENGTH } from "../keys/kdf";

export interface BrokerOptions extends Endpoint {
  /** What the broker knows the operator by, with its key of 16 bytes; without it the connection is plain. */
  psk?: { identity: string; key: Buffer };
  /** MQTT's name of the client; default one of its own. */
  clientId?: string;
  /** Longest wait for the first connection, milliseconds. */
  timeoutMs?: number;
  /** Longest time without a connection before what is under way is given up, milliseconds; default a minute, Infinity: never. */
  giveUpMs?: number;
  /** Longest wait for an answer on an open connection, milliseconds. */
  answerMs?: number;
}

export interface Message {
  topic: string;
  payload: Buffer;
  /** Whether the broker is to keep it: true where absent. */
  retain?: boolean;
}

export interface PublishOptions {
  /** Messages a second; default as many as the broker takes. */
  perSecond?: number;
  onDone?(): void;
}

/** Gets each message of a subscription; `retained` says that the broker kept it, as it was before. */
export type OnMessage = (topic: string, payload: Buffer, retained: boolean) => void;

interface Listener {
  filters: readonly string[];
  qos: 0 | 1;
  onMessage: OnMessage;
  /** From then on each connection subscribes anew by itself. */
  isGranted: boolean;
}

const CONNECT_TIMEOUT_MS = 10_000;
const GIVE_UP_MS = 60_000;
const ANSWER_MS = 10_000;
/** An answer is looked for so many times in that. */
const TICKS = 4;
/** How often an answer is waited for, each time on a connection of its own, before it is said that none comes. */
const TRIES = 3;
const RECONNECT_MS = 1_000;
/** Messages that wait for their PUBACK at a time: fewer than the inflight limits of brokers, of which 16 is a low one. */
const WINDOW = 10;
/** And how many connections may end before it comes: the broker ends them for what it is asked, as for a packet over its limit. */
const BREAKS = 5;
/** Topics in one SUBSCRIBE: 7 kB at most, and what is retained on them fits into the queue that our own Mosquitto has, of 100. */
export const SUBSCRIBE_AT_ONCE = 100;

/** Suites of the device's kind; SECLEVEL 0 because of CCM_8's tag, as the gateway says. */
const CIPHERS = "PSK-AES128-GCM-SHA256:PSK-AES128-CCM:PSK-AES128-CCM8:PSK-AES128-CBC-SHA256:@SECLEVEL=0";

export class Broker {
  /** How many connections there have been. */
  connections = 0;
  private isSilent = false;
  private gone: DeviceError | undefined;
  private lose: (error: DeviceError) => void = () => {};
  /** Rejects with what is said when the connection is given up. */
  readonly lost = new Promise<never>((_, reject) => (this.lose = reject));
  private marks = 0;
  private turn: Promise<unknown> = Promise.resolve();
  private readonly listeners = new Set<Listener>();
  private readonly returns = new Set<() => void>();
  private readonly losses = new Set<() => void>();
  private isAway = false;
  private readonly underway = new Set<(error: Error) => void>();

  private constructor(
    private readonly client: MqttClient,
    private readonly onClose: () => void,
    /** Where it is, for sentences. */
    readonly about: string,
    /** Longest wait for an answer on an open connection, milliseconds. */
    readonly answerMs: number,
    /** A topic of this connection's own; what is retained there goes with the connection. */
    readonly markTopic: string,
  ) {
    this.lost.catch(() => {}); // few wait for it
    client.on("message", (topic, payload, { retain }) => {
      for (const { onMessage } of [...this.listeners]) onMessage(topic, payload, retain);
    });
    client.on("connect", () => {
      for (const { filters, qos, isGranted } of this.listeners)
        if (isGranted) this.subscribe(filters, qos).catch((error) => this.fail(error));
    });
  }

  /** Connect. Throws UsageError for a plain connection off this machine, DeviceError where nobody lets us in. */
  static async connect(options: BrokerOptions): Promise<Broker> {
    const { host, port, psk, timeoutMs = CONNECT_TIMEOUT_MS, giveUpMs = GIVE_UP_MS } = options;
    const { clientId = `ota-${randomBytes(6).toString("hex")}`, answerMs = ANSWER_MS } = options;
    const about = `the broker ${host}:${port}`;
    if (!psk && !/^(127\.[\d.]+|localhost)$/.test(host))
      throw new UsageError(
        `${host} is not this machine, and plain MQTT leaves none: give --psk-identity and --psk-file.`,
      );
    if (psk && psk.key.length !== KEY_LENGTH)
      throw new UsageError(`the operator's key has ${psk.key.length} bytes, not ${KEY_LENGTH}.`);
    const markTopic = `fw/look/${clientId}`;
    let fault = "it does not answer";
    const client = new MqttClient(
      () => {
        const stream = psk ? secured(host, port, psk) : connectTcp({ host, port, noDelay: true });
        stream.on("error", (error: NodeJS.ErrnoException) => (fault = brokerFault(error)));
        return stream as unknown as IStream;
      },
      {
        clientId,
        protocolVersion: 4,
        protocolId: "MQTT",
        reconnectPeriod: RECONNECT_MS,
        connectTimeout: timeoutMs,
        reconnectOnConnackError: true, // a broker that comes back may refuse for a while
        resubscribe: false, // it would not look at the answer
        will: { topic: markTopic, payload: Buffer.alloc(0), qos: 0, retain: true },
      },
    );
    let refused = "";
    client.on("error", (error) => {
      if (error instanceof ErrorWithReasonCode) refused = `it refuses us: ${error.message}`; // CONNACK
    });
    const connected = new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs, false);
      client.once("connect", () => resolve(true)).once("close", () => resolve(false));
      client.once("connect", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
    });
    if (!(await connected)) {
      client.end(true);
      throw new DeviceError(`${about}: ${refused || fault}.`);
    }
    let lost: NodeJS.Timeout | undefined;
    const broker = new Broker(client, () => clearTimeout(lost), about, answerMs, markTopic);
    broker.onConnack();
    // not "connect", which waits until all that was unanswered has been sent again and answered
    client.on("packetreceive", (packet) => {
      if (packet.cmd !== "connack" || packet.returnCode !== 0) return;
      clearTimeout(lost);
      lost = undefined;
      broker.onConnack();
    });
    client.on("close", () => {
      broker.onLoss();
      if (!client.disconnecting && giveUpMs < Number.POSITIVE_INFINITY)
        lost ??= setTimeout(
          () =>
            broker.fail(new DeviceError(`${about} has gone and does not come back; the same again goes on.`)),
          giveUpMs,
        );
    });
    return broker;
  }

  private onConnack(): void {
    this.isAway = false;
    if (this.connections++ > 0) for (const listener of [...this.returns]) listener();
  }

  private onLoss(): void {
    // tries that come to nothing close too
    if (this.isAway || this.client.disconnecting) return;
    this.isAway = true;
    for (const listener of [...this.losses]) listener();
  }

  /** After listening: throws DeviceError where the broker is away, as there may be more than was heard. */
  demandThere(): void {
    if (this.isAway) throw new DeviceError(`${this.about} is away: what was heard may not be all.`);
  }

  /** Hear of the end of each connection that we did not end, until the returned function is called. */
  onAway(listener: () => void): () => void {
    this.losses.add(listener);
    return () => void this.losses.delete(listener);
  }

  /** Hear of each connection after the first, until the returned function is called. */
  onReturn(listener: () => void): () => void {
    this.returns.add(listener);
    return () => void this.returns.delete(listener);
  }

  /** End all connections, and all that is under way with this error. */
  private fail(error: DeviceError): void {
    this.client.end(true);
    this.gone ??= error;
    this.lose(this.gone);
    for (const reject of this.underway) reject(this.gone);
  }

  /** A message for the topic of our own, as it never was before. */
  nextMark(): Message {
    return { topic: this.markTopic, payload: Buffer.from(String(++this.marks)) };
  }

  /** Do work when that of all who came before is done. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => {});
    return mine;
  }

  /** Wait for work, or for the end of all connections. */
  async orAbandoned<T>(work: Promise<T>): Promise<T> {
    if (this.gone) {
      work.catch(() => {});
      throw this.gone;
    }
    let rejected: (error: Error) => void = () => {};
    const abandoned = new Promise<never>((_, reject) => (rejected = reject));
    this.underway.add(rejected);
    try {
      return await Promise.race([work, abandoned]);
    } finally {
      this.underway.delete(rejected);
    }
  }

  /**
   * Wait for an answer. Where it is overdue, the connection is made anew, and all that is unanswered is sent again on it.
   * Throws DeviceError where the last of these has none either, and where one connection after the other ends at it.
   */
  private async answered<T>(work: Promise<T>, what: string): Promise<T> {
    const first = this.connections;
    let connection = first;
    let ticks = 0;
    let overdue = 0;
    let timer: NodeJS.Timeout | undefined;
    const said = new Promise<never>((_, reject) => {
      // counted, not timed: where this process itself was held up, the answer may lie there unread
      timer = setInterval(() => {
        if (this.client.disconnecting) return reject(this.gone ?? new DeviceError(`${this.about} was left.`));
        if (this.connections - first >= BREAKS)
          return reject(
            new DeviceError(`${this.about} ended ${BREAKS} connections, one after the other, at ${what}.`),
          );
        if (!this.client.connected || connection !== this.connections) ticks = 0;
        connection = this.connections;
        if (ticks++ < TICKS) return;
        ticks = 0;
        if (++overdue === TRIES) {
          this.isSilent = true;
          reject(new DeviceError(`${this.about} does not answer ${what}, asked ${TRIES} times.`));
        } else this.client.stream.destroy();
      }, this.answerMs / TICKS);
    });
    try {
      return await Promise.race([work, said]);
    } finally {
      clearInterval(timer);
    }
  }

  /** Publish messages, retained unless they say otherwise, QoS 1; an empty payload takes a message away. `onDone` hears of each acknowledgement. */
  publish(messages: Iterable<Message>, options: PublishOptions = {}): Promise<void> {
    return this.orAbandoned(this.publishAll(messages, options));
  }

  private async publishAll(
    messages: Iterable<Message>,
    { perSecond, onDone }: PublishOptions,
  ): Promise<void> {
    const waiting = new Set<Promise<void>>();
    const startMs = performance.now();
    let count = 0;
    for (const { topic, payload, retain = true } of messages) {
      if (perSecond) await delay(startMs + (1000 * count++) / perSecond - performance.now());
      const work = this.again(() => this.client.publishAsync(topic, payload, { qos: 1, retain }));
      const sent: Promise<void> = this.answered(work, `a PUBLISH to ${topic}`)
        .then(() => onDone?.())
        .finally(() => waiting.delete(sent));
      sent.catch(() => {}); // the first that fails is thrown, the others go with it
      waiting.add(sent);
      if (waiting.size >= WINDOW) await Promise.race(waiting);
    }
    await Promise.all(waiting);
  }

  /** Subscribe until the returned function is called. Throws DeviceError where the broker refuses or does not answer. */
  async listen(
    filters: readonly string[],
    onMessage: OnMessage,
    qos: 0 | 1 = 0,
  ): Promise<() => Promise<void>> {
    const listener: Listener = { filters, qos, onMessage, isGranted: false };
    this.listeners.add(listener);
    try {
      await this.orAbandoned(this.subscribe(filters, qos));
      listener.isGranted = true;
    } catch (error) {
      this.listeners.delete(listener);
      throw error;
    }
    return async () => {
      this.listeners.delete(listener);
      // where the connection breaks at that, nobody listens any more
      for (const some of chunks(filters))
        await this.orAbandoned(
          this.answered(
            this.client.unsubscribeAsync(some).catch(() => {}),
            `an UNSUBSCRIBE of ${some[0]}`,
          ),
        );
    };
  }

  private async subscribe(filters: readonly string[], qos: 0 | 1): Promise<void> {
    for (const some of chunks(filters)) {
      const work = this.again(() => this.client.subscribeAsync(some, { qos }));
      await this.answered(work, `a SUBSCRIBE to ${some[0]}`).catch((error) => {
        if (!(error as Partial<ErrorWithSubackPacket>).packet) throw error;
        throw new DeviceError(`${this.about} does not let us listen to ${some[0]}.`);
      });
    }
  }

  /** Ask until it is answered, again where the connection broke meanwhile; mqtt.js asks again by itself in some cases only. */
  private async again(ask: () => Promise<unknown>): Promise<void> {
    while (!this.client.disconnecting) {
      try {
        await ask();
        return;
      } catch (error) {
        if ((error as Partial<ErrorWithSubackPacket>).packet) throw error; // a SUBACK that refuses
        await delay(RECONNECT_MS / 10);
      }
    }
    throw this.gone ?? new DeviceError(`${this.about} was left.`);
  }

  /** End the connection when what was published is acknowledged, or where there is none. */
  async close(): Promise<void> {
    this.onClose();
    if (!this.client.disconnecting) await this.client.endAsync(this.isSilent || !this.client.connected);
  }
}

function secured(host: string, port: number, psk: { identity: string; key: Buffer }): Socket {
  return connectTls({
    ...{ host, port, ciphers: CIPHERS, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    pskCallback: () => ({ identity: psk.identity, psk: psk.key }),
    checkServerIdentity: () => undefined, // whoever has the key is the server (RFC 4279)
  });
}

function brokerFault(error: NodeJS.ErrnoException): string {
  const [, alert] = /SSL alert number (\d+)/.exec(error.message) ?? [];
  const sentence = (alert && errorText(RECEIVED + Number(alert))) || connectFault(error);
  return sentence.trim().replace(/\.$/, "");
}

function chunks(filters: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(filters.length / SUBSCRIBE_AT_ONCE) }, (_, i) =>
    filters.slice(i * SUBSCRIBE_AT_ONCE, (i + 1) * SUBSCRIBE_AT_ONCE),
  );
}

export function delay(ms: number): Promise<void> {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve();
}
