// A challenge as people and codes carry it: `UNLOCK <identity> <nonce> <boots>`, typed, read out or scanned. The nonce in
// base 32 may have its groups, lower case, and I, L and O where 1 and 0 are meant (challenge.ts).
// Leaves out the answer (challenge.ts) and the role and minutes, which the service desk decides.
import bwip from "bwip-js/node";
import { UsageError } from "../cli/exit";
import { type Identity, parseIdentity } from "../keys/identity";
import { CHALLENGE_NONCE_LENGTH, decodeBase32 } from "./challenge";

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

/** Modules of quiet around a QR code (ISO/IEC 18004, 9.1). */
const QUIET = 4;

/** Draw a QR code for a terminal: half a character a module, light on dark whatever the terminal's colours are. */
export function qrForTerminal(text: string): string {
  const { pixs, pixx } = bwip.raw("qrcode", text, "eclevel=M")[0] as { pixs: number[]; pixx: number };
  const isDark = (row: number, column: number) =>
    row >= 0 && column >= 0 && row < pixx && column < pixx && pixs[row * pixx + column] === 1;
  const lines: string[] = [];
  for (let row = -QUIET; row < pixx + QUIET; row += 2) {
    let line = "";
    for (let column = -QUIET; column < pixx + QUIET; column++)
      line += [" ", "▀", "▄", "█"][(isDark(row, column) ? 0 : 1) + (isDark(row + 1, column) ? 0 : 2)];
    lines.push(`\x1b[97;40m${line}\x1b[0m`);
  }
  return lines.join("\n");
}
