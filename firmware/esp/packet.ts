// A packet of ESP (RFC 4303, 2) in tunnel mode, as sections: one protects, one unprotects. What they do is ordered so that a text is on the
// heap once, or twice while natives turn it.
//
//   SPI (4), sequence number (4), IV, encrypted: IPv4 packet, padding 1 2 3 ..., length of the padding (1), next header (1); ICV
//
// Under AES-CCM (RFC 4309) the IV is the sequence number in 8 bytes, the ICV has 16. Under AES-128-CBC (RFC 3602) the IV is 16 random bytes, and
// the ICV the first 12 of HMAC-SHA-1 over all that stands before it (RFC 2404). Leaves out extended sequence numbers.
import { CBC_DECRYPT, CBC_ENCRYPT, type Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import { ESP_CCM } from "../profile";
import { ESP_FORM, ESP_ICV, ESP_SPI } from "../tls/alert";
import { AT_KEYS, AT_SPI_IN, keys, SA_KEYS } from "./keys";

/** Next header (RFC 4303, 2.6): what is in the tunnel, or nothing at all. */
const IPV4 = 4;
const NO_NEXT_HEADER = 59;
/** Bytes before the ciphertext, those of the ICV, and what the ciphertext is whole multiples of. */
const FRONT = ESP_CCM ? 16 : 24;
const ICV_BYTES = ESP_CCM ? 16 : 12;
const ALIGNMENT = ESP_CCM ? 4 : 16;
/** The longest that we pad with. */
const PADDING = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

/**
 * Build what crypto/ccm.ts takes beside a text: the key at `at` of keys.ts, B0 (RFC 4309, 4: salt and IV are the nonce) and the block of the
 * associated data. `front`: SPI, number and IV, 16 bytes; `size`: bytes of the text.
 */
export function context(at: number, front: Bytes, size: number): Bytes {
  return E.toString(
    keys.substr(at, 16),
    59 + 4 * ICV_BYTES,
    keys.substr(at + 16, 3),
    front.substr(8),
    0,
    0,
    size >> 8,
    size,
    0,
    8,
    front.substr(0, 8),
    { data: 0, count: 6 },
  );
}

/** Compute the ICV of HMAC-SHA-1-96 over `covered` under the key at `at`. */
export function icv(at: number, covered: Joinable): Bytes {
  return section(import("../crypto/hmac"))
    .hmac(20, section(import("../crypto/hmac")).hmacKey(20, keys.substr(at + 16, 20)), covered)
    .substr(0, ICV_BYTES);
}

/** Write the packet number `n` that carries the datagram `text` to `transport`. */
export function protect(transport: Socket, n: number, text: Bytes): void {
  let front = E.toString(keys.substr(0, 4), n >> 24, n >> 16, n >> 8, n);
  let size = text.length + 28;
  const padding = -(size + 2) & (ALIGNMENT - 1);
  text = E.toString(section(import("./ipv4")).headers(size), text, PADDING.substr(0, padding), padding, IPV4);
  size = text.length;
  let tag: Bytes;
  if (ESP_CCM) {
    front = E.toString(front, "\0\0\0\0", front.substr(4));
    const how = section(import("./packet")).context(AT_KEYS, front, size);
    // the first block's counter is the tag's
    text = E.toString(section(import("../crypto/ccm")).ccmMac(how, text), text, {
      data: 0,
      count: -size & 15,
    });
    text = section(import("../crypto/ctr")).ctrTurn(how, text);
    tag = text.substr(0, ICV_BYTES);
    text = text.substr(16, size);
  } else {
    text = E.toString(section(import("../crypto/ctr_drbg")).random(16), text);
    text = section(import("../crypto/cbc")).cbcTurn(CBC_ENCRYPT, keys.substr(AT_KEYS, 16), text);
    tag = section(import("./packet")).icv(AT_KEYS, [front, text]);
  }
  const length = 2 + FRONT + size + ICV_BYTES;
  transport.write(E.toString(length >> 8, length, front));
  transport.write(text);
  transport.write(tag);
}

/**
 * Return the datagram in a packet, "" where it holds none (RFC 4303, 2.6). Nothing is decrypted before SPI and number fit, nothing of it
 * counts before its ICV does (3.4.3). Throws ESP_SPI, ESP_REPLAY, ESP_ICV, or ESP_FORM where it is not laid out as ours are.
 */
export function unprotect(packet: Bytes): Bytes {
  const at = AT_KEYS + SA_KEYS;
  const size = packet.length - FRONT - ICV_BYTES;
  if (packet.substr(0, 4) !== keys.substr(AT_SPI_IN, 4)) throw ESP_SPI;
  if (size < ALIGNMENT || size & (ALIGNMENT - 1)) throw ESP_FORM;
  const front = packet.substr(0, FRONT);
  let tag = packet.substr(FRONT + size);
  const n = uint16(front, 4) * 65536 + uint16(front, 6);
  section(import("../store/sequence")).check(n);
  let text: Bytes;
  if (ESP_CCM) {
    const how = section(import("./packet")).context(at, front, size);
    packet = packet.substr(FRONT, size);
    text = E.toString(tag, packet, { data: 0, count: -size & 15 });
    packet = "";
    text = section(import("../crypto/ctr")).ctrTurn(how, text);
    tag = text.substr(0, ICV_BYTES);
    text = text.substr(16, size);
    if (section(import("../bytes")).difference(section(import("../crypto/ccm")).ccmMac(how, text), tag))
      throw ESP_ICV;
  } else {
    packet = packet.substr(0, FRONT + size);
    if (section(import("../bytes")).difference(section(import("./packet")).icv(at, packet), tag))
      throw ESP_ICV;
    text = packet.substr(8, 16 + size);
    packet = "";
    text = section(import("../crypto/cbc")).cbcTurn(CBC_DECRYPT, keys.substr(at, 16), text).substr(16);
  }
  section(import("../store/sequence")).accept(n);
  const padding = text.charCodeAt(size - 2);
  const end = size - 2 - padding;
  if (end < 0) throw ESP_FORM;
  for (let i = 0; i < padding; ) if (text.charCodeAt(end + i) !== ++i) throw ESP_FORM;
  const nextHeader = text.charCodeAt(size - 1);
  if (nextHeader === NO_NEXT_HEADER) return "";
  if (nextHeader !== IPV4) throw ESP_FORM;
  text = text.substr(0, end);
  return section(import("./ipv4")).datagram(text);
}
