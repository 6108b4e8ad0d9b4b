// Espruino's Storage library over NOR flash (jswrap_storage, jsflash.c of 2v29): 32-byte headers (size and flags in 4
// bytes, 28 of name), data aligned, only a file's name marks it as deleted, a hole is looked for before anything is
// compacted, and nothing of it is safe against power cuts. Names are cut at 28 characters without a word. Leaves out
// StorageFile, a second bank, the table of names and the compaction's buffer of one page: it goes page by page all the
// same.
import { toBytes } from "./bytes";
import type { NorFlash } from "./nor_flash";

const HEADER = 32;
const NAME_LENGTH = 28;
/** Flags of files that a compaction keeps: none, StorageFile, compressed. */
const REAL_FLAGS = [0, 64, 128];

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
    /** Bytes of the flash, from its first one, that are Storage's. */
    readonly length = flash.length,
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
      getFree: () => Math.max(0, this.length - this.end() - HEADER),
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
    this.flash.writeAligned(file.offset + offset, bytes);
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

  /** Move the files together, from the first page on that begins with a header and has a deleted file behind it. */
  compact(): void {
    let start = -1;
    let unbroken = 0;
    for (const { offset, isDeleted } of this.headers()) {
      const at = offset - HEADER;
      if (at % this.flash.pageLength === 0) unbroken = at;
      if (isDeleted && start < 0) start = unbroken;
    }
    if (start < 0) return;
    const kept = Buffer.concat(
      [...this.headers(start)]
        .filter(({ isReal }) => isReal)
        .map(({ offset, size }) =>
          Buffer.from(this.flash.bytes.subarray(offset - HEADER, offset + this.aligned(size))),
        ),
    );
    const { pageLength } = this.flash;
    const { length } = this;
    for (let page = start; page < length; page += pageLength) {
      this.flash.erasePage(page);
      const piece = kept.subarray(page - start, page - start + pageLength);
      if (piece.length) this.flash.write(page, piece);
    }
  }

  eraseAll(): void {
    for (let page = 0; page < this.length; page += this.flash.pageLength) this.flash.erasePage(page);
  }

  /** What the interpreter asks at power-on: where this is false it erases all of Storage (jsfIsStorageValid). */
  get isValid(): boolean {
    let at = 0;
    let last = 0;
    for (const { offset, size } of this.headers()) {
      last = offset - HEADER;
      at = this.aligned(offset + size);
      if (at + HEADER > this.length) return at <= this.length;
    }
    // what ends the list: where it is no erased header, the next page's must be
    if (!this.erased(at, HEADER) && at > last) at = this.nextPage(at);
    return at >= this.length || this.erased(at, HEADER);
  }

  private stats() {
    const headers = [...this.headers()];
    const lengthOf = (deleted: boolean) =>
      headers
        .filter(({ isDeleted }) => isDeleted === deleted)
        .reduce((sum, { size }) => sum + HEADER + this.aligned(size), 0);
    const trashCount = headers.filter(({ isDeleted }) => isDeleted).length;
    return {
      totalBytes: this.length,
      freeBytes: this.length - this.end(),
      fileBytes: lengthOf(false),
      fileCount: headers.length - trashCount,
      trashBytes: lengthOf(true),
      trashCount,
    };
  }

  /** Every header from `start` on. Where there is none the next page may begin with one (jsfGetNextFileHeader). */
  private *headers(start = 0): Generator<Found & { isDeleted: boolean; isReal: boolean }> {
    for (let at = start; at + HEADER <= this.length; ) {
      if (!this.isHeader(at)) {
        const next = this.nextPage(at);
        if (at === start || next >= this.length || !this.isHeader(next)) return;
        at = next;
      }
      const word = this.flash.bytes.readUInt32LE(at);
      const size = word & 0xffffff;
      const name = this.flash.bytes.toString("latin1", at + 4, at + HEADER).replace(/\0.*$/s, "");
      const isDeleted = this.flash.bytes.readUInt32LE(at + 4) === 0;
      yield {
        name,
        offset: at + HEADER,
        size,
        isDeleted,
        isReal: !isDeleted && REAL_FLAGS.includes(word >>> 24),
      };
      at = this.aligned(at + HEADER + size);
    }
  }

  private *files(): Generator<Found> {
    for (const file of this.headers()) if (file.isReal) yield file;
  }

  private isHeader(at: number): boolean {
    if (at + HEADER > this.length) return false;
    const word = this.flash.bytes.readUInt32LE(at);
    return word !== 0xffffffff && word !== 0 && at + HEADER + (word & 0xffffff) <= this.length;
  }

  private find(name: string): Found | undefined {
    const short = String(name).slice(0, NAME_LENGTH);
    for (const file of this.headers()) if (file.name === short && !file.isDeleted) return file;
    return undefined;
  }

  private create(name: string, size: number): Found | undefined {
    const needed = HEADER + this.aligned(size);
    let at = this.hole(needed);
    if (at === undefined) {
      const { freeBytes, trashBytes } = this.stats();
      if (needed >= freeBytes + trashBytes) return undefined;
      this.compact();
      at = this.hole(needed);
      if (at === undefined) return undefined;
    }
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(size);
    header.write(name.slice(0, NAME_LENGTH), 4, "latin1");
    this.flash.write(at, header);
    return { name, offset: at + HEADER, size };
  }

  /** Find the place behind the files that has room; whatever a torn header left there. */
  private hole(needed: number): number | undefined {
    const { pageLength } = this.flash;
    const { length } = this;
    for (let at = 0; at < length; at = this.nextPage(at)) {
      while (this.isHeader(at))
        at = this.aligned(at + HEADER + (this.flash.bytes.readUInt32LE(at) & 0xffffff));
      if (at >= length) return undefined;
      const next = at - (at % pageLength) + pageLength;
      const room = (next < length && this.isHeader(next) ? next : length) - at;
      if (room >= needed) return at;
    }
    return undefined;
  }

  private remove(file: Found): void {
    this.flash.write(file.offset - NAME_LENGTH, Buffer.alloc(4));
  }

  private end(): number {
    let end = 0;
    for (const file of this.headers()) end = file.offset + this.aligned(file.size);
    return end;
  }

  private nextPage(at: number): number {
    return at - (at % this.flash.pageLength) + this.flash.pageLength;
  }

  private contents(file: Found): Buffer {
    return this.flash.bytes.subarray(file.offset, file.offset + file.size);
  }

  private erased(offset: number, length: number): boolean {
    return this.flash.bytes.subarray(offset, offset + length).every((byte) => byte === 0xff);
  }

  private aligned(bytes: number): number {
    return Math.ceil(bytes / this.align) * this.align;
  }
}
