// Espruino's globals in the Node process itself, for unit tests of firmware sources under tsx: import this
// first. Node's own console, process and timers stay. `useBoard` puts another board's natives, registers and
// noise under the same globals; the drivers that a source imports stay those that tsconfig's paths name.
// `addObjectEvents` gives every object Espruino's on and emit, which the session's sockets need. Leaves out
// what machine.ts has: a context of its own.
import type { Board } from "../../boards/board";
import { board as linux } from "../../boards/linux";
import { addEventMethods } from "./events";
import { Runtime, type RuntimeOptions } from "./runtime";

const INSTALLED = [
  "E",
  "print",
  "getTime",
  "getSerial",
  "NRF",
  "require",
  "Modules",
  "SPI1",
  "load",
  "reset",
];

/** The board that is installed now. */
export let runtime: Runtime;

/** Install the globals of a board; the one before it is switched off. */
export function useBoard(board: Board, options: Partial<RuntimeOptions> = {}): Runtime {
  runtime?.powerOff();
  runtime = new Runtime({
    onPrint: (line) => process.stderr.write(`${line}\n`),
    ...options,
    board,
    realm: {
      ArrayBuffer,
      Uint8Array,
      Uint32Array,
      JSON,
      evaluateModule(text) {
        const exports = {};
        new Function("exports", "module", text).call(exports, exports, { exports });
        return exports;
      },
    },
  });
  const names = Object.keys(runtime.globals).filter(
    (name) => INSTALLED.includes(name) || /^(peek|poke)\d+$/.test(name) || runtime.build.ports.includes(name),
  );
  for (const name of names)
    Object.defineProperty(globalThis, name, {
      value: runtime.globals[name],
      configurable: true,
      writable: true,
    });
  return runtime;
}

/**
 * Give every object of this process on, emit and the like, as Espruino does; emitted events wait for the next
 * turn.
 */
export function addObjectEvents(): void {
  const methods = runtime.emitters.methods();
  for (const name of Object.keys(methods)) {
    Object.defineProperty(Object.prototype, name, {
      configurable: true,
      enumerable: false,
      get() {
        return (runtime.emitters.methods() as Record<string, unknown>)[name];
      },
      set(value) {
        Object.defineProperty(this, name, { value, writable: true, configurable: true, enumerable: true });
      },
    });
  }
}

export { addEventMethods };

useBoard(linux);
