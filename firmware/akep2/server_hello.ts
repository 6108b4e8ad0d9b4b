// What is agreed beforehand under AKEP2, in the place of what a ServerHello agrees on: records are those of TLS_PSK_WITH_AES_128_CCM_8.
import { FRAGMENT_LIMIT } from "../profile";

/** Tag length of CCM, bytes. */
export const tagLength = 8;
/** There is no HMAC, and no GCM. */
export const macLength = 0;
export const isGcm = false;
/** Longest plaintext of a record, bytes, both ways. */
export const sendLimit = FRAGMENT_LIMIT;
