// A device's bytes into whole MQTT packets (MQTT 3.1.1, 2.2), before anything is made of them: the length is looked at first,
// and one that is too long ends the connection without being collected.
// Fixed header: type and flags (1 byte), remaining length (1 to 4 bytes of 7 bits, least first).
import mqtt, { type Packet } from "mqtt-packet";

/** What a device says cannot be MQTT, or not ours: the connection ends. */
export class PacketFault extends Error {}

const NOTHING = Buffer.alloc(0);

/** Keeps what has come as the bytes that it is: two of them may be a packet, of which each would be an object. */
export class PacketReader {
  private bytes: Buffer = NOTHING;

  constructor(private readonly longest: number) {}

  /** What has come and was not taken, in bytes. */
  get length(): number {
    return this.bytes.length;
  }

  /** Add what has come. The chunk is kept and not changed. */
  feed(chunk: Buffer): void {
    this.bytes = this.bytes.length ? Buffer.concat([this.bytes, chunk]) : chunk;
  }

  /** The first packet where it is whole; it stays. Throws PacketFault. */
  first(): Buffer | undefined {
    const length = this.wholeLength();
    if (length !== undefined && length <= this.bytes.length) return this.bytes.subarray(0, length);
    if (this.bytes.length < this.bytes.buffer.byteLength) this.bytes = Buffer.from(this.bytes); // the chunk may be much longer
    return undefined;
  }

  /** Take the first packet away. */
  drop(packet: Buffer): void {
    this.bytes = this.bytes.subarray(packet.length);
  }

  clear(): void {
    this.bytes = NOTHING;
  }

  /** The whole packet's length by its fixed header; undefined while that is not whole. Throws PacketFault. */
  private wholeLength(): number | undefined {
    const { bytes } = this;
    let length = 0;
    for (let at = 1; at <= 4; at++) {
      if (at >= bytes.length) return undefined;
      length += (bytes[at] & 0x7f) * 128 ** (at - 1);
      if (length > this.longest) throw new PacketFault("a packet longer than a device may send");
      if (bytes[at] < 0x80) return 1 + at + length;
    }
    throw new PacketFault("a packet's length does not end");
  }
}

let parser = newParser();
let parsed: Packet | undefined;
let fault: Error | undefined;

function newParser() {
  const fresh = mqtt.parser({ protocolVersion: 4 });
  fresh.on("packet", (packet: Packet) => {
    parsed = packet;
  });
  fresh.on("error", (error: Error) => {
    fault = error;
  });
  return fresh;
}

/** Write a packet. Throws PacketFault for one that has what MQTT forbids, such as a SUBSCRIBE without a filter. */
export function encodePacket(packet: Packet): Buffer {
  try {
    return mqtt.generate(packet);
  } catch (error) {
    throw new PacketFault((error as Error).message);
  }
}

/** Parse one whole packet of MQTT 3.1.1. Throws PacketFault. */
export function parsePacket(bytes: Buffer): Packet {
  parsed = fault = undefined;
  let left = 1;
  try {
    left = parser.parse(bytes);
  } catch (error) {
    fault = error as Error;
  }
  if (parsed && !fault && left === 0) return parsed;
  parser = newParser(); // what it makes of the next packet must not depend on this one
  throw new PacketFault(fault?.message ?? "a packet that MQTT does not know");
}
