// Why a file could not be read or written, in words: of the system's errors, of SQLite's, and of JSON.parse, whose own words
// quote what stands in the file.
import { getSystemErrorMap } from "node:util";

const SYSTEM: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EEXIST: "it is there already, and is not written over",
  EACCES: "it is not permitted",
  EPERM: "it is not permitted",
  EISDIR: "it is a folder",
  ENOTDIR: "part of its path is a file",
  ENOSPC: "the disk is full",
  EDQUOT: "there is no more room for this user's files",
  EFBIG: "it is longer than a file may be there",
  EROFS: "the disk is read-only",
  EMFILE: "too many files are open",
  EIO: "the disk does not take or give it",
};

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const SQLITE: Readonly<Record<number, string>> = {
  5: "another program is writing there",
  8: "it may not be written",
  10: "the disk does not take or give it",
  11: "it is damaged",
  13: "the disk is full",
  14: "it cannot be opened: no such folder, or it is not permitted",
  26: "it is no SQLite file",
};

/** The system's own words for an error, without the call and the path that Node puts around them. */
export function systemFault(error: NodeJS.ErrnoException): string {
  return getSystemErrorMap().get(error.errno ?? 0)?.[1] ?? error.message;
}

/** Say in words why a file could not be read or written. */
export function fileFault(error: unknown): string {
  const { code = "", errcode = 0 } = error as { code?: string; errcode?: number };
  if (error instanceof SyntaxError) return "it is no JSON";
  return SYSTEM[code] ?? SQLITE[errcode & 0xff] ?? systemFault(error as NodeJS.ErrnoException);
}
