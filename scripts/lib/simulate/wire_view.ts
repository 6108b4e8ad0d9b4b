// What goes over the wire, made readable: takes the bytes of one TCP connection as they pass and names each TLS 1.2
// message with its fields (RFC 5246, 6.2.1 and 7.4; RFC 4279; RFC 6066; RFC 7366; RFC 7627; RFC 8449).
// Only for show: it checks nothing, decrypts nothing, and gives up with a word on what is not TLS.

import { alertName } from "../cli/error_text";
import { showBytes } from "../cli/show";

export type Direction = "out" | "in";

export interface WireMessage {
  /** `out`: the device sent it. */
  direction: Direction;
  /** ClientHello, ServerHello, ..., Finished, Alert, ApplicationData. */
  name: string;
  /** Its bytes: a handshake message with its 4-byte header, else the record's content. */
  bytes: Buffer;
  /** Whether the bytes are ciphertext. */
  encrypted: boolean;
  /** Its fields, one a line. */
  details: string[];
}

/** What both sides agreed on, as far as it has been seen. */
export interface Agreement {
  suite?: string;
  /** Extensions that the server confirmed, with their values. */
  extensions: string[];
}

const SUITES: Record<number, string> = {
  0x008c: "TLS_PSK_WITH_AES_128_CBC_SHA",
  0x00a8: "TLS_PSK_WITH_AES_128_GCM_SHA256",
  0x00ae: "TLS_PSK_WITH_AES_128_CBC_SHA256",
  0x00ff: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
  0xc0a4: "TLS_PSK_WITH_AES_128_CCM",
  0xc0a8: "TLS_PSK_WITH_AES_128_CCM_8",
};

const HANDSHAKE_NAMES: Record<number, string> = {
  0: "HelloRequest",
  1: "ClientHello",
  2: "ServerHello",
  4: "NewSessionTicket",
  11: "Certificate",
  12: "ServerKeyExchange",
  13: "CertificateRequest",
  14: "ServerHelloDone",
  16: "ClientKeyExchange",
  20: "Finished",
};

const EXTENSIONS: Record<number, { name: string; value?: (content: Buffer) => string }> = {
  0: { name: "server_name" },
  1: { name: "max_fragment_length", value: (content) => `${256 << content[0]} bytes` },
  10: { name: "supported_groups" },
  13: { name: "signature_algorithms" },
  16: { name: "application_layer_protocol_negotiation" },
  22: { name: "encrypt_then_mac" },
  23: { name: "extended_master_secret" },
  28: { name: "record_size_limit", value: (content) => `${content.readUInt16BE(0)} bytes` },
  35: { name: "session_ticket" },
  43: { name: "supported_versions" },
  0xff01: { name: "renegotiation_info" },
};

const CONTENT_NAMES: Record<number, string> = {
  20: "ChangeCipherSpec",
  21: "Alert",
  22: "Handshake",
  23: "ApplicationData",
};

/** One direction of a connection: bytes not yet a record, fragments not yet a message. */
class Stream {
  pending: Buffer = Buffer.alloc(0);
  fragments: Buffer = Buffer.alloc(0);
  encrypted = false;
  lost = false;
}

export class WireView {
  agreement: Agreement = { extensions: [] };
  /** Bytes of the records up to and with Finished, headers counted. */
  handshakeBytes: Record<Direction, number> = { out: 0, in: 0 };
  private streams: Record<Direction, Stream> = { out: new Stream(), in: new Stream() };

  constructor(private readonly onMessage: (message: WireMessage) => void) {}

  private reset(): void {
    this.agreement = { extensions: [] };
    this.handshakeBytes = { out: 0, in: 0 };
    this.streams = { out: new Stream(), in: new Stream() };
  }

  /** Take bytes as TCP brings them, in pieces of any length. The device's ClientHello begins a new connection. */
  feed(direction: Direction, bytes: Buffer): void {
    if (direction === "out" && isClientHello(bytes)) this.reset();
    const stream = this.streams[direction];
    if (stream.lost) return;
    stream.pending = Buffer.concat([stream.pending, bytes]);
    while (stream.pending.length >= 5 && !stream.lost) {
      const [type, major] = stream.pending;
      if (!CONTENT_NAMES[type] || major !== 3) {
        stream.lost = true;
        this.tell(direction, "not TLS", stream.pending, []);
        return;
      }
      const end = 5 + stream.pending.readUInt16BE(3);
      if (stream.pending.length < end) return;
      const content = stream.pending.subarray(5, end);
      stream.pending = stream.pending.subarray(end);
      this.record(direction, type, content);
    }
  }

  private record(direction: Direction, type: number, content: Buffer): void {
    const stream = this.streams[direction];
    if (type === 20 || type === 22) this.handshakeBytes[direction] += 5 + content.length;
    if (type === 20) {
      stream.encrypted = true;
      this.tell(direction, CONTENT_NAMES[type], content, ["from here on encrypted"]);
    } else if (stream.encrypted) {
      const name = type === 22 ? "Finished" : CONTENT_NAMES[type];
      this.tell(direction, name, content, []);
    } else if (type === 22) {
      this.handshake(direction, content);
    } else if (type === 21 && content.length === 2) {
      this.tell(direction, "Alert", content, [
        `${content[0] === 2 ? "fatal" : "warning"} ${content[1]} ${alertName(content[1])}`,
      ]);
    } else {
      this.tell(direction, CONTENT_NAMES[type], content, []);
    }
  }

