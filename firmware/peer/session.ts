// Two sessions with other devices (../README.md 15), each for one way of commanding: one in which we command, one in which we obey. What
// goes through one is in boxes under its key, each way with numbers from 0; number 0 is the proof that its sender has the key, and empty.
// What has come counts once, and nothing older than it. Variables of a module: one costs less heap than a member.
// Leaves out lost messages: whoever commands does it again.
import { type Bytes, uint16 } from "../bytes";

/** What we are in a session: the device that asked for the ticket and commands, or the one that was asked and obeys. */
export const ASKER = 0;
export const ASKED = 1;

/** First byte of each message, and of the nonce of each box. Those of a session say who sends: the asker, the asked. */
export const HELLO = 1;
export const NONCE = 2;
export const REQUEST = 3;
export const ANSWER = 4;
export const TICKET = 5;
export const MESSAGE = 6;
/** Length of a nonce of the protocol, and of a key, bytes. */
export const NONCE_LENGTH = 11;
export const KEY = 16;
/** A message has type and number before its box. */
export const MESSAGE_HEAD = 5;

/** By role: the session's key (16 bytes; empty: there is none), and what every box authenticates: Na, Nb, `<asker>` 00 `<asked>`. */
export const keys: Bytes[] = ["", ""];
export const contexts: Bytes[] = ["", ""];
/** Numbers of the last message sent, and of the last that came. */
const sent: number[] = [];
const came: number[] = [];
/** Context of a ticket that may come: we have given a nonce for it. */
export let offered: Bytes = "";
/** What is told when there is a session, or empty. */
export let wanted: Bytes = "";
/** Where we stand as ASKER: the type of the message that must come next, TOLD or STANDS; 0: there is no session. */
export let stage = 0;
/** The answer to a command must come. */
export const TOLD = 8;
export const STANDS = 9;

export function setOffered(context: Bytes): void {
  offered = context;
}

export function setStage(next: number): void {
  stage = next;
}

export function setWanted(text: Bytes): void {
  wanted = text;
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
  section(import("./session")).drop(ASKER);
  section(import("./session")).drop(ASKED);
  offered = wanted = "";
  stage = 0;
}

/** Put `text` into the next box of a session: the message. */
export function sealed(role: number, text: Bytes): Bytes {
  const number = ++sent[role];
  const head = E.toString(MESSAGE + role, number >> 24, number >> 16, number >> 8, number);
  return head + section(import("./box")).seal(keys[role] + head + "\0".repeat(7), contexts[role], text);
}

/** Open a message to us; undefined where it is none of this session, or not newer than what has come. */
export function opened(role: number, message: Bytes): Bytes | undefined {
  const number = (uint16(message, 1) << 16) | uint16(message, 3);
  // above 2^31 - 1 it is below 0
  if (!keys[role] || !(number > came[role])) return;
  const text = section(import("./box")).open(
    keys[role] + message.substr(0, MESSAGE_HEAD) + "\0".repeat(7),
    contexts[role],
    message.substr(MESSAGE_HEAD),
  );
  if (text !== undefined) came[role] = number;
  return text;
}
