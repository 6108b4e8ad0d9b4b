// The operator's connection to a broker: MQTT 3.1.1 over TLS-PSK to any, or in plain to this machine's own (the gateway's
// operator port). Made anew by itself when it breaks; what is under way then goes on.
// Leaves out: certificates and passwords; stunnel or the broker's own bridge bring those.
import { randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ErrorWithReasonCode, type ErrorWithSubackPacket, type IStream, MqttClient } from "mqtt";
import { RECEIVED } from "../../../firmware/tls/alert";
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
}

export interface Message {
  topic: string;
  payload: Buffer;
}

export interface PublishOptions {
  /** Messages a second; default as many as the broker takes. */
  perSecond?: number;
  onDone?(): void;
}

/** Gets each message of a subscription; `retained` says that the broker kept it, as it was before. */
export type OnMessage = (topic: string, payload: Buffer, retained: boolean) => void;

const CONNECT_TIMEOUT_MS = 10_000;
const GIVE_UP_MS = 60_000;
const RECONNECT_MS = 2_000;
/** Messages that wait for their PUBACK at a time: fewer than the inflight limits of brokers, of which 16 is a low one. */
const WINDOW = 10;
/** Topics in one SUBSCRIBE; a packet that every broker takes. */
const SUBSCRIBE_AT_ONCE = 100;

/** Suites of the device's kind; SECLEVEL 0 because of CCM_8's tag, as the gateway says. */
const CIPHERS = "PSK-AES128-GCM-SHA256:PSK-AES128-CCM:PSK-AES128-CCM8:PSK-AES128-CBC-SHA256:@SECLEVEL=0";

export class Broker {
  private readonly listeners = new Set<OnMessage>();
  private readonly underway = new Set<(error: Error) => void>();

  private constructor(
    private readonly client: MqttClient,
    private readonly onClose: () => void,
    /** Where it is, for sentences. */
    readonly about: string,
  ) {
    client.on("message", (topic, payload, { retain }) => {
      for (const listener of [...this.listeners]) listener(topic, payload, retain);
    });
  }

