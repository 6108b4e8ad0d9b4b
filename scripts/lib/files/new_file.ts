// Files that are there whole or not at all: they grow under another name in their folder, and get their own when they are on
// the disk. What has that name already is written over by replaceFile() alone.
import { randomBytes } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";

/** Modes of files. */
export const PRIVATE = 0o600;
export const PUBLIC = 0o644;

/**
 * A file to grow: `write`, then `finish`; in any case `close`. Each throws UsageError where it cannot. `isOver`: in the place of
 * what has the name.
 */
export class NewFile {
  private readonly temporary: string;
  private readonly descriptor: number;

  constructor(
    readonly path: string,
    mode: number = PRIVATE,
    private readonly isOver = false,
  ) {
    if (!isOver) refuseExisting(path);
    this.temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
    this.descriptor = this.attempt(() => openSync(this.temporary, "wx", mode));
  }

  write(bytes: Uint8Array): void {
    this.attempt(() => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.descriptor, bytes, at);
    });
  }

  /** Put it on the disk, still without its name. */
  flush(): void {
    this.attempt(() => fsyncSync(this.descriptor));
  }

  /** Put it on the disk and give it its name. */
  finish(): void {
    this.flush();
    this.attempt(() => {
      if (this.isOver) renameSync(this.temporary, this.path);
      else nameNew(this.temporary, this.path);
      syncFolder(dirname(this.path));
    });
  }

  /** End with it, finished or not: what has not got its name is taken away. */
  close(): void {
    closeSync(this.descriptor);
    if (existsSync(this.temporary)) unlinkSync(this.temporary);
  }

  private attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw new UsageError(`cannot write ${this.path}: ${fileFault(error)}; nothing was written.`);
    }
  }
}

/** Give a file its name, never over another. A memory stick's FAT has no links: there it is looked, then renamed. */
function nameNew(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EPERM" && code !== "ENOTSUP") throw error;
    if (existsSync(path)) throw Object.assign(new Error(), { code: "EEXIST" });
    renameSync(temporary, path);
  }
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

export interface FileToWrite {
  path: string;
  bytes: Uint8Array;
  mode?: number;
}

/** Write new files, all or none; mode 0600 unless told otherwise. Throws UsageError. */
export function writeNewFiles(files: readonly FileToWrite[]): void {
  const open: NewFile[] = [];
  const named: string[] = [];
  try {
    for (const { path, bytes, mode } of files) {
      const file = new NewFile(path, mode);
      open.push(file);
      file.write(bytes);
      file.flush();
    }
    for (const file of open) {
      file.finish();
      named.push(file.path);
    }
  } catch (error) {
    for (const path of named) unlinkSync(path);
    throw error;
  } finally {
    for (const file of open) file.close();
  }
}

/** Write one new file of bytes at hand. Throws UsageError. */
export function writeNewFile(path: string, bytes: Uint8Array, mode?: number): void {
  writeNewFiles([{ path, bytes, mode }]);
}

/** Write a file of bytes at hand, whole or not at all, over the one that is there. Throws UsageError. */
export function replaceFile(path: string, bytes: Uint8Array, mode = PUBLIC): void {
  const file = new NewFile(path, mode, true);
  try {
    file.write(bytes);
    file.finish();
  } finally {
    file.close();
  }
}

/** Take away a file that something began and could not fill: it is there, and empty. */
export function withdrawEmpty(path: string): void {
  if (existsSync(path) && statSync(path).size === 0) unlinkSync(path);
}

/** Refuse paths that are there already. Throws UsageError. */
export function refuseExisting(...paths: readonly string[]): void {
  const there = paths.find((path) => existsSync(path));
  if (there !== undefined)
    throw new UsageError(`${there} is there already, and is not written over; nothing was written.`);
}

/**
 * Refuse, before anything takes long or asks, what could not be written at its end: a new file that is there already, or whose
 * folder is not. Throws UsageError.
 */
export function checkNewFiles(...paths: readonly (string | undefined)[]): void {
  const given = paths.filter((path) => path !== undefined);
  refuseExisting(...given);
  for (const path of given) checkWritten(path);
}

/** The same for a file that is written over where it is there. */
export function checkWritten(path: string): void {
  try {
    checkIsFolder(dirname(path));
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${fileFault(error)}; nothing was written.`);
  }
}

/** Refuse a folder that makeFolder() could not make; nothing is made. Throws UsageError. */
export function checkFolder(folder: string): void {
  missingOf(folder);
}

/** The folders that are missing for this one, the uppermost first. */
function missingOf(folder: string): string[] {
  const missing: string[] = [];
  let there = folder;
  for (; !existsSync(there) && dirname(there) !== there; there = dirname(there)) missing.unshift(there);
  try {
    checkIsFolder(there);
  } catch (error) {
    throw new UsageError(`cannot make the folder ${folder}: ${fileFault(error)}.`);
  }
  return missing;
}

function checkIsFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
  accessSync(path, constants.W_OK);
}

/** Make a folder, its owner's alone, and those above it. Throws UsageError. */
export function makeFolder(folder: string): void {
  try {
    // one by one: Node's own `recursive` never ends where there can be none, in /proc
    for (const each of missingOf(folder)) if (!existsSync(each)) mkdirSync(each, 0o700);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot make the folder ${folder}: ${fileFault(error)}.`);
  }
}
