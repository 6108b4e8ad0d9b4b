// What the session asks a handshake for, and what it answers: TLS 1.2 (handshake.ts), and those of the other profiles alike.

/** Steps that are no record's content type: the beginning; the keys that are to be made; and that are made (key_schedule.ts). */
export const BEGIN = 0;
export const KEY_EXCHANGE = 1;
export const FINISH = 2;
/** What a step returns to ask for KEY_EXCHANGE in a turn of its own, when all that led to it is off the heap. */
export const GO_ON = -1;
/** What it returns when the session stands. */
export const STANDS = 1;
