// What a message between devices, or to and from the ticket service, is (../README.md 15), and the lengths of its parts.
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
