// The EncryptedExtensions of TLS 1.3 (RFC 8446, 4.3.1), held to what we offered; a section: it is read once. What they have agreed stays in
// a variable, for as long as the connection.
import { type Bytes, uint16 } from "../bytes";
import { FRAGMENT_LIMIT } from "../profile";
import { DECODE_ERROR, ILLEGAL_PARAMETER } from "../tls/alert";

/** Types of the extensions, as they stand in the list (RFC 6066, RFC 8449). */
const MAX_FRAGMENT_LENGTH = "\0\x01";
const RECORD_SIZE_LIMIT = "\0\x1c";

/** Longest content of a record that the server takes, bytes. */
export let sendLimit: number;

/** Read the EncryptedExtensions (handshake header and body). Throws decode_error, illegal_parameter or unsupported_extension. */
export default function encryptedExtensions(message: Bytes): void {
  const found = section(import("./extensions"))(message, 4, MAX_FRAGMENT_LENGTH + RECORD_SIZE_LIMIT);
  const limit = found[1];
  sendLimit = FRAGMENT_LIMIT;
  if (found[0] !== undefined && found[0] !== "\x01") throw -ILLEGAL_PARAMETER;
  if (limit !== undefined) {
    if (limit.length !== 2) throw -DECODE_ERROR;
    // RFC 8449, 4 and 5: not both, not less than 64, and the content's type counts
    if (found[0] || uint16(limit, 0) < 64) throw -ILLEGAL_PARAMETER;
    sendLimit = Math.min(FRAGMENT_LIMIT, uint16(limit, 0) - 1);
  }
}
