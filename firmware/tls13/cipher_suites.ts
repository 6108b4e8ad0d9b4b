// The cipher suites of TLS 1.3 that the profile links (RFC 8446, B.4): rows of three bytes, the code and the length of the tag. All hash
// with SHA-256. The client offers the rows in their order.
import { TLS_AES_128_CCM_8_SHA256, TLS_AES_128_CCM_SHA256, TLS_AES_128_GCM_SHA256 } from "../profile";

/** Whether a CCM suite can be agreed. */
export const CCM = TLS_AES_128_CCM_8_SHA256 || TLS_AES_128_CCM_SHA256;
/** Whether the GCM suite can be agreed. */
export const GCM = TLS_AES_128_GCM_SHA256;

/** Codes of the suites, 2 bytes each, big-endian, in the order in which the client offers them. */
export const SUITE_CODES: string =
  (TLS_AES_128_CCM_8_SHA256 ? "\x13\x05" : "") +
  (TLS_AES_128_CCM_SHA256 ? "\x13\x04" : "") +
  (GCM ? "\x13\x01" : "");

/** Where the code of the GCM suite stands among them, bytes. */
export const GCM_PLACE = 2 * ((TLS_AES_128_CCM_8_SHA256 ? 1 : 0) + (TLS_AES_128_CCM_SHA256 ? 1 : 0));

/** How many they are. */
export const SUITES = (TLS_AES_128_CCM_8_SHA256 ? 1 : 0) + (TLS_AES_128_CCM_SHA256 ? 1 : 0) + (GCM ? 1 : 0);
