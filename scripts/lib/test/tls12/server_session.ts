/*
 * One TLS 1.2 PSK session as a server sees it, bytes in and bytes out, without a socket: RFC 5246, RFC 4279,
 * with EtM (7366), EMS (7627), MFL (6066), record_size_limit (8449) and renegotiation_info (5746).
 * What it sends is a list of steps over a table of messages; a conduct may change the list, any message, any
 * record. Everything it is not told to do wrong it does right, and its transcript is that of what it really sent.
 * Left out: resumption, renegotiation, compression, certificates.
 */
import { randomBytes } from "node:crypto";
import {
  extendedMasterSecret,
  masterSecret,
  sha256,
  verifyData,
  type WriteKeys,
  writeKeys,
} from "./key_schedule";
import {
  type ClientHello,
  ContentType,
  type Extension,
  ExtensionType,
  HandshakeType,
  handshakeMessage,
  parseClientHello,
  parseClientKeyExchange,
  RENEGOTIATION_SCSV,
  type ServerHello,
  serverHello,
  uint,
  vector,
} from "./messages";
import { open, type Protection, type Spoil, seal } from "./record_protection";
import { EVERY_SUITE, type Suite, suiteOf } from "./suites";

export const TLS_1_2 = 0x0303;
export const WARNING = 1;
export const FATAL = 2;
const MAX_PLAINTEXT = 16384;

const CLOSE_NOTIFY = 0;
const UNEXPECTED_MESSAGE = 10;
const RECORD_OVERFLOW = 22;
const HANDSHAKE_FAILURE = 40;
const DECODE_ERROR = 50;
const DECRYPT_ERROR = 51;
const PROTOCOL_VERSION = 70;
const INTERNAL_ERROR = 80;
const UNKNOWN_PSK_IDENTITY = 115;

/** A message of the table below, or the wait for the client's flight, or anything else as a function. */
export type Step = MessageName | "ClientFinished" | ((session: ServerSession) => void);

export type MessageName =
  | "HelloRequest"
  | "ServerHello"
  | "Certificate"
  | "CertificateRequest"
  | "ServerKeyExchange"
  | "ServerHelloDone"
  | "NewSessionTicket"
  | "ChangeCipherSpec"
  | "Finished";

/** What the server does; an empty conduct is an honest server like OpenSSL's. */
export interface Conduct {
  /** The key of an identity, or undefined where it is not known. */
  key(identity: Buffer): Buffer | undefined;
  /** The suites it takes, in its order of preference; all where not given. */
  suites?: number[];
  /** Whether it grants these where the client asks; both true where not given. */
  extendedMasterSecret?: boolean;
  encryptThenMac?: boolean;
  /** The way in which it grants small records; "max_fragment_length" where not given. */
  fragmentLimit?: "max_fragment_length" | "record_size_limit" | "none";
  /** ServerHello.random, 32 bytes; default random. */
  random?: Buffer;
  sessionId?: Buffer;
  /** With a hint, even an empty one, a ServerKeyExchange is sent. */
  identityHint?: Buffer;
  /** The steps; `honestSteps` where not given. */
  steps?: Step[];
  /** Change the ServerHello before it is written. */
  hello?(hello: ServerHello, client: ClientHello): void;
  /** Change the body of a message before it gets its header. */
  body?(name: MessageName, body: Buffer): Buffer;
  /** Change a whole handshake message, header and all; the transcript takes what is returned. */
  message?(name: MessageName, message: Buffer): Buffer;
  /** Bytes of a handshake message put into one record, at most. */
  handshakeFragment?: number;
  /** Put handshake messages that follow each other into one record. */
  joinMessages?: boolean;
  /** Ways to spoil the nth protected record, counted from 0 (Finished). */
  spoil?(nth: number, type: number): Spoil | undefined;
  /** Change a finished record, header and all. */
  record?(record: Buffer, type: number): Buffer;
  /** What is done with application data; an echo where not given. */
  onApplicationData?(session: ServerSession, data: Buffer): void;
}

/** What the session has seen of its client. */
export interface Seen {
  clientHello: ClientHello | undefined;
  clientHelloBytes: Buffer;
  identity: Buffer | undefined;
  alerts: { level: number; description: number }[];
  applicationData: Buffer;
  /** Lengths of the fragments of application data, in order. */
  fragments: number[];
  /** Explicit nonce or IV of each protected record, in hex. */
  nonces: string[];
  finished: boolean;
  /** Every record, header and all, as it came. */
  records: Buffer[];
  bytes: number;
}

/** The steps of an honest server. */
export function honestSteps(withKeyExchange: boolean): Step[] {
  const first: Step[] = withKeyExchange ? ["ServerHello", "ServerKeyExchange"] : ["ServerHello"];
  return [...first, "ServerHelloDone", "ClientFinished", "ChangeCipherSpec", "Finished"];
}

