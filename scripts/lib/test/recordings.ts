/*
 * What an eavesdropper has, for tests: sessions of TLS 1.2 with a pre-shared key as they passed on the wire, and, with a key that is found
 * later, what is in them. Suites of AEAD kind with extended master secret, as this firmware speaks them; no record is asked for anything else.
 */
import { type Relay, startRelay } from "./relay";
import { extendedMasterSecret, prf, sha256, type WriteKeys, writeKeys } from "./tls12/key_schedule";
import { ContentType, HandshakeType } from "./tls12/messages";
import { open, type Protection } from "./tls12/record_protection";
import { type Suite, suiteOf } from "./tls12/suites";

/** One connection, each direction's bytes. */
export interface Recording {
  "to server": Buffer;
  "to client": Buffer;
}

/** Put a recorder before a port of 127.0.0.1; one connection at a time. */
export async function startRecorder(serverPort: number): Promise<Relay & { recordings: Recording[] }> {
  const recordings: Recording[] = [];
  const relay = await startRelay(serverPort, (direction, bytes, offset) => {
    if (direction === "to server" && offset === 0)
      recordings.push({ "to server": Buffer.alloc(0), "to client": Buffer.alloc(0) });
    const recording = recordings[recordings.length - 1];
    recording[direction] = Buffer.concat([recording[direction], bytes]);
    return bytes;
  });
  return { ...relay, recordings };
}

/** The records of one direction. */
function recordsOf(bytes: Buffer): { type: number; body: Buffer }[] {
  const records: { type: number; body: Buffer }[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    if (end > bytes.length) break;
    records.push({ type: bytes[at], body: bytes.subarray(at + 5, end) });
    at = end;
  }
  return records;
}

/** What stands in clear in one direction, and what is protected behind its ChangeCipherSpec. */
function partsOf(bytes: Buffer) {
  const records = recordsOf(bytes);
  const end = records.findIndex(({ type }) => type === ContentType.CHANGE_CIPHER_SPEC);
  const clear = Buffer.concat(records.slice(0, Math.max(0, end)).map(({ body }) => body));
  const messages: Buffer[] = [];
  for (let at = 0; at + 4 <= clear.length; at += messages[messages.length - 1].length)
    messages.push(clear.subarray(at, at + 4 + clear.readUIntBE(at + 1, 3)));
  return { messages, secured: end < 0 ? [] : records.slice(end + 1) };
}

/** A recorded handshake, read. */
export interface Session {
  identity: string;
  suite: Suite;
  clientRandom: Buffer;
  serverRandom: Buffer;
  /** Hash of the messages up to the ClientKeyExchange. */
  hash: Buffer;
  client: ReturnType<typeof recordsOf>;
  server: ReturnType<typeof recordsOf>;
}

/** Read a recording; undefined: its handshake did not come to its end. */
export function sessionOf(recording: Recording): Session | undefined {
  const client = partsOf(recording["to server"]);
  const server = partsOf(recording["to client"]);
  const hello = server.messages.find(([type]) => type === HandshakeType.SERVER_HELLO);
  const exchange = client.messages.find(([type]) => type === HandshakeType.CLIENT_KEY_EXCHANGE);
  if (!hello || !exchange || server.secured.length === 0) return undefined;
  const [clientHello] = client.messages;
  return {
    identity: exchange.subarray(6).toString("latin1"),
    suite: suiteOf(hello.readUInt16BE(39 + hello[38])),
    clientRandom: clientHello.subarray(6, 38),
    serverRandom: hello.subarray(6, 38),
    hash: sha256(clientHello, ...server.messages, exchange),
    client: client.secured,
    server: server.secured,
  };
}

/** Every secret that opens a session or a part of it, by name: the key, those made of it, and how a hash takes them in. */
export function secretsOf(session: Session, key: Buffer): Map<string, Buffer> {
  const master = extendedMasterSecret(key, session.hash);
  const keys = writeKeys(session.suite, master, session.clientRandom, session.serverRandom);
  const padded = (bytes: Buffer, pad: number) => Buffer.from(bytes.map((byte) => byte ^ pad));
  const masks = [
    ["key", key],
    ["master secret", master],
  ] as const;
  return new Map([
    ...masks,
    ...masks.map(([name, bytes]) => [`${name}, inner pad`, padded(bytes, 0x36)] as const),
    ...masks.map(([name, bytes]) => [`${name}, outer pad`, padded(bytes, 0x5c)] as const),
    ["client's write key", keys.client.key],
    ["server's write key", keys.server.key],
    [
      "key block",
      prf(master, "key expansion", Buffer.concat([session.serverRandom, session.clientRandom]), 40),
    ],
  ]);
}

/** Open a session with a pre-shared key: all data that the client sent; undefined: it is not the key. */
export function openSession(session: Session, key: Buffer): string | undefined {
  const { client } = writeKeys(
    session.suite,
    extendedMasterSecret(key, session.hash),
    session.clientRandom,
    session.serverRandom,
  );
  return openRecords(session.suite, client, session.client);
}

function openRecords(
  suite: Suite,
  keys: WriteKeys,
  records: ReturnType<typeof recordsOf>,
): string | undefined {
  const protection: Protection = { suite, keys, encryptThenMac: true, sequence: 0n };
  let data = "";
  try {
    for (const { type, body } of records) {
      const fragment = open(protection, type, body);
      if (type === ContentType.APPLICATION_DATA) data += fragment.toString("latin1");
    }
  } catch {
    return undefined;
  }
  return data;
}
