// A challenge as people and codes carry it: `UNLOCK <identity> <nonce> <boots>`, typed, read out or scanned. The nonce in
// base 32 may have its groups, lower case, and I, L and O where 1 and 0 are meant (challenge.ts).
// Leaves out the answer (challenge.ts) and the role and minutes, which the service desk decides.
import { UsageError } from "../cli/exit";
import { type Identity, parseIdentity } from "../keys/identity";
import { CHALLENGE_NONCE_LENGTH, decodeBase32, ROLES, type Role } from "./challenge";

export interface DeviceChallenge {
  identity: Identity;
  /** 8 bytes. */
  nonce: Buffer;
  boots: number;
}

const BOOTS_MAX = 0xffffff;

/** Write what a QR code carries. */
export function challengeText(challenge: { id: string; nonce: string; boots: number }): string {
  return `UNLOCK ${challenge.id} ${challenge.nonce} ${challenge.boots}`;
}

/** Read a challenge, with or without its first word. Throws UsageError with what is wrong with it. */
export function parseChallenge(text: string): DeviceChallenge {
  const words = text.trim().split(/\s+/);
  if (/^unlock$/i.test(words[0])) words.shift();
  if (words.length < 3)
    throw new UsageError("a challenge is IDENTITY NONCE BOOTS, for example v1.meter.SN1 8K3M-0VQZ-7T2CA 42.");
  const boots = words.pop() as string;
  const identity = parseIdentity(words.shift() as string);
  const nonce = decodeBase32(words.join(""));
  if (nonce?.length !== CHALLENGE_NONCE_LENGTH)
    throw new UsageError(
      `${JSON.stringify(words.join(" ").slice(0, 40))} is no nonce: it has 13 digits and letters, without U, and ends as the device shows it.`,
    );
  if (!/^\d{1,8}$/.test(boots) || Number(boots) > BOOTS_MAX)
    throw new UsageError(
      `${JSON.stringify(boots.slice(0, 20))} is no count of boots from 0 to ${BOOTS_MAX}.`,
    );
  return { identity, nonce, boots: Number(boots) };
}

/** Parse a role as people say it: its letter or its word. */
export function parseRole(text: string): Role {
  const word = text.toLowerCase();
  const row = Object.entries(ROLES).find(([name, letter]) => word === letter || word === name);
  if (!row)
    throw new UsageError(
      `${JSON.stringify(text.slice(0, 20))} is no role; there are s (service) and r (reset).`,
    );
  return row[1];
}
