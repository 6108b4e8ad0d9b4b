// A board on a bench that has none: the simulator's machine (hal/simulator/machine.ts) behind a line of 115,200 baud,
// reached over TCP; socat makes a pseudo-terminal of it. As long as the console is the interpreter's, its prompt answers
// here as Espruino's does (echo, DLE, open brackets, Ctrl-C; compared with the real one in prompt.engine.test.ts);
// once the firmware has taken the port, every byte goes to it. Faults: no answer, another board, noise, unplugging.
// Leaves out what the interpreter's line editor can do beyond backspace and Ctrl-C.
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Board } from "../../../boards/board";
import { Machine, type MachineOptions } from "../../../hal/simulator/machine";
import { BITS_PER_BYTE, LINE_RATE } from "../bench/port";

export interface BoardFaults {
  /** The board is dead: nothing is ever answered. */
  silent?: boolean;
  /** process.env.BOARD says this. */
  claims?: string;
  /** Of this many bytes, on average, one has a bit flipped, in each direction; absent: a clean line. */
  noiseEvery?: number;
  /** Where the noise begins its course, so that a test can be repeated. */
  noiseSeed?: number;
  /** Asked before each byte that the board receives or sends, with the count of them so far: true pulls the plug. */
  unplugAt?(count: number, board: SimulatedBoard): boolean;
}

export interface SimulatedBoardOptions {
  board: Board;
  /** process.env.SERIAL. */
  chip: string;
  /** Storage files that are there from the start. */
  files?: Record<string, string>;
  faults?: BoardFaults;
  /** Bits per second; LINE_RATE where absent. */
  lineRate?: number;
  machine?: Partial<MachineOptions>;
}

/** Every so often the line delivers what has come over it, milliseconds. */
const TICK_MS = 4;
/** Bytes that the line holds before the sender is held back. */
const LINE_BUFFER = 2048;
/** A line that noise has made endless is broken off after so many milliseconds, as a person does with Ctrl-C. */
const ENDLESS_MS = 5000;

/** One direction of the line: bytes come out at the line's rate. */
class Wire {
  private queue = Buffer.alloc(0);
  private timer: NodeJS.Timeout | undefined;
  private paidUntil = 0;

  constructor(
    private readonly bytesPerMs: number,
    private readonly deliver: (bytes: Buffer) => void,
  ) {}

  get waiting(): number {
    return this.queue.length;
  }

  put(bytes: Buffer): void {
    this.queue = Buffer.concat([this.queue, bytes]);
    if (this.timer || !this.queue.length) return;
    this.paidUntil = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  clear(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.queue = Buffer.alloc(0);
  }

  private tick(): void {
    const count = Math.min(
      this.queue.length,
      Math.floor((performance.now() - this.paidUntil) * this.bytesPerMs),
    );
    this.paidUntil += count / this.bytesPerMs;
    const bytes = this.queue.subarray(0, count);
    this.queue = this.queue.subarray(count);
    if (count) this.deliver(bytes);
    if (!this.queue.length) this.clear();
  }
}

/** A simulated board with its port. */
export class SimulatedBoard {
  readonly machine: Machine;
  /** Every byte that the board has sent, for tests that look for keys in it. */
  sent = "";
  faults: BoardFaults;
  private server: Server;
  private socket: Socket | undefined;
  private toBoard: Wire;
  private toBench: Wire;
  private prompt = new Prompt(
    (text) => this.send(text),
    (code) => this.evaluate(code),
  );
  private evaluating = false;
  private port = 0;
  private count = 0;
  private isOn = false;
  private unplugged = Promise.resolve();
  private noise: (() => number) | undefined;

  constructor(options: SimulatedBoardOptions) {
    this.faults = options.faults ?? {};
    const bytesPerMs = (options.lineRate ?? LINE_RATE) / BITS_PER_BYTE / 1000;
    this.toBoard = new Wire(bytesPerMs, (bytes) => this.receive(bytes));
    this.toBench = new Wire(bytesPerMs, (bytes) => this.socket?.write(this.hit(bytes)));
    const { board, chip, files } = options;
    this.machine = new Machine({
      board,
      files,
      ...options.machine,
      onPowerOn: (runtime) => {
        const { env } = runtime.globals.process as { env: Record<string, unknown> };
        env.SERIAL = chip;
        env.BOARD = this.faults.claims ?? env.BOARD;
        this.prompt?.reset();
        options.machine?.onPowerOn?.(runtime);
      },
      onPrint: (line) => this.print(line),
    });
    this.server = createServer((socket) => this.plugIn(socket));
  }

