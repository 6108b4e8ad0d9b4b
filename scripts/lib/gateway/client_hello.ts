// What a ClientHello says of versions, before TLS reads it (RFC 8446, 4.1.2 and 4.2.1): a key serves one version of TLS, and who offers
// both has one key for both, that of TLS 1.2.

const HEADERS = 5 + 4; // the record's and the message's
const VERSION_AND_RANDOM = 2 + 32;
const SUPPORTED_VERSIONS = 43;
const TLS_1_3 = 0x0304;

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
