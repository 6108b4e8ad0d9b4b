// The hardware abstraction: what the firmware may ask of a board. Types, and the few numbers that both sides
// of the border speak; no code. A driver is one file in hal/espruino that exports exactly the members of its
// interface; the board's data names the file, the build resolves `hal:aes128` and the others to it,
// hal.test.ts holds every driver to the contract. Leaves out what no module asks for yet.
import type { Bytes } from "../firmware/bytes";

/** Modes of `aes`. */
export const ECB_ENCRYPT = 0;
export const CBC_ENCRYPT = 1;
export const CBC_DECRYPT = 2;

/** Bytes of a long text that go through `aes` at a time: its result wants one run of free variables, here 7. */
export const AES_PIECE = 48;

/**
 * Longest time that the interpreter may be busy at a stretch, seconds: then the chip's watchdog starts it anew. The longest that
 * it has to do is the digest of two images without a native hash, 508 compressions of up to 0.3 s.
 */
export const WATCHDOG_S = 300;

/** What a network that carries says; below 0, as no code is. */
export const NETWORK_UP = -9;

/** What drivers throw, by the numbers of firmware/tls/alert.ts; hal.test.ts compares the two. */
export const NOISE_DEAD = 3;
export const NO_NETWORK = 5;
export const AES_FAILED = 9;
export const OUT_OF_MEMORY = 12;
export const NAME_UNKNOWN = 14;

/** `hal:aes128`: AES with a 128-bit key (FIPS 197) over whole data, without padding (SP 800-38A). */
export interface Aes128 {
  /** Whether CBC_DECRYPT works; where it is false the suites in CBC mode fold away. */
  AES_CAN_DECRYPT: boolean;
  /** Whether a call costs what its arguments cost, however many blocks they hold. */
  AES_BULK: boolean;
  /**
   * Encrypt or decrypt `data`, joined a multiple of 16 bytes, with a `key` of 16; `iv` of the CBC modes is
   * 16 bytes; absent, it is zeros.
   * Returns a fresh buffer of the data's length. Throws AES_FAILED: CBC over a bad length, a mode that the
   * chip has not, no result; a native, which says nothing of why, OUT_OF_MEMORY, for with whole blocks that is why. ECB over a
   * bad length is the caller's mistake.
   */
  aes(mode: number, key: Bytes, data: Joinable, iv?: Bytes): ArrayBuffer;
}

/** `hal:digest`: SHA-1 (length 20) and SHA-256 (length 32), FIPS 180-4. */
export interface Digest {
  /** Whether a state is a chaining value of a fixed size. False: it is all of the message. */
  RUNNING: boolean;
  /** Add `data` to a state; the first state is "". The old state stays good. */
  update(length: number, state: Bytes, data: Bytes): Bytes;
  /**
   * Compute the digest of all that a state has seen, `length` bytes. The state stays good. Where it is all of the message,
   * the message in parts will do.
   */
  finish(length: number, state: Joinable): ArrayBuffer;
}

/** `hal:random_source`: the board's true noise, raw; health_tests.ts judges it. */
export interface RandomSource {
  /** Read `length` bytes of raw noise, a multiple of 4. Throws NOISE_DEAD where none come in a bounded wait. */
  noise(length: number): Bytes;
}

/** What a TCP socket of Espruino's `net` can do. `write` always returns false, the queue has no limit. */
export interface Socket {
  write(data: Bytes): boolean;
  end(data?: Bytes): void;
  on(event: string, listener: (...args: never[]) => void): void;
  removeAllListeners(): void;
}

/** Where a server is: a name or an IPv4 address. */
export interface Server {
  host: string;
  port: number;
}

/** `hal:tcp_socket`. */
export interface TcpSocket {
  /**
   * Open a TCP connection; of `server` nothing else is looked at. `onEvent` is called with the socket when it is open, and again each time when all that was written
   * is on its way; with 1..536 bytes at a time, and once in any case with a boolean, whether there was an error: it is closed. Never before
   * this call returns. Returns the socket, or undefined where the runtime could not make one: then only true comes.
   * Throws NAME_UNKNOWN where DNS does not know the host.
   */
  tcpConnect(server: Server, onEvent: (event?: unknown) => void): Socket | undefined;
}

/** The file `conf` in Storage, as far as the network needs it. */
export interface NetworkSettings {
  ssid?: string;
  pass?: string;
}

/** `hal:network`. */
export interface Network {
  /**
   * Bring the network up: `onEvent(NETWORK_UP)` when it carries, `onEvent(NO_NETWORK)` when it does not after a bounded
   * number of tries. One of the two comes, never before this call returns.
   */
  networkUp(settings: NetworkSettings, onEvent: (event: number) => void): void;
  /** Tell the board's address, "" where it has none or the operating system knows it. */
  networkAddress(): string;
}

/** `hal:flash`: files in Storage. Names of at most 28 characters; a longer one is cut without a word. */
export interface Flash {
  /** Read a file, or `length` bytes of it from `offset`; undefined where there is none. Stays in flash. */
  read(name: string, offset?: number, length?: number): Bytes | undefined;
  /**
   * Write a file, or into erased bytes of one at `offset`; `size` preallocates. Throws where it does not fit,
   * where bytes are written already, where it would be empty.
   */
  write(name: string, data: Bytes | ArrayBuffer | Uint8Array, offset?: number, size?: number): boolean;
  erase(name: string): void;
}

/** `hal:clock`: setTimeout and clearTimeout are the runtime's own. */
export interface Clock {
  /** Tell the time since boot or an earlier moment, milliseconds, never going back. */
  now(): number;
}

/** `hal:system`. */
export interface System {
  /** Tell why the chip started: its reset register as it stands, 0 where there is none. */
  resetCause(): number;
  /**
   * Arm the chip's watchdog: it resets the chip when it was not fed for WATCHDOG_S. The interpreter's idle loop feeds it, or, where
   * `isFedByIdling` is false, TRIAL alone.
   */
  watchdog(isFedByIdling: boolean): void;
  /** Shut the other ways to the prompt, which the interpreter opens by itself: Telnet, Bluetooth. */
  shutOtherPrompts(): void;
  /** Start the chip anew. Does not return on a chip. */
  restart(): void;
  /**
   * Source that feeds the watchdog, but one time less than the global `feeds` says, and then starts the chip anew. Source: a timer
   * that has a text for its callback holds no scope.
   */
  TRIAL: string;
  /** Whether it can measure what it runs from. */
  HAS_BATTERY: boolean;
  /** Measure it: millivolts, 0 where it cannot. */
  battery(): number;
}

/** `hal:serial`: the console's port, taken from the interpreter's prompt. */
export interface Serial {
  /** Take the port: from here on no byte received, Ctrl-C neither, reaches the prompt. */
  serialTake(): void;
  /** Listen to a port that is taken: every byte received comes to `onData`. */
  serialOpen(onData: (bytes: Bytes) => void): void;
  /** Tell whether somebody listens; the interpreter removes a listener that ran out of memory. What comes then waits. */
  serialIsOpen(): boolean;
  serialWrite(text: string): void;
}
