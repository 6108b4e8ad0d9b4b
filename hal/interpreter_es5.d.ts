// The firmware's side of the checker alone: what Node types in its own way. Over lib.es5, so that Map, Symbol(), Promise,
// Math.imul, Array.from and all that Espruino lacks are unknown names; and what it has beyond ES5.

declare function require(name: "Storage"): EspruinoStorage;
declare function require(name: "crypto"): EspruinoCrypto;
declare function require(name: "net"): EspruinoNet;
declare function require(name: "Wifi"): EspruinoWifi;
declare function require(name: "WIZnet"): EspruinoWiznet;
declare function require(name: "fs"): { readFileSync(name: string): string; readFile(name: string): string };
declare function require(name: "ESP8266"): any;
declare function require(name: "Flash"): any;
declare function require(name: "heatshrink"): { decompress(data: Joinable): ArrayBuffer };
declare function require(name: "TelnetServer"): { setOptions(options: { mode: "on" | "off" }): void };

/** What is given beyond the time is passed to the callback; a text is evaluated. */
declare function setTimeout(
  callback: ((...values: any[]) => void) | string,
  milliseconds: number,
  ...values: unknown[]
): number;
declare function setInterval(
  callback: (...values: any[]) => void,
  milliseconds: number,
  ...values: unknown[]
): number;
declare function clearTimeout(timer: number | undefined): void;
declare function clearInterval(timer: number | undefined): void;

declare const process: {
  memory(collect?: boolean): { free: number; usage: number; total: number };
  env: { VERSION: string; BOARD: string; MODULES: string };
  version: string;
  on(event: string, listener: (error: unknown) => void): void;
};
/** Named in the type of import(), which a section is; it cannot be made or called. */
interface PromiseConstructor {
  readonly none: never;
}
declare const Promise: PromiseConstructor;

interface String {
  repeat(count: number): string;
  startsWith(text: string, position?: number): boolean;
  endsWith(text: string, length?: number): boolean;
  includes(text: string, position?: number): boolean;
  padStart(length: number, fill?: string): string;
  padEnd(length: number, fill?: string): string;
}

declare function atob(text: string): string;
declare function btoa(bytes: string): string;
declare const console: { log(...values: unknown[]): void };
declare const global: any;

/** `for (x of ...)` over arrays, typed arrays and strings; a Symbol itself Espruino has not. */
interface SymbolConstructor {
  readonly iterator: unique symbol;
}
declare const Symbol: SymbolConstructor;
interface IteratorYieldResult<T> {
  done?: false;
  value: T;
}
interface IteratorReturnResult<T> {
  done: true;
  value: T;
}
type IteratorResult<T, TReturn = any> = IteratorYieldResult<T> | IteratorReturnResult<TReturn>;
interface Iterator<T, TReturn = any, TNext = any> {
  next(...values: [] | [TNext]): IteratorResult<T, TReturn>;
}
interface Iterable<T, TReturn = any, TNext = any> {
  [Symbol.iterator](): Iterator<T, TReturn, TNext>;
}
interface IterableIterator<T, TReturn = any, TNext = any> extends Iterator<T, TReturn, TNext> {
  [Symbol.iterator](): IterableIterator<T, TReturn, TNext>;
}
interface Array<T> extends Iterable<T> {}
interface ReadonlyArray<T> extends Iterable<T> {}
interface String extends Iterable<string> {}
interface Uint8Array<TArrayBuffer extends ArrayBufferLike> extends Iterable<number> {}
interface Int32Array<TArrayBuffer extends ArrayBufferLike> extends Iterable<number> {}
interface Uint32Array<TArrayBuffer extends ArrayBufferLike> extends Iterable<number> {}
