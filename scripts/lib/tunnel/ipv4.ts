// What is in the tunnel: one UDP datagram (RFC 768) in one IPv4 packet (RFC 791), between a device and this end. Leaves out fragments, options
// and UDP's checksum, which may be none: the ICV covers what it would.
import { PacketFault } from "./packet";

/** This end's address, and the port of both. */
export const SERVER_ADDRESS = "172.16.0.1";
export const TUNNEL_PORT = 49_152;
/** Longest datagram that a device takes, bytes. */
export const DATAGRAM_LONGEST = 512;
const HEADERS = 28;

const addressBytes = (address: string) => Buffer.from(address.split(".").map(Number));

/** Add up the 16-bit words of an IPv4 header, ones' complement: 0xffff where its checksum is right. */
function sum(header: Buffer): number {
  let total = 0;
  for (let at = 0; at < 20; at += 2) total += header.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** Put a datagram from one address to another into a packet. */
export function packetOf(from: string, to: string, datagram: Buffer): Buffer {
  const packet = Buffer.alloc(HEADERS + datagram.length);
  packet.writeUInt32BE(0x45000000 + packet.length, 0);
  packet.writeUInt32BE(0x4000, 4); // no identification, for it is never cut (RFC 6864); don't fragment
  packet.writeUInt16BE(0x4011, 8); // time to live 64, UDP
  addressBytes(from).copy(packet, 12);
  addressBytes(to).copy(packet, 16);
  packet.writeUInt16BE(0xffff - sum(packet), 10);
  packet.writeUInt16BE(TUNNEL_PORT, 20);
  packet.writeUInt16BE(TUNNEL_PORT, 22);
  packet.writeUInt16BE(packet.length - 20, 24);
  datagram.copy(packet, HEADERS);
  return packet;
}

/** Take the datagram out of a packet of that device to this end. Throws PacketFault. */
export function datagramOf(packet: Buffer, from: string): Buffer {
  const fault = (what: string) => new PacketFault(`has ${what} in the tunnel`);
  if (packet.length < HEADERS || packet[0] !== 0x45) throw fault("no IPv4 packet of a device's");
  const length = packet.readUInt16BE(2);
  if (length < HEADERS || length > packet.length) throw fault("an IPv4 packet of a wrong length");
  if (packet.readUInt16BE(6) & 0x3fff || packet[9] !== 17) throw fault("no whole UDP datagram");
  if (sum(packet) !== 0xffff) throw fault("a wrong checksum");
  const addresses = Buffer.concat([addressBytes(from), addressBytes(SERVER_ADDRESS)]);
  if (!packet.subarray(12, 20).equals(addresses)) throw fault("other addresses");
  if (packet.readUInt16BE(20) !== TUNNEL_PORT || packet.readUInt16BE(22) !== TUNNEL_PORT)
    throw fault("another port");
  if (packet.readUInt16BE(24) !== length - 20) throw fault("a datagram of a wrong length");
  return packet.subarray(HEADERS, length);
}
