/*
 * The built bundle on a simulated board against servers that misbehave in one known way each: a table of what they
 * do and of the alert that it must cause (RFC 5246 and the extensions' RFCs). The alert is read twice, from what the
 * server received and from the error that the application on the board got; after every case the same board must
 * complete an honest handshake. Test names begin with the row of the requirements that they show.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  IDENTITY,
  KEY,
  powerOffShared,
  SIMULATED_BOARDS,
  sharedDevice,
  TestDevice,
} from "../../scripts/lib/test/device";
import {
  type Connection,
  startScriptedServer,
  type WireConduct,
} from "../../scripts/lib/test/scripted_server";
import {
  ContentType,
  ExtensionType,
  handshakeMessage,
  type ServerHello,
  uint,
} from "../../scripts/lib/test/tls12/messages";
import {
  FATAL,
  honestSteps,
  type MessageName,
  type ServerSession,
  type Step,
  WARNING,
} from "../../scripts/lib/test/tls12/server_session";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import {
  AES_FAILED,
  BAD_RECORD_MAC,
  CLOSE_NOTIFY,
  DECODE_ERROR,
  DECRYPT_ERROR,
  HANDSHAKE_FAILURE,
  ILLEGAL_PARAMETER,
  INTERNAL_ERROR,
  NO_RENEGOTIATION,
  PROTOCOL_VERSION,
  RECEIVED,
  RECORD_OVERFLOW,
  SENT,
  TIMEOUT,
  TRUNCATED,
  UNEXPECTED_MESSAGE,
  UNSUPPORTED_EXTENSION,
} from "./alert";

const CBC_SHA = 0x008c;
const CBC_SHA256 = 0x00ae;
const CCM_8 = 0xc0a8;
const CCM = 0xc0a4;
const GCM = 0x00a8;
const SUITES = [CBC_SHA, CBC_SHA256, CCM_8, CCM];
const EVERY_SUITE = [...SUITES, GCM];
const { ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, HEARTBEAT } = ContentType;

const key: WireConduct["key"] = (identity) => (identity.toString("latin1") === IDENTITY ? KEY : undefined);
const PING = Buffer.from("ping");
const NOTHING: Buffer = Buffer.alloc(0);

/** What a case must end with: the alert that the device sends, the one that it got, a code of its own, or life. */
type Outcome = { sends: number } | { receives: number } | { code: number } | "lives";

interface Case {
  name: string;
  suites?: number[];
  conduct: Partial<WireConduct>;
  outcome: Outcome;
  /** Warnings that the device sends before it. */
  warnings?: number[];
  /** A bundle whose policy takes servers without EMS and without encrypt-then-MAC. */
  lenient?: boolean;
}

const LENIENT = { requireExtendedMasterSecret: false, requireEncryptThenMac: false };

// --- building blocks of the table ---------------------------------------------------------------------------

const hello = (change: (hello: ServerHello) => void) => ({ hello: change });
const extension = (type: number, data = NOTHING) =>
  hello((h) => void (h.extensions = [...(h.extensions ?? []), { type, data }]));
const without = (type: number) =>
  hello((h) => void (h.extensions = h.extensions?.filter((e) => e.type !== type)));
const replaced = (type: number, data: Buffer) =>
  hello(
    (h) => void (h.extensions = [...(h.extensions ?? []).filter((e) => e.type !== type), { type, data }]),
  );
const body = (name: MessageName, change: (body: Buffer) => Buffer) => ({
  body: (message: MessageName, bytes: Buffer) => (message === name ? change(bytes) : bytes),
});
const message = (name: MessageName, change: (message: Buffer) => Buffer) => ({
  message: (changed: MessageName, bytes: Buffer) => (changed === name ? change(bytes) : bytes),
});
/** Do something as the first thing after the ClientHello. */
const first = (step: Step) => ({ steps: [step, ...honestSteps(false)] });
/** Do something between two steps of the honest flight. */
const beforeStep = (name: Step, ...inserted: Step[]) => ({
  steps: honestSteps(false).flatMap((step) => (step === name ? [...inserted, step] : [step])),
});
/** Do something when the session stands. */
const afterwards = (...steps: Step[]) => ({ steps: [...honestSteps(false), ...steps] });
const record =
  (type: number, fragment: Buffer, version = 0x0303) =>
  (session: ServerSession) =>
    session.sendRecord(type, fragment, undefined, version);
const alert = (level: number, description: number) => (session: ServerSession) =>
  session.sendAlert(level, description);
const bytes = (hex: string) => (session: ServerSession) => session.sendBytes(Buffer.from(hex, "hex"));
/** Application data, spoiled. */
const spoiled = (spoil: NonNullable<Parameters<ServerSession["sendRecord"]>[2]>, data = PING) =>
  afterwards((session) => session.sendRecord(APPLICATION_DATA, data, spoil));

function flipped(input: Buffer, at = 0, bits = 1): Buffer {
  const output = Buffer.from(input);
  output[at] ^= bits;
  return output;
}

// --- the table ------------------------------------------------------------------------------------------------