  private handshake(direction: Direction, content: Buffer): void {
    const stream = this.streams[direction];
    stream.fragments = Buffer.concat([stream.fragments, content]);
    while (stream.fragments.length >= 4) {
      const end = 4 + stream.fragments.readUIntBE(1, 3);
      if (stream.fragments.length < end) return;
      const message = stream.fragments.subarray(0, end);
      stream.fragments = stream.fragments.subarray(end);
      this.tell(
        direction,
        HANDSHAKE_NAMES[message[0]] ?? `handshake message ${message[0]}`,
        message,
        this.fields(message),
      );
    }
  }

  private fields(message: Buffer): string[] {
    const reader = new Reader(message.subarray(4));
    try {
      if (message[0] === 1) return clientHello(reader);
      if (message[0] === 2) return this.serverHello(reader);
      if (message[0] === 12)
        return [`identity hint "${showBytes(reader.vector(2))}", which the device skips`];
      if (message[0] === 16)
        return [`identity "${showBytes(reader.vector(2))}", the only thing a device says in clear`];
      return [];
    } catch (error) {
      if (error instanceof RangeError) return ["malformed"];
      throw error;
    }
  }

  private serverHello(reader: Reader): string[] {
    const version = reader.number(2);
    const random = reader.take(32);
    const sessionId = reader.vector(1);
    this.agreement = { suite: suiteName(reader.number(2)), extensions: [] };
    reader.number(1); // compression method
    if (reader.left > 0) this.agreement.extensions = extensions(reader.vector(2));
    return [
      `version ${versionName(version)}, random ${short(random)}${sessionId.length ? `, session id of ${sessionId.length} bytes` : ""}`,
      `suite ${this.agreement.suite}`,
      `extensions ${this.agreement.extensions.join(", ") || "none"}`,
    ];
  }

  private tell(direction: Direction, name: string, bytes: Buffer, details: string[]): void {
    const encrypted = this.streams[direction].encrypted && name !== "ChangeCipherSpec";
    this.onMessage({ direction, name, bytes: Buffer.from(bytes), encrypted, details });
  }
}

/** A whole ClientHello as the device sends it: one record, one write. Encrypted bytes look like it once in 2^40. */
function isClientHello(bytes: Buffer): boolean {
  return (
    bytes.length > 9 &&
    bytes[0] === 22 &&
    bytes[5] === 1 &&
    bytes.readUIntBE(6, 3) === bytes.readUInt16BE(3) - 4
  );
}

/** A cursor that throws a RangeError where a message ends too early. */
class Reader {
  private at = 0;
  constructor(private readonly bytes: Buffer) {}
  get left(): number {
    return this.bytes.length - this.at;
  }
  take(length: number): Buffer {
    if (length > this.left) throw new RangeError();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  number(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }
  /** A vector with a length field of `lengthBytes` in front. */
  vector(lengthBytes: number): Buffer {
    return this.take(this.number(lengthBytes));
  }
}

function clientHello(reader: Reader): string[] {
  const version = reader.number(2);
  const random = reader.take(32);
  reader.vector(1); // session id
  const codes = reader.vector(2);
  const suites = Array.from({ length: codes.length >> 1 }, (_, i) => suiteName(codes.readUInt16BE(2 * i)));
  reader.vector(1); // compression methods
  const offered = reader.left > 0 ? extensions(reader.vector(2)) : [];
  return [
    `version ${versionName(version)}, random ${short(random)}`,
    ...suites.map((suite) => `suite ${suite}`),
    `extensions ${offered.join(", ") || "none"}`,
  ];
}

function extensions(block: Buffer): string[] {
  const reader = new Reader(block);
  const list: string[] = [];
  while (reader.left > 0) {
    const type = reader.number(2);
    const content = reader.vector(2);
    const { name, value } = EXTENSIONS[type] ?? { name: `extension ${type}` };
    list.push(value ? `${name} ${value(content)}` : name);
  }
  return list;
}

function suiteName(code: number): string {
  return SUITES[code] ?? `0x${code.toString(16).padStart(4, "0").toUpperCase()}`;
}

function versionName(version: number): string {
  return version >> 8 === 3 ? `TLS 1.${(version & 0xff) - 1}` : `0x${version.toString(16)}`;
}

function short(bytes: Buffer): string {
  return `${bytes.toString("hex", 0, 6)}...`;
}

/** Lay bytes out in hex, `width` bytes a line; after `limit` bytes only a count. */
export function hexLines(bytes: Buffer, width = 32, limit = 160): string[] {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(bytes.length, limit); at += width) {
    const line = bytes.subarray(at, Math.min(at + width, limit)).toString("hex");
    lines.push(line.replace(/(.{8})(?=.)/g, "$1 "));
  }
  if (bytes.length > limit) lines.push(`and ${bytes.length - limit} bytes more`);
  return lines;
}
