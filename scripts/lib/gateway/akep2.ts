// The server's end of AKEP2 (firmware/README.md 12): EAP-PSK (RFC 4764) in four messages, their length before each, on a TCP socket,
// and behind them records of TLS 1.2 under CCM_8. A stream of plaintext, as Node's TLSSocket is one.
// What is wrong in the handshake, whoever knocks, ends it with an EAP-Failure; in a record, with the alert bad_record_mac.
// Leaves out: extensions, EAP's exchange of identities and its Success.
import { createCipheriv, randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { type CcmOptions, openCcm, sealCcm } from "../keys/ccm";
import { aesKey } from "../keys/kdf";
import type { FirstMessage } from "./admission";

/** Codes of EAP packets (RFC 3748, 4), and the method's type. */
const REQUEST = 1;
const RESPONSE = 2;
const FAILURE = 4;
const EAP_PSK = 47;
/** Flags: the message's number from 0, in the upper two bits. */
const [FLAGS_1, FLAGS_2, FLAGS_3, FLAGS_4] = [0, 0x40, 0x80, 0xc0];
/** EAP's header, type and flags; with RAND_S it is what EAX authenticates. */
const HEAD = 6;
const AUTHENTICATED = HEAD + 16;
/** Message 2 without the identity; the longest identity. Lengths in bytes. */
const MESSAGE_2 = AUTHENTICATED + 16 + 16;
const IDENTITY_LIMIT = 64;
const MESSAGE_4 = AUTHENTICATED + 4 + 16 + 1;
/** In the protected channel: R is DONE_SUCCESS (RFC 4764, 5.3). */
const DONE_SUCCESS = 0x80;
/** Of message 1; that of message 3 is one more. */
const IDENTIFIER = 1;
/** Our name, ID_S. */
const NAME = Buffer.from("gateway");

/** Records (RFC 5246, 6.2; RFC 6655): header, explicit nonce, tag; the longest plaintext that devices take. */
const RECORD_HEADER = 5;
const EXPLICIT = 8;
const TAG = 8;
const FRAGMENT_LIMIT = 512;
const ALERT = 21;
const APPLICATION_DATA = 23;
const CLOSE_NOTIFY = Buffer.from([1, 0]);
const BAD_RECORD_MAC = Buffer.from([2, 20]);
/** Records without a byte that may come one after the other: they cost us and not who sends them. */
const EMPTY_RECORDS = 32;
/** Longest that who is told a last thing may take to read it, milliseconds. */
const LAST_MS = 1_000;

/** What admission waits for: a whole message 2. */
export const MESSAGE_2_FIRST: FirstMessage = {
  name: "second message of AKEP2",
  look(bytes) {
    const length = bytes.length < 2 ? MESSAGE_2 + 1 : bytes.readUInt16BE(0);
    if (length <= MESSAGE_2 || length > MESSAGE_2 + IDENTITY_LIMIT || (bytes[2] ?? RESPONSE) !== RESPONSE)
      return "wrong";
    return bytes.length < 2 + length ? "more" : "whole";
  },
};

function framed(packet: Buffer): Buffer {
  return Buffer.concat([Buffer.from([packet.length >> 8, packet.length]), packet]);
}

/** An EAP packet of the method. */
function eapPsk(code: number, identifier: number, flags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([code, identifier, 0, HEAD + body.length, EAP_PSK, flags]), body]);
}

function numbered(number: number): Buffer {
  const block = Buffer.alloc(16);
  block[15] = number;
  return block;
}

/** Key setup (3.1) and MACs (3.2): AES's encryption of `block` with a number added to its last byte. */
function mixed(key: Buffer, block: Buffer, number: number): Buffer {
  const changed = Buffer.from(block);
  changed[15] ^= number;
  return aesKey(key).cbc(changed);
}

/** EAX under the TEK: the tag (16 bytes), and the text turned. `sealed`: the text is what was sealed. */
function eax(key: Buffer, number: number, header: Buffer, text: Buffer, sealed: boolean) {
  const mac = (which: number, data: Buffer) => aesKey(key).cmac(Buffer.concat([numbered(which), data]));
  const start = mac(0, numbered(number));
  const turned = createCipheriv("aes-128-ctr", key, start).update(text);
  const [over, body] = [mac(1, header), mac(2, sealed ? text : turned)];
  return { tag: start.map((byte, i) => byte ^ over[i] ^ body[i]), turned };
}

