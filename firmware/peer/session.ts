// Two sessions with other devices (../README.md 15), each for one way of commanding: one in which we command, one in which we obey. What
// goes through one is in boxes under its key, each way with numbers from 0; number 0 is the proof that its sender has the key, and empty.
// What has come counts once, and nothing older than it. Variables of a module: one costs less heap than a member.
// Leaves out lost messages: whoever commands does it again.
import { hasTell } from "product";
import { type Bytes, uint16 } from "../bytes";
import { payload } from "../mqtt/client";
import { ASKED, ASKER, MESSAGE, MESSAGE_HEAD } from "./constants";

/** By role: the session's key (16 bytes; empty: there is none), and what every box authenticates: Na, Nb, `<asker>` 00 `<asked>`. */
export const keys: Bytes[] = ["", ""];
export const contexts: Bytes[] = ["", ""];
/** Numbers of the last message sent, and of the last that came. */
const sent: number[] = [];
const came: number[] = [];
/** What goes into the next box; empty where nothing is kept for it. */
let text: Bytes = "";
/** Context of a ticket that may come: we have given a nonce for it. */
export let offered: Bytes = "";

export function setOffered(context: Bytes): void {
  offered = context;
}

/** Begin a session; the asker's number 0 has come with its ticket. */
export function begin(role: number, key: Bytes, context: Bytes): void {
  section(import("./session")).drop(role);
  keys[role] = key;
  contexts[role] = context;
  sent[role] = -1;
  came[role] = role - ASKED;
}

/** Overwrite the key of a session where the interpreter's strings let us, and drop it. */
export function drop(role: number): void {
  const words = new Int32Array(E.toArrayBuffer(keys[role]));
  for (let i = keys[role].length >> 2; i--; ) words[i] = 0;
  keys[role] = contexts[role] = "";
}

/** Forget all of it: the broker is gone. */
export function wipe(): void {
  if (hasTell) {
    section(import("./session")).drop(ASKER);
    section(import("./asker")).forget();
  }
  section(import("./session")).drop(ASKED);
  text = offered = "";
}

/** Keep what goes into the next box: no caller holds it while its ciphertext grows. */
export function keep(next: Bytes): void {
  text = next;
}

/** Give it, and hold it no longer. */
export function take(): Bytes {
  const taken = text;
  text = "";
  return taken;
}

/** Build what the next box of a session is under (box.ts): its key, and the head of its message, which is the beginning of the nonce. */
export function secret(role: number): Bytes {
  const number = ++sent[role];
  return E.toString(keys[role], MESSAGE + role, number >> 24, number >> 16, number >> 8, number, {
    data: 0,
    count: 7,
  });
}

/** Open the message that has come, and hold it no longer; undefined where it is none of this session, or not newer than what has come. */
export function opened(role: number): Bytes | undefined {
  const number = (uint16(payload, 1) << 16) | uint16(payload, 3);
  // above 2^31 - 1 it is below 0
  if (!keys[role] || !(number > came[role])) return;
  const text = section(import("./box")).open(
    keys[role] + payload.substr(0, MESSAGE_HEAD) + "\0".repeat(7),
    contexts[role],
    section(import("../mqtt/client")).rest(MESSAGE_HEAD),
  );
  if (text !== undefined) came[role] = number;
  return text;
}
