// A file that is there whole or not at all: it grows under another name in its folder, and gets its own when it is on the
// disk. What has that name already is never written over.
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../cli/exit";
import { fileFault } from "../keys/keys";

export class NewFile {
  private readonly temporary: string;
  private readonly descriptor: number;

  /** Begin a file of mode 0644. Throws UsageError where it is there already or cannot be made. */
  constructor(readonly path: string) {
    refuseExisting(path);
    this.temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
    try {
      this.descriptor = openSync(this.temporary, "wx", 0o644);
    } catch (error) {
      throw new UsageError(`cannot write ${path}: ${fileFault(error)}; nothing was written.`);
    }
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.descriptor, bytes, at);
  }

  /** Put it on the disk and give it its name. */
  finish(): void {
    fsyncSync(this.descriptor);
    refuseExisting(this.path);
    try {
      linkSync(this.temporary, this.path);
    } catch (error) {
      // a memory stick's FAT has no links
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EPERM" && code !== "ENOTSUP") throw error;
      renameSync(this.temporary, this.path);
    }
    const folder = openSync(dirname(this.path), "r");
    fsyncSync(folder);
    closeSync(folder);
  }

  /** End with it, finished or not: what has not got its name is taken away. */
  close(): void {
    closeSync(this.descriptor);
    if (existsSync(this.temporary)) unlinkSync(this.temporary);
  }
}

export function refuseExisting(path: string): void {
  if (existsSync(path))
    throw new UsageError(`${path} is there already, and is not written over; nothing was written.`);
}

/** Write a new file of bytes at hand. */
export function writeNewFile(path: string, bytes: Uint8Array): void {
  const file = new NewFile(path);
  try {
    file.write(bytes);
    file.finish();
  } finally {
    file.close();
  }
}
