/*
 * A server of AKEP2 as EAP-PSK (RFC 4764) on 127.0.0.1 that can be told to misbehave at every step, for tests: its messages with their length
 * before them on TCP, then records of TLS 1.2 under CCM_8 with keys from the MSK. Honest where it is not told otherwise.
 */
import { randomBytes } from "node:crypto";
import { createServer, type Socket } from "node:net";
import type { WriteKeys } from "../tls12/key_schedule";
import { open, type Protection, seal } from "../tls12/record_protection";
import { suiteOf } from "../tls12/suites";
import { eax, keySetup, mac, sessionKeys } from "./eap_psk";

/** The suite whose records are spoken. */
const CCM_8 = 0xc0a8;
/** The result in message 3: R is DONE_SUCCESS. */
export const DONE_SUCCESS = 0x80;

export interface Conduct {
  key: Buffer;
  /** The server's own name. */
  name?: Buffer;
  /** Byte of the protected channel in message 3. */
  result?: number;
  /** More bytes behind it. */
  extension?: Buffer;
  /** Number of its nonce. */
  n?: number;
  /** Change message 1 or 3 (an EAP packet) before it goes out, with its length before it; gives what is written in its stead. */
  wire?(which: 1 | 3, packet: Buffer): Buffer[];
  /** Told of application data; where it is missing it is sent back. */
  onData?(data: Buffer): void;
}

export const framed = (packet: Buffer): Buffer =>
  Buffer.concat([Buffer.from([packet.length >> 8, packet.length]), packet]);

/** An EAP packet of the method: code, identifier, flags, and what follows. */
function eapPsk(code: number, identifier: number, flags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([code, identifier, 0, 6 + body.length, 47, flags]), body]);
}

const directions = (msk: Buffer): [WriteKeys, WriteKeys] => [
  { mac: Buffer.alloc(0), key: msk.subarray(0, 16), fixedIv: msk.subarray(32, 36) },
  { mac: Buffer.alloc(0), key: msk.subarray(16, 32), fixedIv: msk.subarray(36, 40) },
];

const nonceOf = (n: number) => Buffer.concat([Buffer.alloc(15), Buffer.from([n])]);

/** The records of a connection whose MSK is known. */
export class Records {
  readonly out: Protection;
  readonly in: Protection;
  private pending: Buffer = Buffer.alloc(0);
  constructor(msk: Buffer) {
    const [client, server] = directions(msk);
    const suite = suiteOf(CCM_8);
    this.in = { suite, keys: client, encryptThenMac: false, sequence: 0n };
    this.out = { suite, keys: server, encryptThenMac: false, sequence: 0n };
  }
  /** A whole record of `type`. */
  seal(type: number, text: Buffer): Buffer {
    const body = seal(this.out, type, text);
    return Buffer.concat([Buffer.from([type, 3, 3, body.length >> 8, body.length]), body]);
  }
  /** Open what has come whole. */
  receive(bytes: Buffer): { type: number; text: Buffer }[] {
    this.pending = Buffer.concat([this.pending, bytes]);
    const records = [];
    while (this.pending.length >= 5 && this.pending.length >= 5 + this.pending.readUInt16BE(3)) {
      const type = this.pending[0];
      const end = 5 + this.pending.readUInt16BE(3);
      records.push({ type, text: open(this.in, type, this.pending.subarray(5, end)) });
      this.pending = this.pending.subarray(end);
    }
    return records;
  }
}

/** One connection: what was seen, and the records once it stands. */
export class Session {
  /** Messages 2 and 4 that came, and what was wrong with one. */
  identity = "";
  error = "";
  stands = false;
  records?: Records;
  message1: Buffer = Buffer.alloc(0);
  message2: Buffer = Buffer.alloc(0);
  message3: Buffer = Buffer.alloc(0);
  message4: Buffer = Buffer.alloc(0);
  alerts: Buffer[] = [];
  readonly randS = randomBytes(16);
  private tek: Buffer = Buffer.alloc(0);
  private pending: Buffer = Buffer.alloc(0);