/** The table of messages: type and body of each. */
const MESSAGES: Record<
  Exclude<MessageName, "ChangeCipherSpec">,
  { type: number; body(session: ServerSession): Buffer }
> = {
  HelloRequest: { type: HandshakeType.HELLO_REQUEST, body: () => Buffer.alloc(0) },
  ServerHello: { type: HandshakeType.SERVER_HELLO, body: (session) => serverHello(session.hello) },
  Certificate: { type: HandshakeType.CERTIFICATE, body: () => vector(3, vector(3, Buffer.alloc(64))) },
  CertificateRequest: {
    type: HandshakeType.CERTIFICATE_REQUEST,
    body: () => Buffer.concat([vector(1, Buffer.from([1])), vector(2, Buffer.from([4, 1])), vector(2)]),
  },
  ServerKeyExchange: {
    type: HandshakeType.SERVER_KEY_EXCHANGE,
    body: (session) => vector(2, session.conduct.identityHint ?? Buffer.alloc(0)),
  },
  ServerHelloDone: { type: HandshakeType.SERVER_HELLO_DONE, body: () => Buffer.alloc(0) },
  NewSessionTicket: {
    type: HandshakeType.NEW_SESSION_TICKET,
    body: () => Buffer.concat([uint(3600, 4), vector(2, randomBytes(160))]),
  },
  Finished: {
    type: HandshakeType.FINISHED,
    body: (session) =>
      session.masterSecret.length
        ? verifyData(session.masterSecret, "server", session.transcriptHash())
        : randomBytes(12),
  },
};

export class ServerSession {
  readonly seen: Seen = {
    clientHello: undefined,
    clientHelloBytes: Buffer.alloc(0),
    identity: undefined,
    alerts: [],
    applicationData: Buffer.alloc(0),
    fragments: [],
    nonces: [],
    finished: false,
    records: [],
    bytes: 0,
  };
  /** Set once the last step is done. */
  established = false;
  ended = false;
  /** The alert that the server itself ended with, or -1. */
  alertSent = -1;
  hello: ServerHello;
  suite: Suite = EVERY_SUITE[0];
  masterSecret: Buffer = Buffer.alloc(0);
  fragmentLimit = MAX_PLAINTEXT;
  extended = false;
  encryptThenMac = false;

  private transcript: Buffer[] = [];
  private steps: Step[];
  /** Of the session's records, from the ClientKeyExchange on. */
  keys: { client: WriteKeys; server: WriteKeys } | undefined;
  private reading: Protection | undefined;
  private writing: Protection | undefined;
  private sealedRecords = 0;
  private input: Buffer = Buffer.alloc(0);
  private handshakeInput: Buffer = Buffer.alloc(0);
  private handshakeOutput: Buffer = Buffer.alloc(0);
  private changeCipherSpecSeen = false;

  constructor(
    readonly conduct: Conduct,
    private readonly onSend: (bytes: Buffer) => void,
    private readonly onEnd: () => void,
  ) {
    this.steps = [...(conduct.steps ?? honestSteps(conduct.identityHint !== undefined))];
    this.hello = {
      version: TLS_1_2,
      random: conduct.random ?? randomBytes(32),
      sessionId: conduct.sessionId ?? Buffer.alloc(0),
      suite: 0,
      compression: 0,
      extensions: undefined,
    };
  }

  // --- out ---------------------------------------------------------------------------------------------

  /** Send bytes as they are. */
  sendBytes(bytes: Buffer): void {
    if (!this.ended) this.onSend(bytes);
  }

  /** Send one record, protected once ChangeCipherSpec was sent. */
  sendRecord(type: number, fragment: Buffer, spoil?: Spoil, version = TLS_1_2): void {
    this.flush();
    this.writeRecord(type, fragment, spoil, version);
  }

  private writeRecord(type: number, fragment: Buffer, spoil?: Spoil, version = TLS_1_2): void {
    let body = fragment;
    if (this.writing)
      body = seal(this.writing, type, fragment, spoil ?? this.conduct.spoil?.(this.sealedRecords++, type));
    const record = Buffer.concat([Buffer.from([type]), uint(version, 2), vector(2, body)]);
    this.sendBytes(this.conduct.record?.(record, type) ?? record);
  }

  /** Send application data in fragments within the limit agreed. */
  sendData(data: Buffer): void {
    for (let at = 0; at < data.length; at += this.fragmentLimit)
      this.sendRecord(ContentType.APPLICATION_DATA, data.subarray(at, at + this.fragmentLimit));
  }

  sendAlert(level: number, description: number): void {
    this.sendRecord(ContentType.ALERT, Buffer.from([level, description]));
  }

