// The handshake of AKEP2 (Bellare and Rogaway) as EAP-PSK (RFC 4764), the device's side, as a section: four messages, AES alone, no hash. The
// server begins; both have proved that they have the key when message 4 is sent. Each message is an EAP packet (RFC 3748, 4) with its
// length before it, 2 bytes, on a TCP socket: that transport is ours. Leaves out EAP's identity exchange and its Success, which have no
// place in four messages, repeated packets, which TCP has none of, and extensions.
import type { Socket } from "../../hal/hal";
import { type Bytes, uint16 } from "../bytes";
import {
  DECODE_ERROR,
  HANDSHAKE_FAILURE,
  NO_KEY,
  RECEIVED,
  UNEXPECTED_MESSAGE,
  UNSUPPORTED_EXTENSION,
} from "../tls/alert";
import { FINISHED } from "../tls/constants";
import { BEGIN, FINISH, GO_ON, KEY_EXCHANGE, STANDS } from "../tls/handshake_steps";
import { setKeys } from "../tls/keys";

/** Codes of EAP packets, and the method's type, with its flags: the message's number, from 0, in the upper two bits. */
const REQUEST = 1;
const FAILURE = 4;
/** The lower ones are reserved, and not looked at. */
const METHOD = 0xffc0;
const EAP_PSK_1 = 0x2f00;
const EAP_PSK_3 = 0x2f80;
/** Length of message 1 without the server's identity, and of message 3, bytes. */
const MESSAGE_1_LENGTH = 22;
const MESSAGE_3_LENGTH = 59;

/** What must come next: message 1, or message 3, which steps.ts calls as it calls FINISHED; below 0: nothing, keys are made first. */
export let expected: number;
const FIRST = 1;

/** Message 1, until it is answered. */
export let message1: Bytes;
/** RAND_S and the MAC_S that must come (16 bytes each), TEK (16), the keys of the records (40); empty: there are none yet. */
export let secrets: Bytes = "";

/** Take what message 3 is checked with. */
export function setSecrets(made: Bytes): void {
  secrets = made;
}

/** Overwrite and drop them. */
export function wipeSecrets(): void {
  const words = new Int32Array(E.toArrayBuffer(secrets));
  for (let i = secrets.length >> 2; i--; ) words[i] = 0;
  message1 = secrets = "";
}

/**
 * Take one step of the handshake: BEGIN waits for message 1; FINISH takes message 2, which key_schedule.ts returned; any other `step` has
 * an EAP packet in `fragment`. Returns 0, GO_ON or STANDS. Throws NO_KEY, RECEIVED plus handshake_failure, or minus the alert that is to be told.
 */
export default function handshake(transport: Socket, step: number, fragment: Bytes): number {
  if (step === BEGIN) {
    if (!section(import("../store/settings")).readSettings().id) throw NO_KEY;
    expected = FIRST;
    return 0;
  }
  if (step === KEY_EXCHANGE) return 0;
  if (step !== FINISH) {
    const code = fragment.charCodeAt(0);
    const length = fragment.length;
    if (uint16(fragment, 2) !== length) throw -DECODE_ERROR;
    if (code === FAILURE && length === 4) throw RECEIVED + HANDSHAKE_FAILURE;
    // too short is none of them
    if (
      expected < 0 ||
      code !== REQUEST ||
      (uint16(fragment, 4) & METHOD) !== (expected === FIRST ? EAP_PSK_1 : EAP_PSK_3)
    )
      throw -UNEXPECTED_MESSAGE;
    if (expected === FIRST) {
      if (length <= MESSAGE_1_LENGTH) throw -DECODE_ERROR;
      message1 = fragment;
      expected = -1; // nothing may come before message 2
      return GO_ON;
    }
    if (length !== MESSAGE_3_LENGTH) throw length < MESSAGE_3_LENGTH ? -DECODE_ERROR : -UNSUPPORTED_EXTENSION;
    fragment = section(import("./protected_channel"))(fragment);
  }
  transport.write(E.toString(fragment.length >> 8, fragment.length, fragment));
  message1 = "";
  expected = FINISHED;
  if (step === FINISH) return 0;
  setKeys(secrets.substr(48));
  wipeSecrets();
  return STANDS;
}