const CASES: Case[] = [
  // versions
  ...[0x0300, 0x0301, 0x0302, 0x0304, 0x0203, 0xfefd].map((version) => ({
    name: `R4 ServerHello of version ${version.toString(16)}`,
    conduct: hello((h) => void (h.version = version)),
    outcome: { sends: PROTOCOL_VERSION },
  })),
  {
    name: "R4 a server that refuses the version",
    conduct: { steps: [alert(FATAL, PROTOCOL_VERSION), (s: ServerSession) => s.end()] },
    outcome: { receives: PROTOCOL_VERSION },
  },
  {
    name: "R4 record of another major version",
    conduct: first(record(HANDSHAKE, Buffer.from("0e000000", "hex"), 0x0203)),
    outcome: { sends: PROTOCOL_VERSION },
  },
  {
    name: "R4 protected record of version 3.1",
    conduct: afterwards((s: ServerSession) => s.sendRecord(APPLICATION_DATA, PING, undefined, 0x0301)),
    outcome: { sends: PROTOCOL_VERSION },
  },

  // suites and compression
  ...[0x0000, 0x002c, 0x008a, 0x008b, 0x008d, 0x00a9, 0x002f, 0x1301, 0x00ff].map((suite) => ({
    name: `R10 suite ${suite.toString(16).padStart(4, "0")} that was not offered`,
    conduct: hello((h) => void (h.suite = suite)),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  ...[1, 64, 255].map((compression) => ({
    name: `R10 compression method ${compression}`,
    conduct: hello((h) => void (h.compression = compression)),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R10 truncated HMAC",
    conduct: extension(ExtensionType.TRUNCATED_HMAC),
    outcome: { sends: UNSUPPORTED_EXTENSION },
  },

  // session ids
  ...[1, 16, 32].map((length) => ({
    name: `R18 session id of ${length} bytes is taken`,
    conduct: { sessionId: Buffer.alloc(length, 0x55) },
    outcome: "lives" as const,
  })),
  ...[33, 64, 255].map((length) => ({
    name: `R18 session id of ${length} bytes`,
    conduct: { sessionId: Buffer.alloc(length, 0x55) },
    outcome: { sends: DECODE_ERROR },
  })),

  // extensions
  ...[
    ExtensionType.SERVER_NAME,
    ExtensionType.HEARTBEAT,
    ExtensionType.SESSION_TICKET,
    0x002b,
    0x0a0a,
    0xffff,
  ].map((type) => ({
    name: `R18 extension ${type} that was not offered`,
    conduct: extension(type),
    outcome: { sends: UNSUPPORTED_EXTENSION },
  })),
  ...[
    [ExtensionType.EXTENDED_MASTER_SECRET, ""],
    [ExtensionType.MAX_FRAGMENT_LENGTH, "01"],
    [ExtensionType.RENEGOTIATION_INFO, "00"],
  ].map(([type, data]) => ({
    name: `R18 extension ${type} twice`,
    conduct: extension(type as number, Buffer.from(data as string, "hex")),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  ...[
    [ExtensionType.EXTENDED_MASTER_SECRET, "00"],
    [ExtensionType.MAX_FRAGMENT_LENGTH, ""],
    [ExtensionType.MAX_FRAGMENT_LENGTH, "0101"],
  ].map(([type, data]) => ({
    name: `R18 extension ${type} with a body of ${(data as string).length / 2} bytes`,
    conduct: replaced(type as number, Buffer.from(data as string, "hex")),
    outcome: { sends: DECODE_ERROR },
  })),
  ...["", "02", "020000", "02000000"].map((data) => ({
    name: `R18 record_size_limit with a body of ${data.length / 2} bytes`,
    conduct: {
      fragmentLimit: "record_size_limit" as const,
      ...replaced(ExtensionType.RECORD_SIZE_LIMIT, Buffer.from(data, "hex")),
    },
    outcome: { sends: DECODE_ERROR },
  })),
  {
    name: "R18 no extensions block",
    lenient: true,
    suites: [CCM_8],
    conduct: { extendedMasterSecret: false, ...hello((h) => void (h.extensions = undefined)) },
    outcome: "lives",
  },
  {
    name: "R18 an empty extensions block",
    lenient: true,
    suites: [CCM_8],
    conduct: { extendedMasterSecret: false, ...hello((h) => void (h.extensions = [])) },
    outcome: "lives",
  },
  {
    name: "R18 a ServerHello that ends within the extensions' length",
    conduct: message("ServerHello", (m) => handshakeMessage(m[0], m.subarray(4, 4 + 38 + 1))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 an extensions block that is shorter than its length",
    conduct: body("ServerHello", (b) => b.subarray(0, b.length - 1)),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 a byte after the extensions block",
    conduct: body("ServerHello", (b) => Buffer.concat([b, Buffer.from([0])])),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 an extension that is longer than the block",
    conduct: body("ServerHello", (b) => {
      const wrong = Buffer.from(b);
      wrong.writeUInt16BE(200, 38 + 2 + 2); // the length of the first extension
      return wrong;
    }),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 an empty ServerHello",
    conduct: body("ServerHello", () => NOTHING),
    outcome: { sends: DECODE_ERROR },
  },

  // encrypt-then-MAC, extended master secret, renegotiation, fragment limit
  ...[CBC_SHA, CBC_SHA256].map((suite) => ({
    name: `R6 CBC suite ${suite.toString(16)} without encrypt-then-MAC`,
    suites: [suite],
    conduct: { encryptThenMac: false },
    outcome: { sends: HANDSHAKE_FAILURE },
  })),
  ...[CBC_SHA, CBC_SHA256].map((suite) => ({
    name: `R6 CBC suite ${suite.toString(16)} without encrypt-then-MAC where the policy takes it`,
    suites: [suite],
    lenient: true,
    conduct: { encryptThenMac: false },
    outcome: "lives" as const,
  })),
  ...[CCM_8, CCM].map((suite) => ({
    name: `R6 encrypt-then-MAC granted with CCM suite ${suite.toString(16)}`,
    suites: [suite],
    conduct: extension(ExtensionType.ENCRYPT_THEN_MAC),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R6 encrypt-then-MAC with a body",
    suites: [CBC_SHA],
    conduct: replaced(ExtensionType.ENCRYPT_THEN_MAC, Buffer.from([0])),
    outcome: { sends: DECODE_ERROR },
  },
  ...EVERY_SUITE.map((suite) => ({
    name: `R7 stripped extended master secret, suite ${suite.toString(16)}`,
    suites: [suite],
    conduct: { extendedMasterSecret: false },
    outcome: { sends: HANDSHAKE_FAILURE },
  })),
  {
    name: "R7 extended master secret stripped by a middle man from the ServerHello",
    conduct: without(ExtensionType.EXTENDED_MASTER_SECRET),
    outcome: { sends: HANDSHAKE_FAILURE },
  },
  {
    name: "R7 a server without extended master secret where the policy takes it",
    lenient: true,
    conduct: { extendedMasterSecret: false },
    outcome: "lives",
  },
  ...["", "0101", "0c000102030405060708090a0b", "02"].map((data) => ({
    name: `R8 renegotiation_info ${data || "empty"}`,
    conduct: replaced(ExtensionType.RENEGOTIATION_INFO, Buffer.from(data, "hex")),
    outcome: { sends: HANDSHAKE_FAILURE },
  })),
  {
    name: "R8 HelloRequest while the handshake runs is ignored",
    conduct: beforeStep("ServerHelloDone", "HelloRequest"),
    outcome: "lives",
  },
  {
    name: "R8 HelloRequest before the ServerHello is ignored",
    conduct: first("HelloRequest"),
    outcome: "lives",
  },
  {
    name: "R8 HelloRequest in two records, and two in one, when the session stands",
    conduct: afterwards(
      record(HANDSHAKE, Buffer.alloc(1)),
      record(HANDSHAKE, Buffer.alloc(3)),
      record(HANDSHAKE, Buffer.alloc(8)),
    ),
    outcome: "lives",
    warnings: [NO_RENEGOTIATION, NO_RENEGOTIATION],
  },
  {
    name: "R8 HelloRequest with a body when the session stands",
    conduct: afterwards(record(HANDSHAKE, Buffer.from("0000000100", "hex"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R8 more than four HelloRequests in a row",
    conduct: afterwards(...Array(5).fill("HelloRequest")),
    outcome: { sends: UNEXPECTED_MESSAGE },
    warnings: Array(4).fill(NO_RENEGOTIATION),
  },
  {
    name: "R8 HelloRequest with a body",
    conduct: beforeStep("ServerHelloDone", (s) => s.sendMessage(Buffer.from("0000000100", "hex"))),
    outcome: { sends: DECODE_ERROR },
  },
  ...[0, 2, 3, 4, 5, 255].map((code) => ({
    name: `R9 max_fragment_length ${code} echoed`,
    conduct: replaced(ExtensionType.MAX_FRAGMENT_LENGTH, Buffer.from([code])),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R9 max_fragment_length and record_size_limit both",
    conduct: extension(ExtensionType.RECORD_SIZE_LIMIT, uint(512, 2)),
    outcome: { sends: ILLEGAL_PARAMETER },
  },
  ...[0, 1, 63].map((limit) => ({
    name: `R9 record_size_limit ${limit}`,
    conduct: {
      fragmentLimit: "record_size_limit" as const,
      ...replaced(ExtensionType.RECORD_SIZE_LIMIT, uint(limit, 2)),
    },
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R9 a server without any fragment limit, within 512 bytes",
    conduct: { fragmentLimit: "none" },
    outcome: "lives",
  },
  // RFC 8449, 4: the limit is that of protected records
  ...[513, 4096, 16384].map((length) => ({
    name: `R9 handshake record of ${length} bytes in the clear that is no message of ours`,
    conduct: first(record(HANDSHAKE, Buffer.alloc(length, 2))),
    outcome: { sends: DECODE_ERROR },
  })),
  ...[16385, 65535].map((length) => ({
    name: `R9 handshake record of ${length} bytes in the clear`,
    conduct: first(record(HANDSHAKE, Buffer.alloc(length, 2))),
    outcome: { sends: RECORD_OVERFLOW },
  })),
  {
    name: "R9 alert record of 513 bytes in the clear",
    conduct: first(record(ALERT, Buffer.alloc(513, 1))),
    outcome: { sends: DECODE_ERROR },
  },
  ...[undefined, 1, 536].map((pieces) => ({
    name: `R9 a flight of 1,100 bytes in one record in the clear, in TCP pieces of ${pieces ?? "any"} bytes`,
    conduct: {
      fragmentLimit: "record_size_limit" as const,
      joinMessages: true,
      handshakeFragment: 16384,
      identityHint: Buffer.alloc(1000, 0x20),
      pieces,
    },
    outcome: "lives" as const,
  })),
  ...EVERY_SUITE.flatMap((suite) =>
    [513, 1024, 16384].map((length) => ({
      name: `R9 protected record of ${length} bytes, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: afterwards(record(APPLICATION_DATA, Buffer.alloc(length, 0x61))),
      outcome: { sends: RECORD_OVERFLOW },
    })),
  ),

  // identity and hint
  ...[
    NOTHING,
    Buffer.from("any"),
    Buffer.from("a\0b:c"),
    Buffer.from("Schlüssel€"),
    Buffer.alloc(128, 0xff),
    Buffer.alloc(500, 0x20),
    Buffer.alloc(507, 0x20),
    Buffer.alloc(2042, 0x20),
  ].map((identityHint) => ({
    name: `R12 identity hint of ${identityHint.length} bytes is ignored`,
    conduct: { identityHint },
    outcome: "lives" as const,
  })),
  {
    name: "R18 identity hint of 2,043 bytes: more than is passed over",
    conduct: { identityHint: Buffer.alloc(2043, 0x20) },
    outcome: { sends: DECODE_ERROR },
  },
  ...["", "00", "0001", "000400", "00020102ff"].map((hex) => ({
    name: `R12 ServerKeyExchange ${hex || "empty"}`,
    conduct: { identityHint: NOTHING, ...body("ServerKeyExchange", () => Buffer.from(hex, "hex")) },
    outcome: { sends: DECODE_ERROR },
  })),
  {
    name: "R11 a server that does not know the identity",
    conduct: { key: () => undefined },
    outcome: { receives: 115 },
  },
  ...EVERY_SUITE.map((suite) => ({
    name: `R11 a server with another key, suite ${suite.toString(16)}`,
    suites: [suite],
    conduct: { key: () => Buffer.alloc(16, 9) },
    outcome: { receives: BAD_RECORD_MAC },
  })),

  // bad records
  ...EVERY_SUITE.flatMap((suite) => [
    {
      name: `R16 bad MAC or tag, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ mac: (m) => flipped(m) }),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 record whose content type was changed, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ sealedType: ALERT }),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 record replayed, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: {
        ...afterwards(record(APPLICATION_DATA, PING)),
        record: (r: Buffer, type: number) => (type === APPLICATION_DATA ? Buffer.concat([r, r]) : r),
      },
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 protected record with an empty body, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ body: () => NOTHING }),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 protected record shorter than its MAC, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ body: (b) => b.subarray(0, 7) }),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 record in the clear after ChangeCipherSpec, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: afterwards(bytes("170303000470696e67")),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R16 bad Finished record, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: { spoil: (nth: number) => (nth === 0 ? { mac: (m: Buffer) => flipped(m) } : undefined) },
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R2 the client's own Finished sent back, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: {
        steps: [
          "ServerHello",
          "ServerHelloDone",
          "ClientFinished",
          "ChangeCipherSpec",
          (s: ServerSession) => s.sendBytes(s.seen.records[s.seen.records.length - 1]),
        ] as Step[],
      },
      outcome: { sends: BAD_RECORD_MAC },
    },
  ]),
  ...[CBC_SHA, CBC_SHA256].flatMap((suite) => [
    {
      name: `R6 wrong padding, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ padding: (p) => flipped(p) }, Buffer.alloc(3)),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R6 padding longer than the record, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ padding: (p) => Buffer.alloc(p.length, 255) }),
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R6 wrong padding under MAC-then-encrypt, suite ${suite.toString(16)}`,
      lenient: true,
      suites: [suite],
      conduct: { encryptThenMac: false, ...spoiled({ padding: (p) => flipped(p) }, Buffer.alloc(3)) },
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R6 padding longer than needed is taken, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: {
        spoil: () => ({ padding: (p: Buffer) => Buffer.alloc(p.length + 16, p.length + 15) }),
      },
      outcome: "lives" as const,
    },
    ...[
      [512, 240],
      [1, 255],
      [500, 252],
    ].map(([length, padding]) => ({
      name: `R6 ${length} bytes with padding of ${padding} are taken, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: {
        ...afterwards((session: ServerSession) =>
          session.sendRecord(APPLICATION_DATA, Buffer.alloc(length, 0x61), {
            // up to 255 that fill whole blocks
            padding: (p) =>
              Buffer.alloc(
                p.length + ((255 - p.length + 1) & ~15),
                p.length - 1 + ((255 - p.length + 1) & ~15),
              ),
          }),
        ),
      },
      outcome: "lives" as const,
    })),
    {
      name: `R6 513 bytes with a long padding, suite ${suite.toString(16)}`,
      suites: [suite],
      conduct: spoiled({ padding: (p) => Buffer.alloc(p.length + 240, p.length + 239) }, Buffer.alloc(513)),
      outcome: { sends: RECORD_OVERFLOW },
    },
    {
      name: `R6 POODLE: padding of any bytes but the right length under MAC-then-encrypt, suite ${suite.toString(16)}`,
      lenient: true,
      suites: [suite],
      conduct: {
        encryptThenMac: false,
        ...spoiled(
          { padding: (p) => Buffer.concat([Buffer.alloc(p.length - 1, 0xaa), p.subarray(p.length - 1)]) },
          Buffer.alloc(1),
        ),
      },
      outcome: { sends: BAD_RECORD_MAC },
    },
    {
      name: `R6 empty application data is taken under MAC-then-encrypt, suite ${suite.toString(16)}`,
      lenient: true,
      suites: [suite],
      conduct: { encryptThenMac: false, ...afterwards(record(APPLICATION_DATA, NOTHING)) },
      outcome: "lives" as const,
    },
  ]),

  // what is not a TLS record
  ...[0, 19, HEARTBEAT, 25, 80, 128, 255].map((type) => ({
    name: `R18 content type ${type}`,
    conduct: first(record(type, Buffer.from([1]))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  })),
  ...EVERY_SUITE.map((suite) => ({
    name: `R18 protected record of content type 24, suite ${suite.toString(16)}`,
    suites: [suite],
    conduct: afterwards(record(HEARTBEAT, Buffer.from("01ffff41", "hex"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  })),
  {
    name: "R18 Heartbleed: a heartbeat that claims 65,535 bytes",
    conduct: first(bytes("180303000301ffff")),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 an HTTP answer",
    conduct: first((s) => s.sendBytes(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 an SSH banner",
    conduct: first((s) => s.sendBytes(Buffer.from("SSH-2.0-OpenSSH_9.2p1\r\n"))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 handshake record of 0 bytes",
    conduct: first(record(HANDSHAKE, NOTHING)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R18 alert record of 0 bytes",
    conduct: first(record(ALERT, NOTHING)),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 alert record of 1 byte",
    conduct: first(record(ALERT, Buffer.from([2]))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 alert record of 3 bytes",
    conduct: first(record(ALERT, Buffer.alloc(3, 1))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 handshake message of 16,777,215 bytes",
    conduct: first(record(HANDSHAKE, Buffer.from("02ffffff0303", "hex"))),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R18 handshake message of 65,536 bytes",
    conduct: first(record(HANDSHAKE, Buffer.from("020100000303", "hex"))),
    outcome: { sends: DECODE_ERROR },
  },

  // split and joined
  {
    name: "R18 all handshake messages in one record",
    conduct: { joinMessages: true, identityHint: PING },
    outcome: "lives",
  },
  {
    name: "R18 handshake messages in records of 1 byte",
    conduct: { handshakeFragment: 1, identityHint: PING },
    outcome: "lives",
  },
  {
    name: "R18 handshake messages joined and cut every 7 bytes",
    conduct: { joinMessages: true, handshakeFragment: 7, identityHint: PING },
    outcome: "lives",
  },
  { name: "R18 TCP pieces of 1 byte", conduct: { pieces: 1 }, outcome: "lives" },

  // order
  {
    name: "R19 early ChangeCipherSpec instead of ServerHello",
    conduct: first("ChangeCipherSpec"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 early ChangeCipherSpec after ServerHello",
    conduct: beforeStep("ServerHelloDone", "ChangeCipherSpec"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 ChangeCipherSpec within a handshake message",
    conduct: beforeStep("ServerHelloDone", record(HANDSHAKE, Buffer.from("0e", "hex")), "ChangeCipherSpec"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  ...["", "00", "02", "0101"].map((hex) => ({
    name: `R19 ChangeCipherSpec with body ${hex || "empty"}`,
    conduct: body("ChangeCipherSpec", () => Buffer.from(hex, "hex")),
    outcome: { sends: UNEXPECTED_MESSAGE },
  })),
  {
    name: "R19 a second ChangeCipherSpec",
    conduct: afterwards(record(CHANGE_CIPHER_SPEC, Buffer.from([1]))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 Finished without ChangeCipherSpec",
    conduct: { steps: ["ServerHello", "ServerHelloDone", "ClientFinished", "Finished"] },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 application data before Finished",
    conduct: beforeStep("Finished", record(APPLICATION_DATA, PING)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 application data before ServerHello",
    conduct: first(record(APPLICATION_DATA, PING)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 Certificate",
    conduct: beforeStep("ServerHelloDone", "Certificate"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 CertificateRequest",
    conduct: beforeStep("ServerHelloDone", "CertificateRequest"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 NewSessionTicket that was not asked for",
    conduct: beforeStep("ChangeCipherSpec", "NewSessionTicket"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 ClientHello from the server",
    conduct: first((s) => s.sendMessage(s.seen.clientHelloBytes)),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 a message after ServerHelloDone in its record",
    conduct: { ...beforeStep("ClientFinished", "ServerHelloDone"), joinMessages: true },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 a message after Finished in its record",
    conduct: { ...afterwards("HelloRequest"), joinMessages: true },
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 ServerHello when the session stands",
    conduct: afterwards("ServerHello"),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  {
    name: "R19 ServerHelloDone with a body",
    conduct: body("ServerHelloDone", () => Buffer.from([0])),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R19 Finished of 11 bytes",
    conduct: body("Finished", (b) => b.subarray(0, 11)),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R19 Finished of 13 bytes",
    conduct: body("Finished", (b) => Buffer.concat([b, b.subarray(0, 1)])),
    outcome: { sends: DECODE_ERROR },
  },
  {
    name: "R19 Finished of 0 bytes",
    conduct: body("Finished", () => NOTHING),
    outcome: { sends: DECODE_ERROR },
  },
  ...[0, 5, 11].map((at) => ({
    name: `R19 wrong verify_data in byte ${at}`,
    conduct: body("Finished", (b) => flipped(b, at, 0x80)),
    outcome: { sends: DECRYPT_ERROR },
  })),

  // alerts and ends
  ...[
    UNEXPECTED_MESSAGE,
    BAD_RECORD_MAC,
    HANDSHAKE_FAILURE,
    ILLEGAL_PARAMETER,
    DECRYPT_ERROR,
    80,
    86,
    112,
    115,
    255,
  ].map((description) => ({
    name: `R16 fatal alert ${description} in the handshake`,
    conduct: first(alert(FATAL, description)),
    outcome: { receives: description },
  })),
  {
    name: "R16 fatal alert 80 when the session stands",
    conduct: afterwards(alert(FATAL, 80)),
    outcome: { receives: 80 },
  },
  ...[0, 3, 255].map((level) => ({
    name: `R16 alert of level ${level}`,
    conduct: first(alert(level, 80)),
    outcome: { sends: ILLEGAL_PARAMETER },
  })),
  {
    name: "R16 two alerts in one record",
    conduct: first(record(ALERT, Buffer.from([WARNING, 112, WARNING, 90]))),
    outcome: "lives",
  },
  {
    name: "R16 a warning and a fatal alert in one record",
    conduct: afterwards(record(ALERT, Buffer.from([WARNING, 90, FATAL, 80]))),
    outcome: { receives: 80 },
  },
  ...[
    {
      when: "before ServerHello",
      conduct: (...steps: Step[]) => ({ steps: [...steps, ...honestSteps(false)] }),
    },
    { when: "when the session stands", conduct: afterwards },
  ].flatMap(({ when, conduct }) => [
    {
      name: `R16 four warnings in a row ${when}`,
      conduct: conduct(...Array(4).fill(alert(WARNING, 112))),
      outcome: "lives" as const,
    },
    {
      name: `R16 five warnings in a row ${when}`,
      conduct: conduct(...Array(5).fill(alert(WARNING, 112))),
      outcome: { sends: UNEXPECTED_MESSAGE },
    },
  ]),
  {
    name: "R16 warnings with data between them",
    conduct: afterwards(
      ...Array(9)
        .fill([alert(WARNING, 112), record(APPLICATION_DATA, PING)])
        .flat(),
    ),
    outcome: "lives",
  },
  {
    name: "R18 32 empty records in a row",
    conduct: afterwards(...Array(32).fill(record(APPLICATION_DATA, NOTHING))),
    outcome: "lives",
  },
  {
    name: "R18 33 empty records in a row",
    conduct: afterwards(...Array(33).fill(record(APPLICATION_DATA, NOTHING))),
    outcome: { sends: UNEXPECTED_MESSAGE },
  },
  { name: "R16 warning alert in the handshake", conduct: first(alert(WARNING, 112)), outcome: "lives" },
  {
    name: "R16 warning alert when the session stands",
    conduct: afterwards(alert(WARNING, 90)),
    outcome: "lives",
  },
  {
    name: "R17 close_notify in the handshake",
    conduct: first(alert(WARNING, CLOSE_NOTIFY)),
    outcome: { receives: CLOSE_NOTIFY },
  },
  { name: "R17 end of TCP in the handshake", conduct: first((s) => s.end()), outcome: { code: TRUNCATED } },
  {
    name: "R17 end of TCP without close_notify",
    conduct: afterwards((s) => s.end()),
    outcome: { code: TRUNCATED },
  },
  {
    name: "R17 reset of TCP",
    conduct: { ...afterwards((s) => s.end()), reset: true },
    outcome: { code: TRUNCATED },
  },
  { name: "R17 end of TCP at once", conduct: { endAfter: 0 }, outcome: { code: TRUNCATED } },
  {
    name: "R29 a server that says nothing",
    conduct: { stallAfter: 0 },
    outcome: { code: TIMEOUT },
  },
];

// --- running the table ------------------------------------------------------------------------------------------

/** The device of a board, a profile and a policy; one for all cases, so that each must leave it as it was. */
function deviceOf(board: string, profile: string, lenient = false): Promise<TestDevice> {
  return sharedDevice(board, { profile, defines: lenient ? LENIENT : {} });
}

after(powerOffShared);

/** Run one case; returns what happened, for the assertions. */
async function meet(device: TestDevice, conduct: WireConduct, ping = false) {
  const server = await startScriptedServer(conduct);
  try {
    const socket = device.connect(server.port);
    if (conduct.stallAfter !== undefined) {
      await server.connection(0);
      await device.machine.later(HANDSHAKE_TIMEOUT_MS);
    }
    await socket.until(() => socket.connected || socket.closed);
    if (ping && socket.connected) {
      socket.write(PING);
      await socket.until(() => socket.received.includes(PING) || socket.closed);
      const alive = socket.received.includes(PING) && !socket.closed;
      socket.end();
      await server.connections[0].closed;
      return { alive, socket, seen: server.connections[0].session.seen, connection: server.connections[0] };
    }
    await socket.until(() => socket.closed);
    const connection: Connection | undefined = server.connections[0];
    await Promise.race([connection?.closed, delay(1000)]);
    return { alive: false, socket, seen: connection.session.seen, connection };
  } finally {
    await server.stop();
  }
}

async function assertHonestHandshake(device: TestDevice): Promise<void> {
  const { alive, socket } = await meet(device, { key }, true);
  assert.ok(alive, `no honest handshake after it: error ${socket.error}`);
}

/** The suites that a bundle offers. */
const RUNS = [
  ...SIMULATED_BOARDS.map((board) => ({
    board,
    profile: "main",
    offers: board === "mdbt42q-w5500-sim" ? [CCM_8, CCM] : SUITES,
  })),
  { board: "esp32-sim", profile: "gcm", offers: [GCM] },
];

for (const { board, profile, offers } of RUNS)
  for (const { name, suites, conduct, outcome, warnings = [], lenient } of CASES) {
    const before = warnings.map((description) => ({ level: WARNING, description }));
    const canDecrypt = offers.includes(CBC_SHA);
    if (suites && !suites.some((suite) => offers.includes(suite))) continue;
    const wanted = describe(outcome);
    test(`${name}: ${wanted} [${board}, ${profile}]`, async () => {
      const device = await deviceOf(board, profile, lenient);
      const { alive, socket, seen } = await meet(device, { key, suites, ...conduct }, outcome === "lives");
      if (outcome === "lives") {
        assert.ok(alive, `the session died of ${socket.error}`);
        assert.equal(socket.error, 0);
        assert.deepEqual(seen.alerts, [...before, { level: WARNING, description: CLOSE_NOTIFY }]);
      } else if ("sends" in outcome) {
        // a chip that cannot offer encrypt-then-MAC sees an extension that it did not ask for
        const unasked = !canDecrypt && name.startsWith("R6 encrypt-then-MAC granted");
        const sends = unasked ? UNSUPPORTED_EXTENSION : outcome.sends;
        assert.equal(socket.error, SENT + sends);
        assert.deepEqual(seen.alerts, [...before, { level: FATAL, description: sends }]);
      } else if ("receives" in outcome) {
        assert.equal(socket.error, RECEIVED + outcome.receives);
        // close_notify is answered (RFC 5246, 7.2.1), nothing else
        const answer = { level: WARNING, description: CLOSE_NOTIFY };
        assert.deepEqual(seen.alerts, outcome.receives === CLOSE_NOTIFY ? [answer] : []);
      } else assert.equal(socket.error, outcome.code);
      assert.ok(socket.errors <= 1, "one failure is one error");
      await assertHonestHandshake(device);
    });
  }

function describe(outcome: Outcome): string {
  if (outcome === "lives") return "the session lives";
  if ("sends" in outcome) return `alert ${outcome.sends}`;
  if ("receives" in outcome) return `error ${RECEIVED + outcome.receives}`;
  return `error ${outcome.code}`;
}

// --- what a device's own settings take, and what its own faults do ----------------------------------------------------

/** A board whose settings take a server without extended_master_secret. */
const bootWithoutEms = (board: string): Promise<TestDevice> =>
  TestDevice.boot(board, {
    machine: { files: { conf: JSON.stringify({ id: IDENTITY, ems: 0 }), key: KEY.toString("latin1") } },
  });

for (const board of SIMULATED_BOARDS)
  test(`R7 the setting ems of 0 takes a server without extended_master_secret, and not CBC without encrypt-then-MAC [${board}]`, async () => {
    const device = await bootWithoutEms(board);
    try {
      for (const suite of board === "mdbt42q-w5500-sim" ? [CCM_8, CCM] : SUITES) {
        const conduct = { key, suites: [suite], extendedMasterSecret: false };
        const { alive, socket } = await meet(device, conduct, true);
        assert.ok(alive, `suite ${suite.toString(16)}: error ${socket.error}`);
        if (suite === CCM_8 || suite === CCM) continue;
        const erlang = await meet(device, { ...conduct, encryptThenMac: false });
        assert.equal(erlang.socket.error, SENT + HANDSHAKE_FAILURE);
      }
      await assertHonestHandshake(device);
    } finally {
      device.powerOff();
    }
  });

test("TCP is closed when the alert cannot be protected: the AES unit fails in a session", async () => {
  const device = await TestDevice.boot("mdbt42q-w5500-sim");
  const server = await startScriptedServer({ key });
  const unit = (device.machine.runtime as unknown as { nrfEcb: { contended(): boolean } }).nrfEcb;
  try {
    await assertHonestHandshake(device);
    const held = device.heldCharacters;
    const socket = device.connect(server.port);
    assert.ok(await socket.until(() => socket.connected));
    unit.contended = () => true;
    const { session, closed } = server.connections[0];
    session.sendRecord(APPLICATION_DATA, PING);
    assert.ok(await socket.until(() => socket.closed));
    assert.equal(socket.error, AES_FAILED);
    assert.equal(await Promise.race([closed.then(() => "closed"), delay(5000)]), "closed");
    assert.ok(device.heldCharacters <= held, "keys are held");
  } finally {
    device.powerOff();
    await server.stop();
  }
});

test("an Error of our own code is INTERNAL_ERROR, with its place on the console, and the next session stands", async () => {
  const device = await TestDevice.boot("esp32-sim");
  try {
    device.machine.run(
      "var native = require('crypto'), sha = native.SHA256; native.SHA256 = function () { throw new Error('of our own'); }",
    );
    const { socket, seen } = await meet(device, { key });
    assert.equal(socket.error, SENT + INTERNAL_ERROR);
    assert.deepEqual(seen.alerts, [{ level: FATAL, description: INTERNAL_ERROR }]);
    assert.ok(
      device.lines.some((line) => /of our own/.test(line)),
      device.lines.join("\n"),
    );
    device.machine.run("native.SHA256 = sha");
    await assertHonestHandshake(device);
  } finally {
    device.powerOff();
  }
});

// --- the whole firmware: its line on the console, and its way back ---------------------------------------------------

const CONSOLE_CASES: { name: string; conduct: Partial<WireConduct>; code: number }[] = [
  {
    name: "another version",
    conduct: hello((h) => void (h.version = 0x0302)),
    code: SENT + PROTOCOL_VERSION,
  },
  {
    name: "a suite not offered",
    conduct: hello((h) => void (h.suite = 0x00a9)),
    code: SENT + ILLEGAL_PARAMETER,
  },
  {
    name: "no extended master secret",
    conduct: { extendedMasterSecret: false },
    code: SENT + HANDSHAKE_FAILURE,
  },
  { name: "an early ChangeCipherSpec", conduct: first("ChangeCipherSpec"), code: SENT + UNEXPECTED_MESSAGE },
  { name: "a wrong verify_data", conduct: body("Finished", (b) => flipped(b)), code: SENT + DECRYPT_ERROR },
  { name: "a bad record", conduct: spoiled({ mac: (m) => flipped(m) }), code: SENT + BAD_RECORD_MAC },
  {
    name: "a record too long",
    conduct: afterwards(record(APPLICATION_DATA, Buffer.alloc(600))),
    code: SENT + RECORD_OVERFLOW,
  },
  { name: "an unknown identity", conduct: { key: () => undefined }, code: RECEIVED + 115 },
  { name: "another key", conduct: { key: () => Buffer.alloc(16, 9) }, code: RECEIVED + BAD_RECORD_MAC },
  { name: "an end without close_notify", conduct: afterwards((s) => s.end()), code: TRUNCATED },
];

for (const board of SIMULATED_BOARDS)
  test(`the console of ${board} tells each failure as its number, and the device comes back each time`, async () => {
    const server = await startScriptedServer({ key });
    const device = await TestDevice.boot(board, {
      entry: "firmware/main.ts",
      defines: { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 1 },
      port: server.port,
    });
    try {
      for (const { name, conduct, code } of CONSOLE_CASES) {
        device.lines = [];
        server.conduct = { key, ...conduct };
        // what stands from the case before ends, and what comes next meets this one
        for (const { session } of server.connections) session.end();
        const line = `E${code}`;
        assert.ok(
          await device.until(() => device.lines.includes(line)),
          `${name}: no ${line} in ${device.lines}`,
        );
      }
      server.conduct = { key };
      const met = server.connections.length;
      const { session } = await server.connection(met);
      assert.ok(await device.until(() => session.seen.applicationData.length > 0 || !session.ended, 2000));
      for (let wait = 0; wait < 200 && !session.seen.applicationData.length; wait++) await delay(10);
      assert.equal(session.seen.applicationData[0], 0x10, "no MQTT CONNECT at last");
    } finally {
      device.powerOff();
      await server.stop();
    }
  });
