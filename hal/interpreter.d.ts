// What Espruino 2v29 has as globals and Node has not, as far as this project uses it (espruino.com/Reference).
// Both sides of the checker know it: the firmware runs on it, the simulator offers it. Pins, watches, I2C and the like, for a
// product's own code, come from @types/espruino, on the firmware's side. It is of version 1.95 and knows most values as \`any\`:
// where both name a thing, this file counts (a test holds it to that).

/** What E.toString and E.toArrayBuffer join: text, numbers 0..255, byte buffers, arrays, repeated bytes. */
type Joinable =
  | string
  | number
  | ArrayBufferLike
  | ArrayBufferView
  | readonly Joinable[]
  | { data: number | string; count: number };

interface EspruinoE {
  /** Join the arguments into one binary string; flat where there is room for it. */
  toString(...parts: Joinable[]): string;
  /** View a string's bytes; on a chip by reference. */
  toArrayBuffer(text: string): ArrayBuffer;
  toUint8Array(...parts: Joinable[]): Uint8Array<ArrayBuffer>;
  /** Address of a flat string's or buffer's first byte; 0 where it is not flat. */
  getAddressOf(variable: any, flat: boolean): number;
  mapInPlace(
    from: ArrayBufferView,
    to: ArrayBufferView,
    map?: ArrayLike<number> | ((value: number) => number),
    bits?: number,
  ): void;
  sum(values: string | ArrayBuffer | ArrayBufferView): number;
  /** A fixed sequence on most boards: never a source of random bytes. */
  hwRand(): number;
  srand(seed: number): void;
  reboot(): void;
  enableWatchdog(seconds: number, isAutomatic?: boolean): void;
  kickWatchdog(): void;
  setConsole(device: object | string | null, options?: { force?: boolean }): void;
  on(event: "errorFlag", listener: (flags: string[]) => void): void;
  on(event: "init" | "kill", listener: () => void): void;
  getErrorFlags(): string[];
  openFile(path: string, mode: string): EspruinoFile | undefined;
  setFlags(flags: Record<string, boolean | number>): void;
  defrag(): void;
}

interface EspruinoFile {
  read(length: number): string | undefined;
  write(data: string): number;
  close(): void;
}

interface EspruinoStorage {
  read(name: string, offset?: number, length?: number): string | undefined;
  readJSON(name: string, noExceptions?: boolean): any;
  readArrayBuffer(name: string): ArrayBuffer | undefined;
  write(name: string, data: string | ArrayBuffer | Uint8Array, offset?: number, size?: number): boolean;
  erase(name: string): void;
  list(pattern?: RegExp): string[];
  getFree(): number;
  compact(): void;
  eraseAll(): void;
}

interface EspruinoAesOptions {
  iv?: string | ArrayBuffer | Uint8Array;
  mode?: string;
}

interface EspruinoCrypto {
  SHA1(data: Joinable): ArrayBuffer;
  SHA256(data: Joinable): ArrayBuffer;
  AES: {
    encrypt(data: Joinable, key: string, options?: EspruinoAesOptions): ArrayBuffer | undefined;
    decrypt(data: Joinable, key: string, options?: EspruinoAesOptions): ArrayBuffer | undefined;
  };
}

interface EspruinoSocket {
  write(data: string): boolean;
  end(data?: string): void;
  on(event: string, listener: (...args: never[]) => void): void;
  removeAllListeners(event?: string): void;
}

interface EspruinoNet {
  connect(options: { host: string; port: number }, onConnect?: () => void): EspruinoSocket;
}

interface EspruinoWifi {
  connect(
    ssid: string,
    options: { password?: string | undefined },
    callback: (error: string | null) => void,
  ): void;
  on(event: string, listener: (details?: any) => void): void;
  disconnect(callback?: () => void): void;
  stopAP(callback?: () => void): void;
  getIP(callback?: (error: string | null, info: { ip: string }) => void): { ip: string };
  setHostname(name: string): void;
  getStatus(): { station: string };
}

interface EspruinoEthernet {
  setIP(options?: { ip?: string; mac?: string; subnet?: string; gateway?: string; dns?: string }): boolean;
  getIP(): { ip: string; mac: string };
}

interface EspruinoWiznet {
  connect(spi: EspruinoSpi, cs: string): EspruinoEthernet;
}

interface EspruinoSpi {
  setup(options: { mosi: string; miso: string; sck: string; baud: number }): void;
}

interface EspruinoSerial {
  setup(baud: number, options?: object): void;
  on(event: string, listener: (...args: any[]) => void): void;
  write(data: string): void;
  print(text: string): void;
  setConsole(force?: boolean): void;
}

declare const E: EspruinoE;
declare var SPI1: EspruinoSpi;
declare var Serial1: EspruinoSerial;
declare var USB: EspruinoSerial;
declare var LoopbackA: EspruinoSerial;
declare var LoopbackB: EspruinoSerial;
declare const Modules: { addCached(name: string, code: string | object): void; removeAllCached(): void };

/** Where the slot that runs begins in the file `.slots`, bytes: set by the loader, not there without one. */
declare var slot: number;
/** The timer of an image that is not confirmed yet, and how often it still feeds the watchdog: set by the loader. */
declare var trial: any;
declare var feeds: number;

/** Write one line to the console. */
declare function print(...values: unknown[]): void;
/** Read or write 32 bits at an address; what is above 2^31 is a positive number. */
declare function peek32(address: number): number;
declare function peek32(address: number, count: number): Uint32Array<ArrayBuffer>;
declare function poke32(address: number, value: number | ArrayLike<number>): void;
declare function peek8(address: number): number;
/** Start anew from what is saved: on the Linux build, what a reboot is on a chip. */
declare function load(file?: string): void;
declare function getSerial(): string;
/** Of the nRF5x builds; volts. */
declare const NRF: { getBattery(): number; sleep(): void };
/** Seconds since 1970, or since boot where no one has set the clock. */
declare function getTime(): number;
