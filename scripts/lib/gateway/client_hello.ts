// Whether what comes first is a ClientHello, and what it says of versions, before TLS reads it (RFC 8446, 4.1.2 and 4.2.1): a key serves
// one version of TLS, and who offers both has one key for both, that of TLS 1.2.
import type { FirstMessage } from "./admission";

const RECORD_HEADER = 5; // type (1), version (2), length (2): RFC 5246, 6.2.1
const HANDSHAKE = 22; // content type
const CLIENT_HELLO = 1; // handshake type
const LONGEST_HELLO = 4_096; // bytes of its record; a device's own has under 200

const HEADERS = RECORD_HEADER + 4; // the record's and the message's
const VERSION_AND_RANDOM = 2 + 32;
const SUPPORTED_VERSIONS = 43;
const TLS_1_3 = 0x0304;

/** What admission waits for: a whole ClientHello in one record. */
export const CLIENT_HELLO_FIRST: FirstMessage = {
  name: "ClientHello",
  look(bytes) {
    const isWrong =
      bytes[0] !== HANDSHAKE ||
      (bytes.length > 1 && bytes[1] !== 3) ||
      (bytes.length >= RECORD_HEADER && bytes.readUInt16BE(3) > LONGEST_HELLO) ||
      (bytes.length > RECORD_HEADER && bytes[RECORD_HEADER] !== CLIENT_HELLO);
    if (isWrong) return "wrong";
    const isWhole = bytes.length >= RECORD_HEADER && bytes.length >= RECORD_HEADER + bytes.readUInt16BE(3);
    return isWhole ? "whole" : "more";
  },
};

/** Whether the ClientHello in a record offers TLS 1.3 and nothing else. One that cannot be read does not. */
export function offersTls13Alone(record: Buffer): boolean {
  try {
    let at = HEADERS + VERSION_AND_RANDOM;
    at += 1 + record.readUInt8(at); // legacy_session_id
    at += 2 + record.readUInt16BE(at); // cipher_suites
    at += 1 + record.readUInt8(at); // legacy_compression_methods
    const end = at + 2 + record.readUInt16BE(at);
    for (at += 2; at < end; at += 4 + record.readUInt16BE(at + 2))
      if (record.readUInt16BE(at) === SUPPORTED_VERSIONS)
        return record.readUInt8(at + 4) === 2 && record.readUInt16BE(at + 5) === TLS_1_3;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return false;
}
