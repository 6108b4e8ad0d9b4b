// The messages of the tickets as bytes (firmware/README.md 15), and the box that is in all of them: AES-128-CCM (SP 800-38C) with a nonce of
// 12 bytes, of which the first is the message's type, and a tag of 16 bytes. What every box authenticates beside its text is the context:
// both nonces and both identities. Leaves out what only devices send each other (firmware/peer/).
import { UsageError } from "../cli/exit";
import { openCcm, sealCcm } from "../keys/ccm";
import { type Identity, parseIdentity } from "../keys/identity";

/** Types: first byte of a message, and of the nonce of its box. */
export const NONCE = 2;
export const REQUEST = 3;
export const ANSWER = 4;
export const TICKET = 5;

/** Bytes of a nonce of the protocol, and of a tag. */
export const NONCE_LENGTH = 11;
export const TAG_LENGTH = 16;

/** Put `text` into a box: its ciphertext, then the tag. `nonce`: 11 bytes. */
export function seal(key: Buffer, type: number, nonce: Buffer, context: Buffer, text: Buffer): Buffer {
  return sealCcm(key, Buffer.from([type, ...nonce]), text, { additional: context, tagLength: TAG_LENGTH });
}

/** Open a box; undefined where it is not whole, or was made under another key, type, nonce or context. */
export function open(
  key: Buffer,
  type: number,
  nonce: Buffer,
  context: Buffer,
  box: Buffer,
): Buffer | undefined {
  return openCcm(key, Buffer.from([type, ...nonce]), box, { additional: context, tagLength: TAG_LENGTH });
}

/** What a device asks the service for: a key of its own with another device, which has given it a nonce. */
export interface Request {
  asker: Identity;
  asked: Identity;
  /** Na, Nb, `<asker>` 00 `<asked>`: what every box of this run authenticates. */
  context: Buffer;
  /** Nb, and the asked device's tag over the context under its own key. */
  nonce: Buffer;
  tag: Buffer;
}

/** Parse REQUEST, Na (11), Nb (11), tag (16), `<asker>` 00 `<asked>`. Throws UsageError with what is wrong. */
export function parseRequest(bytes: Buffer): Request {
  const identitiesAt = 1 + 2 * NONCE_LENGTH + TAG_LENGTH;
  if (bytes[0] !== REQUEST || bytes.length <= identitiesAt) throw new UsageError("it is no request.");
  const nonces = bytes.subarray(1, 1 + 2 * NONCE_LENGTH);
  const identities = bytes.subarray(identitiesAt);
  const parts = identities.toString("latin1").split("\0");
  if (parts.length !== 2) throw new UsageError("it does not have two identities.");
  const [asker, asked] = parts.map(parseIdentity);
  return {
    ...{ asker, asked },
    context: Buffer.concat([nonces, identities]),
    nonce: nonces.subarray(NONCE_LENGTH),
    tag: bytes.subarray(1 + 2 * NONCE_LENGTH, identitiesAt),
  };
}

/** Build ANSWER, Ns (11), a box for the asker (64): the key and the ticket, which is the key's box for the asked device (32). */
export function buildAnswer(
  { context }: Request,
  keys: { asker: Buffer; asked: Buffer; session: Buffer },
  nonce: Buffer,
): Buffer {
  const ticket = seal(keys.asked, TICKET, nonce, context, keys.session);
  const text = Buffer.concat([keys.session, ticket]);
  const answer = Buffer.concat([
    Buffer.from([ANSWER]),
    nonce,
    seal(keys.asker, ANSWER, nonce, context, text),
  ]);
  text.fill(0);
  return answer;
}
