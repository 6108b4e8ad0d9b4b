// The real interpreter: a Linux build of Espruino, named by ESPRUINO_BIN, booted from a flash image that we write. Any
// build will do, 64-bit or 32-bit, of any number of variables. It keeps its flash in `espruino.flash` in its working
// folder and starts `.bootcde` from there when it runs interactively; it ends by quit(), never by SIGTERM.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Path of the interpreter's binary; undefined where none is named. */
export const ENGINE = process.env.ESPRUINO_BIN ? resolve(process.env.ESPRUINO_BIN) : undefined;

/**
 * Make the command that runs it, `wrapper` before it (valgrind): on one processor alone, the last that we may use (proc(5)). Its
 * second thread puts what is typed into a ring made for interrupts, beside which nothing runs: on two processors the ring
 * breaks now and then, and old input comes again and again (Espruino, src/jsdevices.c, jshPushIOCharEvents and jshPopIOEvent).
 */
export function engineCommand(...wrapper: string[]): [string, ...string[]] {
  const status = readFileSync("/proc/self/status", "latin1");
  const [, processor] = /^Cpus_allowed_list:.*?(\d+)$/m.exec(status) as RegExpExecArray;
  return ["taskset", "--cpu-list", processor, ...wrapper, ENGINE as string];
}

/** Length of the flash that the Linux build keeps in its file, bytes. */
const FLASH_LENGTH = 0x40000;

/**
 * Lay out files as Espruino's Storage does: a 32-byte header (length, little-endian, 4; name, 28, padded with zeros),
 * the data, up to the next multiple of 4; the rest erased (0xff).
 */
export function storageImage(files: Record<string, string>): Buffer {
  const image = Buffer.alloc(FLASH_LENGTH, 0xff);
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    image.fill(0, at, at + 32);
    image.writeUInt32LE(data.length, at);
    image.write(name, at + 4, 28, "latin1");
    image.write(data, at + 32, "latin1");
    at = (at + 32 + data.length + 3) & ~3;
  }
  return image;
}

/** A running interpreter. */
export class Engine {
  /** What it has printed, line by line. */
  readonly lines: string[] = [];
  /** What lies in its flash after its end. */
  flash = Buffer.alloc(0);
  /** Its exit: code, or the signal's name. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private waiting: (() => void)[] = [];

  /** Start it with `files` in its Storage, or with all of a flash; `wrapper` goes before it (valgrind). */
  constructor(files: Record<string, string> | Buffer, wrapper: string[] = []) {
    this.folder = mkdtempSync(join(tmpdir(), "engine-"));
    const flashFile = join(this.folder, "espruino.flash");
    writeFileSync(flashFile, Buffer.isBuffer(files) ? files : storageImage(files));
    const [command, ...rest] = engineCommand(...wrapper);
    // standard input stays open: at its end the interpreter reads bytes of 255 for ever
    this.child = spawn(command, rest, { cwd: this.folder, stdio: ["pipe", "pipe", "pipe"] });
    // each stream has its own beginning of a line
    const partial = ["", ""];
    const take = (stream: number) => (chunk: Buffer) => {
      const pieces = (partial[stream] + chunk.toString("latin1")).split(/\r?\n/);
      partial[stream] = pieces.pop() as string;
      this.lines.push(
        ...pieces.map((line) => line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\x08\r>]/g, "")),
      );
      for (const wake of this.waiting.splice(0)) wake();
    };
    this.child.stdout?.on("data", take(0));
    this.child.stderr?.on("data", take(1));
    this.ended = new Promise((done) => {
      this.child.on("exit", (code, signal) => {
        for (const wake of this.waiting.splice(0)) wake();
        this.flash = readFileSync(flashFile);
        rmSync(this.folder, { recursive: true, force: true });
        done(code ?? (signal as string));
      });
    });
  }

  /** Of its process. */
  get pid(): number {
    return this.child.pid as number;
  }

  /** Wait for a line that matches; rejects at the end of the program or after `timeoutMs`. */
  async line(pattern: RegExp, timeoutMs = 20000): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeoutMs;
    for (let from = 0; ; ) {
      for (; from < this.lines.length; from++) {
        const match = this.lines[from].match(pattern);
        if (match) return match;
      }
      const left = deadline - Date.now();
      const running = this.child.exitCode === null && this.child.signalCode === null;
      if (left <= 0 || !running) throw new Error(`no line ${pattern} in:\n${this.lines.join("\n")}`);
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, left);
        this.waiting.push(() => {
          clearTimeout(timer);
          wake();
        });
      });
    }
  }

  /** Read all of its memory that it may write, zero pages left out; it stands still meanwhile. */
  memory(): Buffer {
    const { pid } = this;
    const pages: Buffer[] = [];
    this.child.kill("SIGSTOP");
    // it stands when its state says so
    while (!/^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, "latin1")));
    const memory = openSync(`/proc/${pid}/mem`, "r");
    try {
      for (const line of readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")) {
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
        if (!from) continue;
        const at = Number.parseInt(from, 16);
        const page = Buffer.alloc(1 << 16);
        for (let offset = 0, end = Number.parseInt(to, 16) - at; offset < end; offset += page.length) {
          const length = readSync(memory, page, 0, Math.min(page.length, end - offset), at + offset);
          if (page.some((byte) => byte)) pages.push(Buffer.from(page.subarray(0, length)));
        }
      }
    } finally {
      closeSync(memory);
      this.child.kill("SIGCONT");
    }
    return Buffer.concat(pages);
  }

  /** Type a line at the prompt. */
  type(text: string): void {
    this.child.stdin?.write(`${text}\n`);
  }

  /** Send bytes to its port. */
  send(bytes: Buffer): void {
    this.child.stdin?.write(bytes);
  }

  /** End it, whatever it does. */
  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.ended;
  }
}
