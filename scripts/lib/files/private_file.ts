// Secrets in files of mode 0600, whole or not at all; what others can read is refused. They are never printed.
import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { KEY_LENGTH } from "../keys/kdf";
import { strongKey } from "../keys/weak_keys";
import { PRIVATE, writeNewFile } from "./new_file";

/** Write a secret into a new file of mode 0600; a file that is already there is never written over. */
export function writeSecret(path: string, secret: Uint8Array): void {
  writeNewFile(path, secret, PRIVATE);
}

/**
 * Read a file that holds a secret, at most `limit` bytes. One that others can read is refused: its secret is no longer
 * one. `what` names the contents in the sentence.
 */
export function readPrivateFile(path: string, limit: number, what: string): Buffer {
  let descriptor: number | undefined;
  try {
    // opened, then looked at: what is read is what was looked at
    descriptor = openSync(path, "r");
    const status = fstatSync(descriptor);
    if (status.isFile() && status.size > limit) throw new UsageError(`${path} is too long for ${what}.`);
    if (process.platform !== "win32" && status.isFile() && status.mode & 0o077) {
      throw new UsageError(
        `${path} can be read by others than its owner; chmod 600 it, and think of what is in it as known.`,
      );
    }
    return readFileSync(descriptor);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${path}: ${fileFault(error)}.`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Refuse, before anything is asked for, a file that readPrivateFile() would refuse; a pipe is left as it is. Throws UsageError. */
export function checkPrivateFile(path: string, limit: number, what: string): void {
  const isPipe = statSync(path, { throwIfNoEntry: false })?.isFile() === false;
  if (!isPipe) readPrivateFile(path, limit, what).fill(0);
}

/** Read a secret of 16 bytes from a private file, stored as 16 raw bytes or as 32 hex digits; refuse a weak one. */
export function readSecret(path: string): Buffer {
  const bytes = readPrivateFile(path, 64, "a key of 16 bytes or 32 hex digits");
  const text = bytes.toString("latin1").trim();
  const secret =
    bytes.length !== KEY_LENGTH && /^[0-9A-Fa-f]*$/.test(text) ? Buffer.from(text, "hex") : bytes;
  return strongKey(secret, `the key in ${path}`);
}