/** One way of the records: their key, salt and next number. */
class Direction {
  private sequence = 0n;
  constructor(
    private readonly key: Buffer,
    private readonly salt: Buffer,
  ) {}

  seal(type: number, text: Buffer): Buffer {
    const explicit = Buffer.alloc(EXPLICIT);
    explicit.writeBigUInt64BE(this.sequence);
    const sealed = sealCcm(
      this.key,
      Buffer.concat([this.salt, explicit]),
      text,
      this.options(type, text.length),
    );
    const length = EXPLICIT + sealed.length;
    return Buffer.concat([Buffer.from([type, 3, 3, length >> 8, length]), explicit, sealed]);
  }

  /** Open the body of a record; undefined where its tag is wrong. */
  open(type: number, body: Buffer): Buffer | undefined {
    const nonce = Buffer.concat([this.salt, body.subarray(0, EXPLICIT)]);
    const sealed = body.subarray(EXPLICIT);
    return openCcm(this.key, nonce, sealed, this.options(type, sealed.length - TAG));
  }

  private options(type: number, length: number): CcmOptions {
    const additional = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, type, 3, 3, length >> 8, length]);
    additional.writeBigUInt64BE(this.sequence++);
    return { additional, tagLength: TAG };
  }
}

/** What the handshake comes to. */
export interface Akep2Events {
  /** The key of who says to be this. It is asked once, whoever it is. */
  keyOf(identity: string): Buffer;
  /** Both have proved that they have the key. */
  onSecured(): void;
  onRefused(reason: string): void;
}

export class Akep2Socket extends Duplex {
  private pending: Buffer = Buffer.alloc(0);
  private readonly randS = randomBytes(16);
  private tek: Buffer | undefined;
  private out: Direction | undefined;
  private in: Direction | undefined;
  private stands = false;
  private empty = 0;
  /** Nothing more is taken. */
  private isOver = false;
  private events: Akep2Events | undefined;

  /** Begin with message 1; whatever else comes is for `begin`. */
  constructor(private readonly tcp: Socket) {
    super({ allowHalfOpen: false });
    tcp.write(framed(eapPsk(REQUEST, IDENTIFIER, FLAGS_1, this.randS, NAME)));
    tcp.once("close", () => this.destroy());
  }

  /** Message 2 is there: go on. */
  begin(events: Akep2Events): void {
    this.events = events;
    this.tcp.on("data", (chunk: Buffer) => this.feed(chunk)).resume();
  }

  private feed(chunk: Buffer): void {
    if (this.isOver) return;
    this.pending = this.pending.length ? Buffer.concat([this.pending, chunk]) : chunk;
    while (!this.isOver && (this.stands ? this.record() : this.message()));
  }

  // ------------------------------------------------------------------------------------------- the handshake

  /** Take a message of the handshake; false: it is not whole yet. */
  private message(): boolean {
    const { pending } = this;
    if (pending.length < 2) return false;
    const length = pending.readUInt16BE(0);
    if (length > MESSAGE_2 + IDENTITY_LIMIT) this.refuse("a message of AKEP2 is too long");
    else if (pending.length < 2 + length) return false;
    else {
      this.pending = pending.subarray(2 + length);
      const packet = pending.subarray(2, 2 + length);
      if (this.tek) this.fourth(this.tek, packet);
      else this.second(packet);
    }
    return true;
  }

  private head(identifier: number, length: number, flags: number): Buffer {
    return Buffer.concat([Buffer.from([RESPONSE, identifier, 0, length, EAP_PSK, flags]), this.randS]);
  }

