// ESP in TCP (RFC 9329, 3 and 4), the side that is connected to: "IKETCP" begins the stream, then packets, each with its length before it in two bytes
// that count. Bounded: a longer packet is refused by its length. Leaves out IKE, whose messages begin with four zeros, as no SPI of ours does.
import { PacketFault } from "./packet";

export const STREAM_PREFIX = Buffer.from("IKETCP");
/** Longest packet that is taken, its length with it, bytes: a datagram of 512 takes less than half. */
export const PACKET_LONGEST = 2_048;

/** Put a packet into the stream. */
export function framed(packet: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(packet.length + 2);
  return Buffer.concat([length, packet]);
}

/** What a stream brings, packet by packet. */
export class StreamReader {
  private input: Buffer = Buffer.alloc(0);
  private isOpen = false;

  /** Take bytes; gives the packets that are whole. Throws PacketFault where it is no such stream. */
  *take(bytes: Buffer): Generator<Buffer> {
    this.input = this.input.length ? Buffer.concat([this.input, bytes]) : bytes;
    if (!this.isOpen) {
      const seen = Math.min(this.input.length, STREAM_PREFIX.length);
      if (!this.input.subarray(0, seen).equals(STREAM_PREFIX.subarray(0, seen)))
        throw new PacketFault("does not begin with IKETCP");
      if (this.input.length < STREAM_PREFIX.length) return;
      this.isOpen = true;
      this.input = this.input.subarray(STREAM_PREFIX.length);
    }
    while (this.input.length >= 2) {
      const length = this.input.readUInt16BE(0);
      if (length < 3 || length > PACKET_LONGEST) throw new PacketFault("has a length that no packet has");
      if (this.input.length < length) return;
      const packet = this.input.subarray(2, length);
      this.input = this.input.subarray(length);
      yield packet;
    }
  }
}