  /** Connect. Throws UsageError for a plain connection off this machine, DeviceError where nobody lets us in. */
  static async connect(options: BrokerOptions): Promise<Broker> {
    const { host, port, psk, timeoutMs = CONNECT_TIMEOUT_MS, giveUpMs = GIVE_UP_MS } = options;
    const about = `the broker ${host}:${port}`;
    if (!psk && !/^(127\.[\d.]+|localhost)$/.test(host))
      throw new UsageError(
        `${host} is not this machine, and plain MQTT leaves none: give --psk-identity and --psk-file.`,
      );
    if (psk && psk.key.length !== KEY_LENGTH)
      throw new UsageError(`the operator's key has ${psk.key.length} bytes, not ${KEY_LENGTH}.`);
    let fault = "it does not answer";
    const client = new MqttClient(
      () => {
        const stream = psk ? secured(host, port, psk) : connectTcp({ host, port, noDelay: true });
        stream.on("error", (error: NodeJS.ErrnoException) => (fault = connectFault(error)));
        return stream as unknown as IStream;
      },
      {
        clientId: options.clientId ?? `ota-${randomBytes(6).toString("hex")}`,
        protocolVersion: 4,
        protocolId: "MQTT",
        reconnectPeriod: RECONNECT_MS,
        connectTimeout: timeoutMs,
        resubscribe: true,
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
    const broker = new Broker(client, () => clearTimeout(lost), about);
    client.on("connect", () => {
      clearTimeout(lost);
      lost = undefined;
    });
    client.on("close", () => {
      if (!client.disconnecting && giveUpMs < Number.POSITIVE_INFINITY)
        lost ??= setTimeout(() => broker.abandon(), giveUpMs);
    });
    return broker;
  }

  private abandon(): void {
    this.client.end(true);
    const error = new DeviceError(`${this.about} has gone and does not come back; the same again goes on.`);
    for (const reject of this.underway) reject(error);
  }

  /** Wait for work, or for the end of all connections. */
  private async orAbandoned<T>(work: Promise<T>): Promise<T> {
    let rejected: (error: Error) => void = () => {};
    const abandoned = new Promise<never>((_, reject) => (rejected = reject));
    this.underway.add(rejected);
    try {
      return await Promise.race([work, abandoned]);
    } finally {
      this.underway.delete(rejected);
    }
  }

  /** Publish retained messages, QoS 1; an empty payload takes a message away. `onDone` hears of each acknowledgement. */
  publish(messages: Iterable<Message>, options: PublishOptions = {}): Promise<void> {
    return this.orAbandoned(this.publishAll(messages, options));
  }

  private async publishAll(
    messages: Iterable<Message>,
    { perSecond, onDone }: PublishOptions,
  ): Promise<void> {
    const waiting = new Set<Promise<void>>();
    const start = Date.now();
    let count = 0;
    for (const { topic, payload } of messages) {
      if (perSecond) await delay(start + (1000 * count++) / perSecond - Date.now());
      const sent: Promise<void> = this.client
        .publishAsync(topic, payload, { qos: 1, retain: true })
        .then(() => onDone?.())
        .catch((error: Error) => {
          throw new DeviceError(`${this.about} does not take ${topic}: ${error.message}.`);
        })
        .finally(() => waiting.delete(sent));
      sent.catch(() => {}); // the first that fails is thrown, the others go with it
      waiting.add(sent);
      if (waiting.size >= WINDOW) await Promise.race(waiting);
    }
    await Promise.all(waiting);
  }

  /** Subscribe until the returned function is called. Throws DeviceError where the broker refuses. */
  async listen(filters: readonly string[], onMessage: OnMessage): Promise<() => Promise<void>> {
    this.listeners.add(onMessage);
    await this.orAbandoned(this.subscribe(filters));
    return async () => {
      this.listeners.delete(onMessage);
      // where the connection breaks at that, nobody listens any more
      for (const some of chunks(filters)) await this.client.unsubscribeAsync(some).catch(() => {});
    };
  }

  private async subscribe(filters: readonly string[]): Promise<void> {
    for (const some of chunks(filters)) {
      while (!(await this.subscribed(some))) {
        if (this.client.disconnecting) return; // abandoned
        await delay(RECONNECT_MS / 10);
      }
    }
  }

  /** Subscribe, or return false where the connection broke meanwhile. */
  private async subscribed(filters: string[]): Promise<boolean> {
    try {
      await this.client.subscribeAsync(filters, { qos: 0 });
      return true;
    } catch (error) {
      if (!(error as Partial<ErrorWithSubackPacket>).packet) return false;
      throw new DeviceError(`${this.about} does not let us listen to ${filters[0]}.`);
    }
  }

  /**
   * Look at what the broker has retained. MQTT has no word for "that was all": it ends when `onMessage` returns true, or
   * nothing has come for `quietMs`.
   */
  async look(
    filters: readonly string[],
    quietMs: number,
    onMessage: (topic: string, payload: Buffer) => boolean,
  ): Promise<void> {
    let ended = () => {};
    const end = new Promise<void>((resolve) => (ended = resolve));
    let timer: NodeJS.Timeout | undefined;
    const stop = await this.listen(filters, (topic, payload, retained) => {
      if (!retained) return;
      if (onMessage(topic, payload)) ended();
      else timer?.refresh();
    });
    timer = setTimeout(ended, quietMs);
    await this.orAbandoned(end);
    clearTimeout(timer);
    await stop();
  }

  /** End the connection when what was published is acknowledged, or where there is none. */
  async close(): Promise<void> {
    this.onClose();
    if (!this.client.disconnecting) await this.client.endAsync(!this.client.connected);
  }
}

function secured(host: string, port: number, psk: { identity: string; key: Buffer }): Socket {
  return connectTls({
    ...{ host, port, ciphers: CIPHERS, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    pskCallback: () => ({ identity: psk.identity, psk: psk.key }),
    checkServerIdentity: () => undefined, // whoever has the key is the server (RFC 4279)
  });
}

const CONNECT_FAULTS: Record<string, string> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it hung up",
  ENOTFOUND: "no such host is known",
};

function connectFault(error: NodeJS.ErrnoException): string {
  const [, alert] = /SSL alert number (\d+)/.exec(error.message) ?? [];
  const sentence = alert ? errorText(RECEIVED + Number(alert)) : CONNECT_FAULTS[error.code ?? ""];
  return (sentence ?? error.message).trim().replace(/\.$/, "");
}

function chunks(filters: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(filters.length / SUBSCRIBE_AT_ONCE) }, (_, i) =>
    filters.slice(i * SUBSCRIBE_AT_ONCE, (i + 1) * SUBSCRIBE_AT_ONCE),
  );
}

function delay(ms: number): Promise<void> {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve();
}