  private second(packet: Buffer): void {
    const [randP, macP, identity] = [
      packet.subarray(AUTHENTICATED, AUTHENTICATED + 16),
      packet.subarray(AUTHENTICATED + 16, MESSAGE_2),
      packet.subarray(MESSAGE_2),
    ];
    if (!packet.subarray(0, AUTHENTICATED).equals(this.head(IDENTIFIER, packet.length, FLAGS_2)))
      return this.refuse("message 2 of AKEP2 is none");
    const key = this.events?.keyOf(identity.toString("latin1")) as Buffer;
    const block = aesKey(key).cbc(Buffer.alloc(16));
    const ak = aesKey(mixed(key, block, 1));
    const wanted = ak.cmac(Buffer.concat([identity, NAME, this.randS, randP]));
    if (!timingSafeEqual(wanted, macP)) return this.refuse("an AKEP2 identity or key that is not let in");
    const kdk = mixed(key, block, 2);
    const counter = aesKey(kdk).cbc(randP);
    const [tek, ...msk] = [1, 2, 3, 4].map((number) => mixed(kdk, counter, number));
    const keys = Buffer.concat(msk);
    this.in = new Direction(keys.subarray(0, 16), keys.subarray(32, 36));
    this.out = new Direction(keys.subarray(16, 32), keys.subarray(36, 40));
    this.tek = tek;
    const result = Buffer.from([DONE_SUCCESS]);
    const parts = [this.randS, ak.cmac(Buffer.concat([NAME, randP])), Buffer.alloc(4)];
    const empty = eapPsk(REQUEST, IDENTIFIER + 1, FLAGS_3, ...parts, Buffer.alloc(16), result);
    const { tag, turned } = eax(tek, 0, empty.subarray(0, AUTHENTICATED), result, false);
    this.tcp.write(framed(Buffer.concat([empty.subarray(0, AUTHENTICATED + 20), tag, turned])));
  }

  private fourth(tek: Buffer, packet: Buffer): void {
    const head = Buffer.concat([this.head(IDENTIFIER + 1, MESSAGE_4, FLAGS_4), numbered(1).subarray(12)]);
    if (packet.length !== MESSAGE_4 || !packet.subarray(0, head.length).equals(head))
      return this.refuse("message 4 of AKEP2 is none");
    const tagged = packet.subarray(head.length);
    const { tag, turned } = eax(tek, 1, head.subarray(0, AUTHENTICATED), tagged.subarray(16), true);
    if (!timingSafeEqual(tag, tagged.subarray(0, 16)) || turned[0] !== DONE_SUCCESS)
      return this.refuse("message 4 of AKEP2 is altered");
    this.stands = true;
    this.events?.onSecured();
  }

  private refuse(reason: string): void {
    this.sayLast(framed(Buffer.from([FAILURE, IDENTIFIER, 0, 4])));
    this.events?.onRefused(reason);
  }

  /** Say a last thing, and hear nothing more. */
  private sayLast(last: Buffer): void {
    this.isOver = true;
    this.pending = Buffer.alloc(0);
    this.tcp.resume().write(last, () => this.destroy());
    setTimeout(() => this.destroy(), LAST_MS).unref();
  }

  // --------------------------------------------------------------------------------------------- the records

  /** Take a record; false: it is not whole yet. */
  private record(): boolean {
    const { pending } = this;
    if (pending.length < RECORD_HEADER) return false;
    const [type] = pending;
    const end = RECORD_HEADER + pending.readUInt16BE(3);
    const text = end - RECORD_HEADER - EXPLICIT - TAG;
    if ((type !== ALERT && type !== APPLICATION_DATA) || text < 0 || text > FRAGMENT_LIMIT) {
      this.fail();
      return true;
    }
    if (pending.length < end) return false;
    this.pending = pending.subarray(end);
    const opened = this.in?.open(type, pending.subarray(RECORD_HEADER, end));
    if (opened) this.opened(type, opened);
    else this.fail();
    return true;
  }

  private opened(type: number, text: Buffer): void {
    if (type === APPLICATION_DATA) {
      this.empty = text.length ? 0 : this.empty + 1;
      if (this.empty > EMPTY_RECORDS) this.fail();
      if (text.length && !this.push(text)) this.tcp.pause();
    } else if (text.equals(CLOSE_NOTIFY)) {
      this.isOver = true;
      this.tcp.resume(); // what comes behind it is dropped
      this.push(null);
    } else this.destroy(); // any other alert is the end
  }

  private fail(): void {
    this.sayLast((this.out as Direction).seal(ALERT, BAD_RECORD_MAC));
  }

  override _read(): void {
    this.tcp.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    const records = [];
    for (let at = 0; at < chunk.length; at += FRAGMENT_LIMIT)
      records.push((this.out as Direction).seal(APPLICATION_DATA, chunk.subarray(at, at + FRAGMENT_LIMIT)));
    this.tcp.write(Buffer.concat(records), () => callback());
  }

  override _final(callback: () => void): void {
    if (this.out) this.tcp.write(this.out.seal(ALERT, CLOSE_NOTIFY));
    this.tcp.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.tcp.destroy();
    callback(error);
  }
}