  /** Power it and listen; returns the port's name for the bench. */
  async start(): Promise<string> {
    await this.unplugged;
    this.powerOn();
    await new Promise<void>((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return `tcp://127.0.0.1:${this.port}`;
  }

  /** Cut power and line at once, as pulling the plug does. `start` plugs it in again, at the same place. */
  async unplug(): Promise<void> {
    if (!this.isOn) return;
    this.isOn = false;
    this.machine.powerOff();
    this.toBoard.clear();
    this.toBench.clear();
    this.prompt.reset();
    this.socket?.destroy();
    this.unplugged = new Promise((resolve) => this.server.close(() => resolve()));
    await this.unplugged;
  }

  /** Bytes at the board's UART at once, as from someone who sits there. */
  type(bytes: string): void {
    if (this.hasPrompt()) for (const character of bytes) this.prompt.input(character);
    else this.machine.type(bytes);
  }

  private powerOn(): void {
    this.isOn = true;
    this.machine.boot();
  }

  private plugIn(socket: Socket): void {
    this.socket?.destroy();
    this.socket = socket.setNoDelay();
    socket.on("data", (bytes) => {
      this.toBoard.put(bytes);
      if (this.toBoard.waiting > LINE_BUFFER) socket.pause();
    });
    socket.on("error", () => {});
  }

  /** Bytes of the line arrive at the board's UART. */
  private receive(bytes: Buffer): void {
    if (this.toBoard.waiting < LINE_BUFFER) this.socket?.resume();
    if (this.faults.silent) return;
    for (const byte of this.hit(bytes)) {
      if (this.pulled()) return;
      const character = String.fromCharCode(byte);
      if (this.hasPrompt()) this.prompt.input(character);
      else this.machine.type(character);
    }
  }

  private hasPrompt(): boolean {
    return this.machine.run("E.getConsole()") === this.machine.board.consolePort;
  }

  private evaluate(code: string): string | undefined {
    this.evaluating = true;
    try {
      const value = this.machine.run(code, ENDLESS_MS);
      return value === undefined ? "undefined" : JSON.stringify(value);
    } catch (error) {
      const { name, message, code: fault } = error as NodeJS.ErrnoException;
      if (fault === "ERR_SCRIPT_EXECUTION_TIMEOUT" && this.machine.runtime.watchdog.bite()) return undefined;
      if (this.isOn) this.send(`Uncaught ${name}: ${message}\r\n    at REPL (:1:1)\r\n`);
      return undefined;
    } finally {
      this.evaluating = false;
    }
  }

  /** A line of the machine's console, or of the firmware's own port. */
  private print(line: string): void {
    if (!this.isOn && !this.socket) return;
    if (this.evaluating || !this.hasPrompt()) this.send(`${line}\r\n`);
    else this.send(`\r\x1b[J${line}\r\n>`);
  }

  private send(text: string): void {
    if (this.faults.silent) return;
    this.prompt?.printed();
    this.sent += text;
    for (let i = 0; i < text.length; i++) if (this.pulled()) return;
    this.toBench.put(Buffer.from(text, "latin1"));
  }

  private pulled(): boolean {
    if (!this.isOn) return true;
    if (!this.faults.unplugAt?.(this.count++, this)) return false;
    void this.unplug();
    return true;
  }

  private hit(bytes: Buffer): Buffer {
    const { noiseEvery, noiseSeed } = this.faults;
    if (!noiseEvery) return bytes;
    this.noise ??= course(noiseSeed ?? 1);
    const random = this.noise;
    return Buffer.from(
      bytes.map((byte) => (random() * noiseEvery < 1 ? byte ^ (1 << (random() * 8)) : byte)),
    );
  }
}

/** Numbers from 0 to 1 that look random and come again with the same seed (xorshift32). */
function course(seed: number): () => number {
  let state = seed * 2654435761 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The interpreter's line editor and prompt. */
class Prompt {
  private line = "";
  private echo = true;
  private escaped = false;
  private hasPrinted = false;

  constructor(
    private readonly send: (text: string) => void,
    private readonly evaluate: (code: string) => string | undefined,
  ) {}

  reset(): void {
    this.line = "";
    this.echo = true;
    this.escaped = false;
  }

  /** Something was printed while a line is evaluated. */
  printed(): void {
    this.hasPrinted = true;
  }

  input(character: string): void {
    const { escaped } = this;
    this.escaped = character === "\x1b";
    if (character === "\x03") return this.breakOff();
    if (character === "\x10" && this.line === "") this.echo = false;
    else if (character === "\n" && escaped) this.line += "\n";
    else if (character === "\n" || character === "\r") this.enter();
    else if (character === "\b" || character === "\x7f") {
      if (this.line) this.show("\b \b");
      this.line = this.line.slice(0, -1);
    } else if (character >= " " || character === "\t") {
      this.line += character;
      this.show(character);
    }
  }

  private show(text: string): void {
    if (this.echo) this.send(text);
  }

  private breakOff(): void {
    this.reset();
    this.send("\r\x1b[J>");
  }

  private enter(): void {
    if (openBrackets(this.line) > 0) {
      this.show("\r\n:");
      this.line += "\n";
      return;
    }
    const { line, echo } = this;
    this.show("\r\n");
    this.line = "";
    this.echo = true;
    this.hasPrinted = false;
    const value = line.trim() ? this.evaluate(line) : undefined;
    if (echo && value !== undefined) this.send(`=${value}\r\n`);
    if (echo || this.hasPrinted) this.send(">");
  }
}

/** Count brackets that are still open, outside strings, as the interpreter does to know whether a line is whole. */
function openBrackets(line: string): number {
  const code = line.replace(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/g, "");
  return (code.match(/[([{]/g)?.length ?? 0) - (code.match(/[)\]}]/g)?.length ?? 0);
}
