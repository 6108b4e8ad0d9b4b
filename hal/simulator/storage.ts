// NOR flash and Espruino's Storage library over it (jswrap_storage, jsflash): 32-byte headers (size, 28 bytes
// of name), data aligned, a deleted file's name zeroed, programming only clears bits, erase works on pages,
// compaction when there is no room. Names are cut at 28 characters without a word. Leaves out StorageFile, a
// second bank and file flags.
import { toBytes } from "./bytes";

const HEADER = 32;
const NAME_LENGTH = 28;

/** A piece of NOR flash. */
export class NorFlash {
  readonly bytes: Buffer;
  erases = 0;

  constructor(
    readonly length: number,
    readonly pageLength: number,
  ) {
    this.bytes = Buffer.alloc(length, 0xff);
  }

  program(offset: number, data: Buffer): void {
    for (let i = 0; i < data.length; i++) this.bytes[offset + i] &= data[i];
  }

  erasePage(page: number): void {
    this.bytes.fill(0xff, page * this.pageLength, (page + 1) * this.pageLength);
    this.erases++;
  }
}

interface Found {
  name: string;
  /** Of the data. */
  offset: number;
  size: number;
}

export interface StorageRealm {
  arrayBuffer(bytes: Buffer): ArrayBuffer;
  /** Parse JSON in the board's realm. */
  parse(text: string): unknown;
}

export class Storage {
  constructor(
    readonly flash: NorFlash,
    private align: number,
    private realm: StorageRealm,
  ) {}

  /** The library as `require("Storage")` gives it. */
  library(): Record<string, unknown> {
    return {
      // digits are taken for a number, as by the interpreter
      read: (name: string, offset?: number, length?: number | string) =>
        this.read(name, offset, length === undefined ? length : Number(length)),
      write: (name: string, data: unknown, offset?: number, size?: number) =>
        this.write(name, data, offset, size),
      erase: (name: string) => this.erase(name),
      list: (pattern?: RegExp) => this.list(pattern),
      readJSON: (name: string, noExceptions?: boolean) => {
        const text = this.read(name);
        if (text === undefined) return undefined;
        try {
          return this.realm.parse(text);
        } catch (error) {
          if (noExceptions) return undefined;
          throw error;
        }
      },
      writeJSON: (name: string, data: unknown) => this.write(name, JSON.stringify(data)),
      readArrayBuffer: (name: string) => {
        const text = this.read(name);
        return text === undefined ? undefined : this.realm.arrayBuffer(Buffer.from(text, "latin1"));
      },
      getFree: () => Math.max(0, this.flash.length - this.end() - HEADER),
      getStats: () => this.stats(),
      compact: () => this.compact(),
      eraseAll: () => this.eraseAll(),
    };
  }

  read(name: string, offset = 0, length = 0): string | undefined {
    const file = this.find(name);
    if (!file) return undefined;
    const from = Math.min(Math.max(0, offset), file.size);
    const to = length > 0 ? Math.min(from + length, file.size) : file.size;
    return this.flash.bytes.toString("latin1", file.offset + from, file.offset + to);
  }

  write(name: string, data: unknown, offset = 0, size = 0): boolean {
    if (offset < 0 || size < 0) return false;
    const plain =
      typeof data === "object" && data !== null && Object.prototype.toString.call(data) === "[object Object]";
    const bytes = toBytes(plain ? JSON.stringify(data) : data);
    const fileSize = size || bytes.length;
    if (!fileSize) throw new Error("Can't create zero length file");
    let file = this.find(name);
    if (offset === 0 && (!file || file.size !== fileSize || !this.erased(file.offset, fileSize))) {
      if (file && file.size === bytes.length && this.contents(file).equals(bytes)) return true;
      if (file) this.remove(file);
      file = this.create(name, fileSize);
    }
    if (!file) throw new Error("Unable to find or create file");
    if (offset + bytes.length > file.size) throw new Error("Too much data for file size");
    if (!this.erased(file.offset + offset, bytes.length))
      throw new Error("File already written with different data");
    this.flash.program(file.offset + offset, bytes);
    return true;
  }

  erase(name: string): void {
    const file = this.find(name);
    if (file) this.remove(file);
  }

  list(pattern?: RegExp): string[] {
    const names = [...this.files()].map((file) => file.name);
    return pattern ? names.filter((name) => pattern.test(name)) : names;
  }

  compact(): void {
    const kept = [...this.files()].map((file) => ({
      name: file.name,
      data: Buffer.from(this.contents(file)),
    }));
    this.eraseAll();
    for (const { name, data } of kept) {
      const file = this.create(name, data.length);
      if (file) this.flash.program(file.offset, data);
    }
  }

  eraseAll(): void {
    for (let page = 0; page * this.flash.pageLength < this.flash.length; page++) this.flash.erasePage(page);
  }

  private stats() {
    const files = [...this.files()];
    const fileBytes = files.reduce((sum, file) => sum + HEADER + this.aligned(file.size), 0);
    return {
      totalBytes: this.flash.length,
      freeBytes: this.flash.length - this.end(),
      fileBytes,
      fileCount: files.length,
      trashBytes: this.end() - fileBytes,
      trashCount: [...this.files(true)].length - files.length,
    };
  }

  private *files(withTrash = false): Generator<Found> {
    for (let at = 0; at + HEADER <= this.flash.length; ) {
      const size = this.flash.bytes.readUInt32LE(at);
      if (size === 0xffffffff) return;
      const name = this.flash.bytes.toString("latin1", at + 4, at + HEADER).replace(/\0.*$/s, "");
      if (name || withTrash) yield { name, offset: at + HEADER, size };
      at += HEADER + this.aligned(size);
    }
  }

  private find(name: string): Found | undefined {
    const short = String(name).slice(0, NAME_LENGTH);
    for (const file of this.files()) if (file.name === short) return file;
    return undefined;
  }

  private create(name: string, size: number): Found | undefined {
    const needed = HEADER + this.aligned(size);
    if (this.end() + needed > this.flash.length) {
      const used = [...this.files()].reduce((sum, file) => sum + HEADER + this.aligned(file.size), 0);
      if (used + needed > this.flash.length) return undefined;
      this.compact();
    }
    const at = this.end();
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(size);
    header.write(name.slice(0, NAME_LENGTH), 4, "latin1");
    this.flash.program(at, header);
    return { name, offset: at + HEADER, size };
  }

  private remove(file: Found): void {
    this.flash.program(file.offset - NAME_LENGTH, Buffer.alloc(NAME_LENGTH));
  }

  private end(): number {
    let end = 0;
    for (const file of this.files(true)) end = file.offset + this.aligned(file.size);
    return end;
  }

  private contents(file: Found): Buffer {
    return this.flash.bytes.subarray(file.offset, file.offset + file.size);
  }

  private erased(offset: number, length: number): boolean {
    return this.flash.bytes.subarray(offset, offset + length).every((byte) => byte === 0xff);
  }

  private aligned(size: number): number {
    return Math.ceil(size / this.align) * this.align;
  }
}
