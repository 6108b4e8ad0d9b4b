/*
 * The handshake messages of a TLS 1.2 PSK server as bytes: RFC 5246 (7.4), RFC 4279 (2), RFC 6066 (4), RFC 8449,
 * RFC 7366, RFC 7627, RFC 5746. What the server writes can be given any value; what it reads is checked.
 */

export const ContentType = {
  CHANGE_CIPHER_SPEC: 20,
  ALERT: 21,
  HANDSHAKE: 22,
  APPLICATION_DATA: 23,
  HEARTBEAT: 24,
} as const;

export const HandshakeType = {
  HELLO_REQUEST: 0,
  CLIENT_HELLO: 1,
  SERVER_HELLO: 2,
  NEW_SESSION_TICKET: 4,
  CERTIFICATE: 11,
  SERVER_KEY_EXCHANGE: 12,
  CERTIFICATE_REQUEST: 13,
  SERVER_HELLO_DONE: 14,
  CLIENT_KEY_EXCHANGE: 16,
  FINISHED: 20,
  CERTIFICATE_STATUS: 22,
} as const;

export const ExtensionType = {
  SERVER_NAME: 0,
  MAX_FRAGMENT_LENGTH: 1,
  TRUNCATED_HMAC: 4,
  HEARTBEAT: 15,
  ENCRYPT_THEN_MAC: 22,
  EXTENDED_MASTER_SECRET: 23,
  RECORD_SIZE_LIMIT: 28,
  SESSION_TICKET: 35,
  RENEGOTIATION_INFO: 0xff01,
} as const;

export const RENEGOTIATION_SCSV = 0x00ff;
const DECODE_ERROR = 50;

export interface Extension {
  type: number;
  data: Buffer;
}

export interface ClientHello {
  version: number;
  random: Buffer;
  sessionId: Buffer;
  suites: number[];
  compressions: number[];
  extensions: Extension[];
}

export interface ServerHello {
  version: number;
  random: Buffer;
  sessionId: Buffer;
  suite: number;
  compression: number;
  /** undefined: no extensions block at all; empty: a block of length 0. */
  extensions: Extension[] | undefined;
}

/** Write a number as `length` bytes, most significant first. */
export function uint(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}

/** Write a vector: its length in `lengthBytes` bytes and then itself. */
export function vector(lengthBytes: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint(body.length, lengthBytes), body]);
}

/** Write a handshake message: type, length of three bytes, body. */
export function handshakeMessage(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(3, body)]);
}

/** Write the body of a ServerHello. */
export function serverHello(hello: ServerHello): Buffer {
  const extensions = hello.extensions?.map(({ type, data }) =>
    Buffer.concat([uint(type, 2), vector(2, data)]),
  );
  return Buffer.concat([
    uint(hello.version, 2),
    hello.random,
    vector(1, hello.sessionId),
    uint(hello.suite, 2),
    Buffer.from([hello.compression]),
    extensions ? vector(2, ...extensions) : Buffer.alloc(0),
  ]);
}

/** A cursor over received bytes; throws decode_error where they end too early. */
class Reader {
  private offset = 0;
  constructor(private readonly bytes: Buffer) {}
  take(length: number): Buffer {
    if (this.offset + length > this.bytes.length) throw DECODE_ERROR;
    return this.bytes.subarray(this.offset, (this.offset += length));
  }
  uint(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }
  vector(lengthBytes: number): Buffer {
    return this.take(this.uint(lengthBytes));
  }
  get left(): number {
    return this.bytes.length - this.offset;
  }
}

/** Read the body of a ClientHello; throws decode_error. */
export function parseClientHello(body: Buffer): ClientHello {
  const reader = new Reader(body);
  const version = reader.uint(2);
  const random = reader.take(32);
  const sessionId = reader.vector(1);
  if (sessionId.length > 32) throw DECODE_ERROR;
  const suiteReader = new Reader(reader.vector(2));
  const suites: number[] = [];
  while (suiteReader.left) suites.push(suiteReader.uint(2));
  const compressions = [...reader.vector(1)];
  const extensions: Extension[] = [];
  if (reader.left) {
    const list = new Reader(reader.vector(2));
    while (list.left) {
      const type = list.uint(2);
      if (extensions.some((extension) => extension.type === type)) throw DECODE_ERROR;
      extensions.push({ type, data: list.vector(2) });
    }
  }
  if (reader.left) throw DECODE_ERROR;
  return { version, random, sessionId, suites, compressions, extensions };
}

/** Read the identity of a PSK ClientKeyExchange, RFC 4279 section 2; throws decode_error. */
export function parseClientKeyExchange(body: Buffer): Buffer {
  const reader = new Reader(body);
  const identity = reader.vector(2);
  if (reader.left) throw DECODE_ERROR;
  return identity;
}
