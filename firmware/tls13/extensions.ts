// The extensions of a message of TLS 1.3 (RFC 8446, 4.2), a section.
import { type Bytes, uint16 } from "../bytes";
import { DECODE_ERROR, ILLEGAL_PARAMETER, UNSUPPORTED_EXTENSION } from "../tls/alert";

/**
 * Read the extensions of `message`, whose list begins at `at` with its length and ends the message. `types`: those that may stand there, 2
 * bytes each. Returns the value of each in that order, undefined where it is not there. Throws decode_error, unsupported_extension or,
 * where one comes twice, illegal_parameter.
 */
export default function extensionsOf(message: Bytes, at: number, types: Bytes): (Bytes | undefined)[] {
  const end = message.length;
  const found: (Bytes | undefined)[] = [];
  if (uint16(message, at) !== end - at - 2) throw -DECODE_ERROR;
  at += 2;
  while (at < end) {
    const length = uint16(message, at + 2);
    // odd is none of them, as with suites
    const row = types.indexOf(message.substr(at, 2));
    at += 4 + length;
    // of fewer than four bytes the length is none
    if (!(at <= end)) throw -DECODE_ERROR;
    if (row & 1) throw -UNSUPPORTED_EXTENSION;
    if (found[row >> 1] !== undefined) throw -ILLEGAL_PARAMETER;
    found[row >> 1] = message.substr(at - length, length);
  }
  return found;
}
