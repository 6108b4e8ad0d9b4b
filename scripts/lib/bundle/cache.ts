// Bundles that were built before, as files in a folder: one for each set of options, with a digest of each file that the bundle was
// made of. What was made of other files, or is not whole, counts as not there. Processes share it: a file gets its name when it
// is whole, and who finds another process at the same bundle waits for it. What cannot be written is built again, no more.
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Most files that stay, the last used ones; a bundle is about 100 kB with its map. */
export const KEPT_FILES = 200;

/** How long to wait for another process, and between looks, milliseconds. */
const PATIENCE_MS = 120_000;
const LOOK_MS = 50;

interface Entry<T> {
  /** Path -> digest of what it holds. */
  inputs: Record<string, string>;
  value: T;
}

export class Cache<T> {
  constructor(private readonly folder: string) {}

  /** Read what `write` kept for these options; undefined where there is none, or a file that it was made of has changed. */
  read(options: unknown): T | undefined {
    const file = this.file(options);
    try {
      const text = readFileSync(file, "utf8");
      const end = text.indexOf("\n");
      const json = text.slice(end + 1);
      if (digest(json) !== text.slice(0, end)) return undefined;
      const { inputs, value } = JSON.parse(json) as Entry<T>;
      if (Object.entries(inputs).some(([path, was]) => digest(readFileSync(path)) !== was)) return undefined;
      utimesSync(file, new Date(), new Date());
      return value;
    } catch {
      return undefined;
    }
  }

  /** Keep what was made with these options of these files. */
  write(options: unknown, inputs: readonly string[], value: T): void {
    const file = this.file(options);
    const temporary = `${file}.${randomBytes(6).toString("hex")}`;
    try {
      const entry: Entry<T> = {
        inputs: Object.fromEntries(inputs.map((path) => [path, digest(readFileSync(path))])),
        value,
      };
      const json = JSON.stringify(entry);
      mkdirSync(this.folder, { recursive: true });
      writeFileSync(temporary, `${digest(json)}\n${json}`);
      renameSync(temporary, file);
      this.dropOldest();
    } catch {
      // a disk that is full or another's folder: the next build makes it again
      if (existsSync(temporary)) rmSync(temporary);
    }
  }

  /**
   * Read it, or make it: in one process at a time, so that the others find it. `make` gives the files that it used, too; when one of
   * them was written since this process began, nobody knows of which text it was made, and it is not kept.
   */
  async get(options: unknown, make: () => Promise<{ inputs: readonly string[]; value: T }>): Promise<T> {
    const found = this.read(options);
    if (found !== undefined) return found;
    const release = await this.turn(`${this.file(options)}.busy`);
    try {
      const meanwhile = this.read(options);
      if (meanwhile !== undefined) return meanwhile;
      const { inputs, value } = await make();
      if (!inputs.some(isNew)) this.write(options, inputs, value);
      return value;
    } finally {
      release();
    }
  }

  /** Wait for the processes that hold `mark`, a link to nowhere that names who made it, and take it; gives what lets go of it. */
  private async turn(mark: string): Promise<() => void> {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(LOOK_MS)) {
      try {
        mkdirSync(this.folder, { recursive: true });
        symlinkSync(String(process.pid), mark);
        return () => rmSync(mark, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") break;
        if (!isHeld(mark)) rmSync(mark, { force: true });
      }
    }
    return () => undefined;
  }

  private file(options: unknown): string {
    return join(this.folder, `${digest(JSON.stringify(options)).slice(0, 32)}.json`);
  }

  private dropOldest(): void {
    const files = readdirSync(this.folder)
      .filter((name) => !name.endsWith(".busy"))
      .map((name) => ({ path: join(this.folder, name), age: statSync(join(this.folder, name)).mtimeMs }))
      .sort((a, b) => b.age - a.age);
    for (const { path } of files.slice(KEPT_FILES)) rmSync(path, { force: true });
  }
}

/** Whether a file was written since this process began; a file system's clock may be a tick behind. */
function isNew(path: string): boolean {
  return statSync(path).mtimeMs > performance.timeOrigin - 20;
}

/** Whether the process that a mark names is there. */
function isHeld(mark: string): boolean {
  try {
    process.kill(Number(readlinkSync(mark)), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function digest(data: string | Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
