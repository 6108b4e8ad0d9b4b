// Why a file could not be read or written, in words.

/** Say in words why a file could not be read or written. */
export function fileFault(error: unknown): string {
  const sentences: Record<string, string> = {
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
  return sentences[(error as NodeJS.ErrnoException).code ?? ""] ?? (error as Error).message;
}