  /** Send a handshake message of any type; it goes into the transcript. */
  sendMessage(message: Buffer): void {
    if (message[0] !== HandshakeType.HELLO_REQUEST) this.transcript.push(message);
    this.handshakeOutput = Buffer.concat([this.handshakeOutput, message]);
    if (!this.conduct.joinMessages) this.flush();
  }

  private flush(): void {
    const output = this.handshakeOutput;
    const size = Math.min(this.conduct.handshakeFragment ?? this.fragmentLimit, MAX_PLAINTEXT);
    this.handshakeOutput = Buffer.alloc(0);
    for (let at = 0; at < output.length; at += size)
      this.writeRecord(ContentType.HANDSHAKE, output.subarray(at, at + size));
  }

  /** Send close_notify and end. */
  close(): void {
    this.sendAlert(WARNING, CLOSE_NOTIFY);
    this.end();
  }

  /** End without a word. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd();
  }

  private fail(alert: number): void {
    if (this.ended) return;
    this.alertSent = alert;
    this.sendAlert(FATAL, alert);
    this.end();
  }

  private send(name: MessageName): void {
    const { conduct } = this;
    const spoilBody = (body: Buffer) => conduct.body?.(name, body) ?? body;
    if (name === "ChangeCipherSpec") {
      this.sendRecord(ContentType.CHANGE_CIPHER_SPEC, spoilBody(Buffer.from([1])));
      if (this.keys) this.writing = this.protection(this.keys.server);
      return;
    }
    const { type, body } = MESSAGES[name];
    const message = handshakeMessage(type, spoilBody(body(this)));
    this.sendMessage(conduct.message?.(name, message) ?? message);
  }

  private proceed(): void {
    while (this.steps.length && !this.ended) {
      const step = this.steps[0];
      if (step === "ClientFinished" && !this.seen.finished) break;
      this.steps.shift();
      if (typeof step === "function") step(this);
      else if (step !== "ClientFinished") this.send(step);
    }
    this.flush();
    if (!this.steps.length && this.seen.finished) this.established = true;
  }

  transcriptHash(): Buffer {
    return sha256(...this.transcript);
  }

  private protection(keys: WriteKeys): Protection {
    return { suite: this.suite, keys, encryptThenMac: this.encryptThenMac, sequence: 0n };
  }

  // --- in ----------------------------------------------------------------------------------------------

  /** Take bytes from the client, cut in any way. */
  receive(bytes: Buffer): void {
    this.seen.bytes += bytes.length;
    this.input = Buffer.concat([this.input, bytes]);
    while (this.input.length >= 5 && !this.ended) {
      const length = this.input.readUInt16BE(3);
      if (this.input.length < 5 + length) return;
      const type = this.input[0];
      const version = this.input.readUInt16BE(1);
      const body = this.input.subarray(5, 5 + length);
      this.seen.records.push(this.input.subarray(0, 5 + length));
      this.input = this.input.subarray(5 + length);
      try {
        this.receiveRecord(type, version, body);
      } catch (fault) {
        if (typeof fault !== "number") throw fault;
        this.fail(fault);
      }
    }
  }

  private receiveRecord(type: number, version: number, body: Buffer): void {
    if (this.reading ? version !== TLS_1_2 : version >> 8 !== 3) throw PROTOCOL_VERSION;
    let fragment = body;
    if (this.reading) {
      this.seen.nonces.push(body.subarray(0, this.suite.kind === "cbc" ? 16 : 8).toString("hex"));
      fragment = open(this.reading, type, body);
    }
    if (fragment.length > MAX_PLAINTEXT) throw RECORD_OVERFLOW;
    if (type === ContentType.HANDSHAKE) this.receiveHandshake(fragment);
    else if (type === ContentType.ALERT) this.receiveAlert(fragment);
    else if (type === ContentType.CHANGE_CIPHER_SPEC) this.receiveChangeCipherSpec(fragment);
    else if (type === ContentType.APPLICATION_DATA) this.receiveData(fragment);
    else throw UNEXPECTED_MESSAGE;
  }

  private receiveAlert(fragment: Buffer): void {
    if (fragment.length !== 2) throw DECODE_ERROR;
    const [level, description] = fragment;
    this.seen.alerts.push({ level, description });
    if (description === CLOSE_NOTIFY) this.close();
    else if (level === FATAL) this.end();
  }

  private receiveData(fragment: Buffer): void {
    if (!this.seen.finished) throw UNEXPECTED_MESSAGE;
    this.seen.applicationData = Buffer.concat([this.seen.applicationData, fragment]);
    this.seen.fragments.push(fragment.length);
    if (this.conduct.onApplicationData) this.conduct.onApplicationData(this, fragment);
    else this.sendData(fragment);
  }

