// What is in the tunnel: one UDP datagram (RFC 768) in one IPv4 packet (RFC 791), as sections. The device is 10. and the last three bytes of
// the SPI that it sends under, the other end 172.16.0.1; both have the port 49152. These are the selectors of both associations (RFC
// 4301, 4.4.2). Leaves out fragments, options, and the checksum of UDP, which may be none: the ICV covers what it would.
import { type Bytes, uint16 } from "../bytes";
import { ESP_FORM } from "../tls/alert";
import { keys } from "./keys";

/** The other end's address, and the beginning of ours. */
const SERVER = "\xac\x10\0\x01";
const DEVICE = "\x0a";
const PORTS = "\xc0\0\xc0\0";

/** Add up the 16-bit words of a header of 20 bytes, ones' complement (RFC 791, 3.1): 0xffff where its checksum is right. */
export function sum(header: Bytes): number {
  let total = 0;
  for (let i = 0; i < 20; i += 2) total += uint16(header, i);
  total = (total & 0xffff) + (total >> 16);
  return (total & 0xffff) + (total >> 16);
}

/** Build both headers of a packet of `length` bytes to the other end: 28 bytes. */
export function headers(length: number): Bytes {
  /* version and header length, type of service, length (2), identification (2): none, for it is never cut (RFC 6864); don't fragment (2); time to live;
   UDP is 17; checksum (2); from (4); to (4) */
  const head = E.toString(0x45, 0, length >> 8, length, 0, 0, 0x40, 0, 64, 17);
  const addresses = E.toString(DEVICE, keys.substr(1, 3), SERVER);
  const checksum = ~section(import("./ipv4")).sum(E.toString(head, 0, 0, addresses));
  return E.toString(head, checksum >> 8, checksum, addresses, PORTS, (length - 20) >> 8, length - 20, 0, 0);
}

/** Take the datagram out of a packet from the other end; what is behind it hides its length (RFC 4303, 2.7). Throws ESP_FORM. */
export function datagram(packet: Bytes): Bytes {
  const length = uint16(packet, 2);
  if (
    packet.length < 28 ||
    packet.charCodeAt(0) !== 0x45 ||
    length < 28 ||
    length > packet.length ||
    // more of it, or a place behind the first
    uint16(packet, 6) & 0x3fff ||
    packet.charCodeAt(9) !== 17 ||
    section(import("./ipv4")).sum(packet) !== 0xffff ||
    packet.substr(12, 8) !== E.toString(SERVER, DEVICE, keys.substr(1, 3)) ||
    packet.substr(20, 4) !== PORTS ||
    uint16(packet, 24) !== length - 20
  )
    throw ESP_FORM;
  return packet.substr(28, length - 28);
}