  constructor(
    readonly conduct: Conduct,
    readonly socket: Socket,
  ) {
    this.message1 = eapPsk(1, 7, 0, this.randS, this.name);
    this.write(1, this.message1);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      try {
        this.receive(bytes);
      } catch (fault) {
        // a record that does not open, of a device that has run out of memory
        this.error = `record: ${fault}`;
        socket.destroy();
      }
    });
  }
  private get name(): Buffer {
    return this.conduct.name ?? Buffer.from("gateway");
  }
  private write(which: 1 | 3, packet: Buffer): void {
    for (const bytes of this.conduct.wire?.(which, packet) ?? [framed(packet)]) this.socket.write(bytes);
  }
  private refuse(why: string): void {
    this.error = why;
    this.socket.end(framed(Buffer.from([4, 8, 0, 4])));
  }
  private receive(bytes: Buffer): void {
    this.pending = Buffer.concat([this.pending, bytes]);
    while (
      !this.stands &&
      this.pending.length >= 2 &&
      this.pending.length >= 2 + this.pending.readUInt16BE(0)
    ) {
      const end = 2 + this.pending.readUInt16BE(0);
      const packet = this.pending.subarray(2, end);
      this.pending = this.pending.subarray(end);
      if (!this.records) this.second(packet);
      else this.fourth(packet);
    }
    if (!this.stands || !this.records) return;
    const came = this.pending;
    this.pending = Buffer.alloc(0);
    for (const { type, text } of this.records.receive(came))
      if (type === 21) {
        this.alerts.push(text);
        this.socket.end();
      } else if (this.conduct.onData) this.conduct.onData(text);
      else this.socket.write(this.records.seal(23, text));
  }
  private second(packet: Buffer): void {
    this.message2 = Buffer.from(packet);
    const { ak, kdk } = keySetup(this.conduct.key);
    const randP = packet.subarray(22, 38);
    const identity = packet.subarray(54);
    this.identity = identity.toString();
    if (!packet.subarray(0, 6).equals(Buffer.from([2, 7, 0, packet.length, 47, 0x40])))
      return this.refuse("header of message 2");
    if (!packet.subarray(6, 22).equals(this.randS)) return this.refuse("RAND_S");
    if (!mac(ak, identity, this.name, this.randS, randP).equals(packet.subarray(38, 54)))
      return this.refuse("MAC_P");
    const { tek, msk } = sessionKeys(kdk, randP);
    this.tek = tek;
    this.records = new Records(msk);
    const { result = DONE_SUCCESS, extension = Buffer.alloc(0), n = 0 } = this.conduct;
    const text = Buffer.concat([Buffer.from([result]), extension]);
    const empty = eapPsk(
      1,
      8,
      0x80,
      this.randS,
      mac(ak, this.name, randP),
      nonceOf(n).subarray(12),
      Buffer.alloc(16),
      text,
    );
    const { tag, turned } = eax(tek, nonceOf(n), empty.subarray(0, 22), text);
    this.message3 = Buffer.concat([empty.subarray(0, 42), tag, turned]);
    this.write(3, this.message3);
  }
  private fourth(packet: Buffer): void {
    this.message4 = Buffer.from(packet);
    const header = Buffer.concat([
      Buffer.from([2, 8, 0, 43, 47, 0xc0]),
      this.randS,
      Buffer.from([0, 0, 0, 1]),
    ]);
    if (!packet.subarray(0, 26).equals(header)) return this.refuse("header of message 4");
    const { tag, turned } = eax(this.tek, nonceOf(1), packet.subarray(0, 22), packet.subarray(42), true);
    if (!tag.equals(packet.subarray(26, 42))) return this.refuse("tag of message 4");
    if (!turned.equals(Buffer.from([DONE_SUCCESS]))) return this.refuse("result in message 4");
    this.stands = true;
  }
}

export interface Akep2Server {
  port: number;
  /** What the connections to come will meet. */
  conduct: Conduct;
  sessions: Session[];
  stop(): Promise<void>;
}

/** Start a server on a free port of 127.0.0.1. */
export async function startAkep2Server(conduct: Conduct): Promise<Akep2Server> {
  const sessions: Session[] = [];
  const server = createServer({ noDelay: true }, (socket) =>
    sessions.push(new Session(started.conduct, socket)),
  );
  const started: Akep2Server = {
    port: 0,
    conduct,
    sessions,
    async stop() {
      for (const { socket } of sessions) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  started.port = (server.address() as { port: number }).port;
  return started;
}