  private receiveChangeCipherSpec(fragment: Buffer): void {
    if (!this.keys || this.changeCipherSpecSeen || fragment.length !== 1 || fragment[0] !== 1)
      throw UNEXPECTED_MESSAGE;
    this.changeCipherSpecSeen = true;
    this.reading = this.protection(this.keys.client);
  }

  private receiveHandshake(fragment: Buffer): void {
    this.handshakeInput = Buffer.concat([this.handshakeInput, fragment]);
    while (this.handshakeInput.length >= 4) {
      const length = this.handshakeInput.readUIntBE(1, 3);
      if (this.handshakeInput.length < 4 + length) return;
      const message = this.handshakeInput.subarray(0, 4 + length);
      this.handshakeInput = this.handshakeInput.subarray(4 + length);
      this.receiveMessage(message[0], message.subarray(4), message);
    }
  }

  /** The client's messages, in the only order there is. */
  private receiveMessage(type: number, body: Buffer, message: Buffer): void {
    if (type === HandshakeType.CLIENT_HELLO && !this.seen.clientHello) {
      this.transcript.push(message);
      this.seen.clientHelloBytes = message;
      this.receiveClientHello(parseClientHello(body));
      this.proceed();
    } else if (type === HandshakeType.CLIENT_KEY_EXCHANGE && this.seen.clientHello && !this.keys) {
      this.transcript.push(message);
      this.receiveClientKeyExchange(parseClientKeyExchange(body));
    } else if (type === HandshakeType.FINISHED && this.reading && !this.seen.finished) {
      const expected = verifyData(this.masterSecret, "client", this.transcriptHash());
      if (!expected.equals(body)) throw DECRYPT_ERROR;
      this.transcript.push(message);
      this.seen.finished = true;
      this.proceed();
    } else throw UNEXPECTED_MESSAGE;
  }

  private receiveClientHello(client: ClientHello): void {
    const { conduct, hello } = this;
    this.seen.clientHello = client;
    if (client.version < TLS_1_2) throw PROTOCOL_VERSION;
    const wanted = conduct.suites ?? EVERY_SUITE.map((suite) => suite.code);
    const code = wanted.find((suite) => client.suites.includes(suite));
    if (code === undefined || !client.compressions.includes(0)) throw HANDSHAKE_FAILURE;
    this.suite = suiteOf(code);
    hello.suite = code;
    hello.extensions = this.grant(client);
    conduct.hello?.(hello, client);
  }

  /** Answer the client's extensions as an honest server does. */
  private grant(client: ClientHello): Extension[] | undefined {
    const { conduct } = this;
    const asked = (type: number) => client.extensions.find((extension) => extension.type === type)?.data;
    const granted: Extension[] = [];
    const grant = (type: number, data: Buffer = Buffer.alloc(0)) => granted.push({ type, data });

    if (client.suites.includes(RENEGOTIATION_SCSV) || asked(ExtensionType.RENEGOTIATION_INFO))
      grant(ExtensionType.RENEGOTIATION_INFO, Buffer.from([0]));
    const limit = asked(ExtensionType.RECORD_SIZE_LIMIT);
    const code = asked(ExtensionType.MAX_FRAGMENT_LENGTH);
    const way = conduct.fragmentLimit ?? "max_fragment_length";
    if (way === "record_size_limit" && limit) {
      this.fragmentLimit = Math.min(limit.readUInt16BE(0), MAX_PLAINTEXT);
      grant(ExtensionType.RECORD_SIZE_LIMIT, uint(MAX_PLAINTEXT, 2));
    } else if (way === "max_fragment_length" && code) {
      this.fragmentLimit = 256 << code[0];
      grant(ExtensionType.MAX_FRAGMENT_LENGTH, code);
    }
    if (asked(ExtensionType.EXTENDED_MASTER_SECRET) && conduct.extendedMasterSecret !== false) {
      this.extended = true;
      grant(ExtensionType.EXTENDED_MASTER_SECRET);
    }
    const cbc = this.suite.kind === "cbc";
    if (cbc && asked(ExtensionType.ENCRYPT_THEN_MAC) && conduct.encryptThenMac !== false) {
      this.encryptThenMac = true;
      grant(ExtensionType.ENCRYPT_THEN_MAC);
    }
    return granted.length ? granted : undefined;
  }

  private receiveClientKeyExchange(identity: Buffer): void {
    this.seen.identity = identity;
    const key = this.conduct.key(identity);
    if (!key) throw UNKNOWN_PSK_IDENTITY;
    const { clientHello } = this.seen;
    if (!clientHello) throw INTERNAL_ERROR;
    this.masterSecret = this.extended
      ? extendedMasterSecret(key, this.transcriptHash())
      : masterSecret(key, clientHello.random, this.hello.random);
    this.keys = writeKeys(this.suite, this.masterSecret, clientHello.random, this.hello.random);
  }
}
