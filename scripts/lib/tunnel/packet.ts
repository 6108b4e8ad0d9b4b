// A packet of ESP (RFC 4303, 2) as the other end of a device makes and takes it, over node:crypto: AES-CCM (RFC 4309) or AES-128-CBC with
// HMAC-SHA-1-96 (RFC 3602, RFC 2404). Leaves out extended sequence numbers, as the devices do.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { openCcm, sealCcm } from "../keys/ccm";
import type { Association, Transform } from "../keys/esp_keys";

/** Next header (RFC 4303, 2.6): what is in the tunnel, or nothing at all. */
export const IPV4 = 4;
export const NO_NEXT_HEADER = 59;

/** Bytes of IV and ICV, and what a ciphertext is whole multiples of. */
const SHAPES: Readonly<Record<Transform, { iv: number; icv: number; alignment: number }>> = {
  ccm: { iv: 8, icv: 16, alignment: 4 },
  cbc: { iv: 16, icv: 12, alignment: 16 },
};
const HEAD = 8; // SPI and sequence number, bytes

/** Why a packet is none of a device's; its `message` is a clause. */
export class PacketFault extends Error {
  override name = "PacketFault";
}

/** The SPI and the sequence number that a packet says; undefined where it is too short to say any. */
export function headOf(packet: Buffer): { spi: number; sequence: number } | undefined {
  return packet.length < HEAD ? undefined : { spi: packet.readUInt32BE(0), sequence: packet.readUInt32BE(4) };
}

const headBytes = ({ spi }: Association, sequence: number) => {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(spi, 0);
  head.writeUInt32BE(sequence, 4);
  return head;
};

/** Protect a text that is padded already, under a sequence number that was never used; `iv` is drawn or counted where it is not given. */
export function protectPadded(sa: Association, sequence: number, text: Buffer, iv?: Buffer): Buffer {
  const head = headBytes(sa, sequence);
  if (sa.transform === "ccm") {
    const counted = iv ?? Buffer.concat([Buffer.alloc(4), head.subarray(4)]);
    const options = { additional: head, tagLength: SHAPES.ccm.icv };
    return Buffer.concat([
      head,
      counted,
      sealCcm(sa.key, Buffer.concat([sa.beside, counted]), text, options),
    ]);
  }
  const drawn = iv ?? randomBytes(SHAPES.cbc.iv);
  const cipher = createCipheriv("aes-128-cbc", sa.key, drawn).setAutoPadding(false);
  const covered = Buffer.concat([head, drawn, cipher.update(text), cipher.final()]);
  return Buffer.concat([covered, icvOf(sa, covered)]);
}

const icvOf = (sa: Association, covered: Buffer) =>
  createHmac("sha1", sa.beside).update(covered).digest().subarray(0, SHAPES.cbc.icv);

/** Put padding 1 2 3 ..., its length and the next header behind a payload (RFC 4303, 2.4). */
export function padded(transform: Transform, payload: Buffer, nextHeader = IPV4): Buffer {
  const { alignment } = SHAPES[transform];
  const length = (alignment - ((payload.length + 2) % alignment)) % alignment;
  const padding = Buffer.from(Array.from({ length }, (_, i) => i + 1));
  return Buffer.concat([payload, padding, Buffer.from([length, nextHeader])]);
}

/** Protect a payload under a sequence number that was never used. */
export function protect(sa: Association, sequence: number, payload: Buffer, nextHeader = IPV4): Buffer {
  return protectPadded(sa, sequence, padded(sa.transform, payload, nextHeader));
}

/** Open a packet whose head was looked at: its next header and payload. Throws PacketFault. */
export function unprotect(sa: Association, packet: Buffer): { nextHeader: number; payload: Buffer } {
  const { iv, icv, alignment } = SHAPES[sa.transform];
  const size = packet.length - HEAD - iv - icv;
  if (size < alignment || size % alignment) throw new PacketFault("has a length that no packet has");
  const head = packet.subarray(0, HEAD);
  const vector = packet.subarray(HEAD, HEAD + iv);
  let text: Buffer;
  if (sa.transform === "ccm") {
    const options = { additional: head, tagLength: icv };
    const nonce = Buffer.concat([sa.beside, vector]);
    const opened = openCcm(sa.key, nonce, packet.subarray(HEAD + iv), options);
    if (!opened) throw new PacketFault("has a wrong ICV");
    text = opened;
  } else {
    if (!timingSafeEqual(icvOf(sa, packet.subarray(0, -icv)), packet.subarray(-icv)))
      throw new PacketFault("has a wrong ICV");
    const cipher = createDecipheriv("aes-128-cbc", sa.key, vector).setAutoPadding(false);
    text = Buffer.concat([cipher.update(packet.subarray(HEAD + iv, -icv)), cipher.final()]);
  }
  const padding = text[size - 2];
  const end = size - 2 - padding;
  if (end < 0 || text.subarray(end, size - 2).some((byte, i) => byte !== i + 1))
    throw new PacketFault("has padding that is none");
  return { nextHeader: text[size - 1], payload: text.subarray(0, end) };
}
