/*
 * One TLS 1.3 session with an external PSK as a server sees it, bytes in and bytes out, without a socket (RFC 8446, psk_ke). What it sends
 * is a list of steps; a conduct may change the list, any message, any record. Everything it is not told to do wrong it does right.
 * Left out: certificates, key shares, resumption, early data.
 */
import { randomBytes } from "node:crypto";
import {
  type ClientHello,
  type Extension,
  handshakeMessage,
  parseClientHello,
  type ServerHello,
  serverHello,
  uint,
  vector,
} from "../tls12/messages";
import {
  binder,
  handshakeSecret,
  masterSecret,
  Protection,
  trafficSecrets,
  verifyData,
} from "./key_schedule";
import { SUITES_13, type Suite13 } from "./suites";

export const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION_DATA = 23;

/** Bytes of handshake messages in a record, at most. */
const MOST = 511;

const TYPES = {
  ServerHello: 2,
  NewSessionTicket: 4,
  EncryptedExtensions: 8,
  Certificate: 11,
  CertificateRequest: 13,
  Finished: 20,
  KeyUpdate: 24,
} as const;

export type MessageName = keyof typeof TYPES;
export type Step =
  | "ServerHello"
  | "ChangeCipherSpec"
  | "EncryptedExtensions"
  | "Finished"
  | "ClientFinished"
  | ((session: ServerSession13) => void);

/** What the server does; an empty conduct is an honest server like OpenSSL's, without tickets. */
export interface Conduct13 {
  /** The key of an identity, or undefined where it is not known. */
  key(identity: Buffer): Buffer | undefined;
  suites?: number[];
  steps?: Step[];
  /** Change the ServerHello before it is written. */
  hello?(hello: ServerHello, client: ClientHello): void;
  /** The extensions of EncryptedExtensions; record_size_limit where not given. */
  extensions?: Extension[];
  /** Change a whole handshake message; the transcript takes what is returned. */
  message?(name: MessageName, message: Buffer): Buffer;
  /** Zeros behind the type of each protected record. */
  padding?: number;
  /** Change what is protected: content, type and padding. */
  inner?(inner: Buffer): Buffer;
  /** Change a finished record. */
  record?(record: Buffer, nth: number): Buffer;
  /** Put the encrypted messages of the flight into one record. */
  joinMessages?: boolean;
  /** What is done with application data; an echo where not given. */
  onApplicationData?(session: ServerSession13, data: Buffer): void;
}

export const honest13: Step[] = [
  "ServerHello",
  "ChangeCipherSpec",
  "EncryptedExtensions",
  "Finished",
  "ClientFinished",
];

export class ServerSession13 {
  readonly seen = {
    clientHello: undefined as ClientHello | undefined,
    clientHelloBytes: Buffer.alloc(0) as Buffer,
    identity: undefined as Buffer | undefined,
    alerts: [] as { level: number; description: number }[],
    applicationData: Buffer.alloc(0) as Buffer,
    /** Lengths of the contents of application data. */
    fragments: [] as number[],
    finished: false,
    keyUpdates: [] as number[],
    bytes: 0,
  };
  ended = false;
  suite: Suite13 = SUITES_13[0];
  reading: Protection | undefined;
  writing: Protection | undefined;
  private key: Buffer = Buffer.alloc(0);
  private secrets: { client: Buffer; server: Buffer } | undefined;
  private application: { client: Buffer; server: Buffer } | undefined;
  private transcript: Buffer[] = [];
  private steps: Step[];
  private input: Buffer = Buffer.alloc(0);
  private joined: Buffer[] = [];
  private records = 0;

  constructor(
    readonly conduct: Conduct13,
    private readonly onSend: (bytes: Buffer) => void,
    private readonly onEnd: () => void,
  ) {
    this.steps = [...(conduct.steps ?? honest13)];
  }

  sendBytes(bytes: Buffer): void {
    if (!this.ended) this.onSend(bytes);
  }

  /** Send one record, protected where there are keys. */
  sendRecord(type: number, content: Buffer): void {
    let record: Buffer = Buffer.concat([Buffer.from([type, 3, 3]), vector(2, content)]);
    if (this.writing && type !== CHANGE_CIPHER_SPEC) {
      const inner = Buffer.concat([content, Buffer.from([type]), Buffer.alloc(this.conduct.padding ?? 0)]);
      record = this.writing.seal(this.conduct.inner?.(inner) ?? inner);
    }
    this.sendBytes(this.conduct.record?.(record, this.records) ?? record);
    this.records++;
  }

  sendData(data: Buffer, size = 511): void {
    for (let at = 0; at < data.length; at += size)
      this.sendRecord(APPLICATION_DATA, data.subarray(at, at + size));
  }

  sendAlert(level: number, description: number): void {
    this.sendRecord(ALERT, Buffer.from([level, description]));
  }

  /** Send a handshake message of any kind, in a record of its own where none are joined. */
  sendMessage(name: MessageName, body: Buffer): void {
    const made = handshakeMessage(TYPES[name], body);
    const message = this.conduct.message?.(name, made) ?? made;
    if (!this.seen.finished) this.transcript.push(message);
    if (this.conduct.joinMessages && this.writing && name === "EncryptedExtensions") {
      this.joined.push(message);
      return;
    }
    const all = Buffer.concat([...this.joined.splice(0), message]);
    for (let at = 0; at < all.length; at += MOST) this.sendRecord(HANDSHAKE, all.subarray(at, at + MOST));
  }

  sendTicket(length: number): void {
    this.sendMessage(
      "NewSessionTicket",
      Buffer.concat([
        uint(7200, 4),
        uint(1, 4),
        vector(1, randomBytes(8)),
        vector(2, randomBytes(length)),
        uint(0, 2),
      ]),
    );
  }

