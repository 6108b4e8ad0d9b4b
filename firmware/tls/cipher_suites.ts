// The cipher suites that the profile links, as rows of four bytes: the code (RFC 4279, 5487, 6655), the length of
// the HMAC (0: an AEAD; 20: SHA-1; 32: SHA-256) and the length of the AEAD's tag. All use the PRF of TLS 1.2 with SHA-256.
// One string, not objects: a string in flash costs no heap. The client offers the rows in their order.
import { AES_CAN_DECRYPT } from "hal:aes128";
import {
  TLS_PSK_WITH_AES_128_CBC_SHA,
  TLS_PSK_WITH_AES_128_CBC_SHA256,
  TLS_PSK_WITH_AES_128_CCM,
  TLS_PSK_WITH_AES_128_CCM_8,
  TLS_PSK_WITH_AES_128_GCM_SHA256,
} from "../profile";

/** Whether a CBC suite can be agreed: it needs a driver that decrypts. */
export const CBC = AES_CAN_DECRYPT && (TLS_PSK_WITH_AES_128_CBC_SHA || TLS_PSK_WITH_AES_128_CBC_SHA256);
/** Whether a CCM suite can be agreed. */
export const CCM = TLS_PSK_WITH_AES_128_CCM_8 || TLS_PSK_WITH_AES_128_CCM;
/** Whether the GCM suite can be agreed. */
export const GCM = TLS_PSK_WITH_AES_128_GCM_SHA256;
/** Whether an AEAD suite can be agreed. */
export const AEAD = CCM || GCM;

/** Codes of the suites, 2 bytes each, big-endian, in the order in which the client offers them. */
export const SUITE_CODES: string =
  (TLS_PSK_WITH_AES_128_CCM_8 ? "\xc0\xa8" : "") +
  (TLS_PSK_WITH_AES_128_CCM ? "\xc0\xa4" : "") +
  (GCM ? "\0\xa8" : "") +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA256 ? "\0\xae" : "") +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA ? "\0\x8c" : "");

/** Where the code of the GCM suite stands among them, bytes. */
export const GCM_PLACE = 2 * ((TLS_PSK_WITH_AES_128_CCM_8 ? 1 : 0) + (TLS_PSK_WITH_AES_128_CCM ? 1 : 0));

/** In the same order and at the same place: length of the HMAC (1 byte; 0: an AEAD) and of the AEAD's tag (1 byte). */
export const SUITE_LENGTHS: string =
  (TLS_PSK_WITH_AES_128_CCM_8 ? "\0\x08" : "") +
  (TLS_PSK_WITH_AES_128_CCM ? "\0\x10" : "") +
  (GCM ? "\0\x10" : "") +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA256 ? "\x20\0" : "") +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA ? "\x14\0" : "");

/** How many they are. */
export const SUITES =
  (TLS_PSK_WITH_AES_128_CCM_8 ? 1 : 0) +
  (TLS_PSK_WITH_AES_128_CCM ? 1 : 0) +
  (GCM ? 1 : 0) +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA256 ? 1 : 0) +
  (AES_CAN_DECRYPT && TLS_PSK_WITH_AES_128_CBC_SHA ? 1 : 0);