  /** Send a KeyUpdate and go on with the keys that follow. */
  sendKeyUpdate(request: number): void {
    this.sendMessage("KeyUpdate", Buffer.from([request]));
    this.writing = this.writing?.next();
  }

  /** Send close_notify and end. */
  close(): void {
    this.sendAlert(1, 0);
    this.end();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd();
  }

  private fail(description: number): void {
    this.sendAlert(2, description);
    this.end();
  }

  private proceed(): void {
    while (this.steps.length && !this.ended) {
      const step = this.steps[0];
      if (step === "ClientFinished" && !this.seen.finished) return;
      this.steps.shift();
      if (typeof step === "function") step(this);
      else if (step !== "ClientFinished") this.send(step);
    }
  }

  private send(step: Exclude<Step, "ClientFinished" | ((session: ServerSession13) => void)>): void {
    const { conduct } = this;
    if (step === "ServerHello") {
      const hello: ServerHello = {
        version: 0x0303,
        random: randomBytes(32),
        sessionId: Buffer.alloc(0),
        suite: this.suite.code,
        compression: 0,
        extensions: [
          { type: 43, data: uint(0x0304, 2) },
          { type: 41, data: uint(0, 2) },
        ],
      };
      conduct.hello?.(hello, this.seen.clientHello as ClientHello);
      this.sendMessage("ServerHello", serverHello(hello));
      this.secrets = trafficSecrets(handshakeSecret(this.key), "hs", ...this.transcript);
      this.reading = new Protection(this.suite, this.secrets.client);
      this.writing = new Protection(this.suite, this.secrets.server);
    } else if (step === "ChangeCipherSpec") this.sendRecord(CHANGE_CIPHER_SPEC, Buffer.from([1]));
    else if (step === "EncryptedExtensions") {
      const extensions = conduct.extensions ?? [{ type: 28, data: uint(16385, 2) }];
      const list = extensions.map(({ type, data }) => Buffer.concat([uint(type, 2), vector(2, data)]));
      this.sendMessage("EncryptedExtensions", vector(2, ...list));
    } else {
      const base = this.secrets?.server ?? randomBytes(32);
      this.sendMessage("Finished", verifyData(base, ...this.transcript));
      if (!this.secrets) return;
      this.application = trafficSecrets(masterSecret(this.key), "ap", ...this.transcript);
      this.writing = new Protection(this.suite, this.application.server);
    }
  }

  /** Take bytes from the client, cut in any way. */
  receive(bytes: Buffer): void {
    this.seen.bytes += bytes.length;
    this.input = Buffer.concat([this.input, bytes]);
    while (this.input.length >= 5 && !this.ended) {
      const end = 5 + this.input.readUInt16BE(3);
      if (this.input.length < end) return;
      const record = this.input.subarray(0, end);
      this.input = this.input.subarray(end);
      try {
        this.receiveRecord(record);
      } catch (fault) {
        if (typeof fault !== "number") throw fault;
        this.fail(fault);
      }
    }
  }

  private receiveRecord(record: Buffer): void {
    let type = record[0];
    let content = record.subarray(5);
    if (this.reading && type === APPLICATION_DATA) {
      let inner: Buffer;
      try {
        inner = this.reading.open(record);
      } catch {
        throw 20;
      }
      let last = inner.length - 1;
      while (last >= 0 && !inner[last]) last--;
      type = inner[last];
      content = inner.subarray(0, last);
    }
    if (type === HANDSHAKE) this.receiveMessage(content);
    else if (type === ALERT) {
      const [level, description] = content;
      this.seen.alerts.push({ level, description });
      if (description === 0) this.close();
      else this.end();
    } else if (type === APPLICATION_DATA && this.seen.finished) {
      this.seen.applicationData = Buffer.concat([this.seen.applicationData, content]);
      this.seen.fragments.push(content.length);
      if (this.conduct.onApplicationData) this.conduct.onApplicationData(this, content);
      else this.sendData(content);
    } else throw 10;
  }

  /** The client's messages, each in a record of its own. */
  private receiveMessage(message: Buffer): void {
    const { seen } = this;
    if (message[0] === 1 && !seen.clientHello) {
      seen.clientHelloBytes = message;
      seen.clientHello = parseClientHello(message.subarray(4));
      this.receiveClientHello(message, seen.clientHello);
      this.proceed();
    } else if (message[0] === 20 && this.secrets && this.application && !seen.finished) {
      if (!verifyData(this.secrets.client, ...this.transcript).equals(message.subarray(4))) throw 51;
      seen.finished = true;
      this.reading = new Protection(this.suite, this.application.client);
      this.proceed();
    } else if (message[0] === TYPES.KeyUpdate && seen.finished) {
      seen.keyUpdates.push(message[4]);
      this.reading = this.reading?.next();
    } else throw 10;
  }

  private receiveClientHello(message: Buffer, client: ClientHello): void {
    const { extensions } = client;
    const last = extensions[extensions.length - 1];
    if (last?.type !== 41) throw 109;
    const length = last.data.readUInt16BE(2);
    this.seen.identity = last.data.subarray(4, 4 + length);
    const key = this.conduct.key(this.seen.identity);
    if (!key) throw 115;
    this.key = Buffer.from(key);
    const truncated = message.subarray(0, message.length - 35);
    if (!binder(key, truncated).equals(message.subarray(-32))) throw 51;
    const wanted = this.conduct.suites ?? SUITES_13.map(({ code }) => code);
    const code = wanted.find((suite) => client.suites.includes(suite));
    const suite = SUITES_13.find((row) => row.code === code);
    if (!suite) throw 40;
    this.suite = suite;
    this.transcript.push(message);
  }
}
