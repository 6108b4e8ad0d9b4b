// A simulated board: boots what lies in its Storage (.boot0 to .boot3, then .bootrst or .bootcde) in a
// context of its own that holds what the board's Espruino offers and nothing of Node. Flash outlives boots
// and power cuts. For tests and for `npm start`. Leaves out how much memory and time things take on a chip.
import vm from "node:vm";
import { parse } from "acorn";
import type { Board } from "../../boards/board";
import { detokenise } from "../tokens";
import { Clock } from "./clock";
import { type Counters, newCounters } from "./counters";
import { makePoor } from "./language";
import { loneBundle } from "./lone_bundle";
import type { Noise, NoiseModel } from "./noise";
import { type Cut, flashOf, type NorFlash } from "./nor_flash";
import { Pins } from "./pins";
import { type Realm, Runtime, type RuntimeOptions } from "./runtime";
import { type OnThrow, Thrown } from "./thrown";
import type { Watchdog } from "./watchdog";

export interface MachineOptions {
  board: Board | Readonly<Record<string, unknown>>;
  /** The built bundle, started without a loader. Absent: nothing boots but what `files` holds. */
  bundle?: string;
  /** Further files of Storage, as binary strings. */
  files?: Record<string, string>;
  /** Behind the noise registers: real randomness, or a way to fail. */
  noise?: Noise | NoiseModel;
  /**
   * The network as the board finds it. `up`, the default: it carries from power-on and the radio is on.
   * False: only after the board has brought it up, as it really is. Faults: `refuse`, `unknownHosts`,
   * `failures`, `noChip`.
   */
  network?: RuntimeOptions["network"];
  /** What the chip runs from. */
  volts?: number;
  /** What takes longer than so many milliseconds of this machine's time hangs: the watchdog bites, where it is armed. */
  hangMs?: number;
  /** Changes the chip's models before anything runs: busy times, contention. */
  onPowerOn?(runtime: Runtime): void;
  /** Gets what a section throws, numbers aside, also what is caught. */
  onThrow?: OnThrow;
  /** One line of the console. */
  onPrint?(line: string): void;
  /** One that is printed while the port is not the interpreter's. */
  onHidden?(line: string): void;
  /** Bytes of TCP as the board sends and receives them. */
  onWire?(direction: "out" | "in", bytes: Buffer): void;
}

/** What the reset cause register says after E.reboot(): software reset. */
const SOFTWARE_RESET: Record<string, number> = { esp32: 12, esp32c3: 12, esp32s3: 12, nrf52832: 4 };
/** What it says when the watchdog has bitten: ESP-IDF's ends in a panic, which resets by software. */
const WATCHDOG_RESET: Record<string, number> = { esp32: 12, esp32c3: 12, esp32s3: 12, nrf52832: 2 };

const scripts = new Map<string, string>();
/** Texts of sections with their tokens written out: the same few at every event; so many are kept. */
const plainTexts = new Map<string, string>();
const PLAIN_TEXTS = 500;

function plain(code: string): string {
  let text = plainTexts.get(code);
  if (text === undefined) {
    text = detokenise(code);
    if (plainTexts.size === PLAIN_TEXTS) plainTexts.clear();
    plainTexts.set(code, text);
  }
  return text;
}

/**
 * Give a program the interpreter's scope: what it declares at its top is global there, may be declared again, and stays when
 * it was evaluated, where JavaScript's own eval keeps `let` to itself.
 */
function asRootProgram(code: string): string {
  let script = scripts.get(code);
  if (script === undefined) {
    script = code;
    const { body } = parse(code, { ecmaVersion: "latest" });
    for (const { type, start, ...node } of body as { type: string; start: number; kind?: string }[])
      if (type === "VariableDeclaration")
        script =
          script.slice(0, start) +
          "var".padEnd(node.kind?.length ?? 0) +
          script.slice(start + (node.kind?.length ?? 0));
    scripts.set(code, script);
  }
  return script;
}

/** Have `eval` and `Function` of the fresh context whose global object this is take what the build makes of a program. */
function takeTokens(world: typeof globalThis, thrown?: Thrown): void {
  const { eval: evaluate, Function: construct } = world;
  const program = (code: string) => asRootProgram(plain(code));
  world.eval = (code) =>
    evaluate(typeof code !== "string" ? code : (thrown?.named(code, program(code), false) ?? program(code)));
  // the texts are an array of that poor context
  const make = (texts: ArrayLike<string>) => {
    const [code = "", ...names] = Array.from(texts).reverse();
    const body = plain(String(code));
    if (!thrown) return construct(...names.reverse(), body);
    return thrown.telling(construct(...names.reverse(), thrown.named(code, body, true)) as () => unknown);
  };
  world.Function = new Proxy(construct, {
    apply: (_target, _this, texts) => make(texts),
    construct: (_target, texts) => make(texts),
  });
}

export class Machine {
  readonly board: Board;
  /** Runs while the power is on. */
  runtime!: Runtime;
  private context!: vm.Context;
  /** Storage, and the journal behind it; for power cuts. */
  readonly flash: NorFlash;
  /** Its time, which goes on without power. */
  readonly clock = new Clock();
  /** Its pins, and what hangs on them. */
  readonly pins: Pins;
  private counted: Counters = newCounters();
  private shortNames: Record<string, string> = {};
  /** Whether it has power. */
  isOn = false;
  /** What hung, with no watchdog that bit: it hangs for ever. */
  hangs = false;

  constructor(private options: MachineOptions) {
    this.board = options.board as Board;
    this.flash = flashOf(this.board);
    this.pins = new Pins(this.board, () => this.clock.now());
    this.powerOn();
    this.write({ ...options.files, ...(options.bundle === undefined ? {} : loneBundle(options.bundle)) });
    this.powerOff();
  }

  /** Power on and run what Storage holds. Errors are printed, as the interpreter does. */
  boot(resetCause?: number, watchdog?: Watchdog): void {
    this.powerOff();
    this.powerOn(resetCause, watchdog);
    if (!this.runtime.storage.isValid) {
      this.options.onPrint?.("Storage is corrupt.");
      this.runtime.storage.eraseAll();
    }
    for (const name of [".boot0", ".boot1", ".boot2", ".boot3"]) this.bootFile(name);
    this.bootFile(this.runtime.storage.read(".bootrst") === undefined ? ".bootcde" : ".bootrst");
  }

  /** Cut the power: timers stop, sockets close, Storage stays. */
  powerOff(): void {
    if (!this.isOn) return;
    this.collectCompressions();
    this.isOn = false;
    this.runtime.powerOff();
  }

  /** Cut the power in the flash operations to come, and count them; undefined: count them only. */
  cutPower(cut: Cut | undefined): void {
    this.flash.cut(cut, () => this.powerOff());
  }

  /** Make so much time pass at once; what the board does in it is done when this resolves, but for what comes from a network. */
  later(milliseconds: number): Promise<void> {
    return this.clock.later(milliseconds);
  }

  /** Evaluate code in the board's global scope; what takes longer than `timeout`, milliseconds, is broken off with an Error. */
  run(code: string, timeout?: number): unknown {
    return vm.runInContext(code, this.context, { filename: "run", timeout });
  }

  /** Type on a serial port, the console's where none is named. */
  type(bytes: string, port: string = this.board.consolePort): void {
    this.runtime.receive(port, bytes);
  }

  /** Read a file of Storage. */
  read(name: string): string | undefined {
    return this.runtime.storage.read(name);
  }

  /** Write files into Storage. */
  write(files: Record<string, string>): void {
    for (const [name, data] of Object.entries(files)) this.runtime.storage.write(name, data);
  }

  /** All of Storage, as binary strings. */
  get files(): Record<string, string> {
    return Object.fromEntries(this.runtime.storage.list().map((name) => [name, this.read(name) as string]));
  }

  /** What the board has done since it was made, over all boots. */
  get counters(): Counters {
    this.collectCompressions();
    return this.counted;
  }

  /** Count from 0 again. */
  resetCounters(): void {
    this.collectCompressions();
    Object.assign(this.counted, newCounters());
  }

  /** Learn the bundle's names (its map of names, short to source), for `name` and `value`. */
  names(names: { variables: Record<string, string> } | string): void {
    const { variables } =
      typeof names === "string" ? (JSON.parse(names) as { variables: Record<string, string> }) : names;
    this.shortNames = Object.fromEntries(Object.entries(variables).map(([short, source]) => [source, short]));
  }

  /** Read a top-level variable of the bundle by its name in the source. */
  value(source: string): unknown {
    return this.run(this.shortNames[source] ?? source);
  }

  /** Give such a variable another value. */
  setValue(source: string, value: number): void {
    this.run(`${this.shortNames[source] ?? source}=${value}`);
  }

  private powerOn(resetCause?: number, watchdog?: Watchdog): void {
    this.flash.isOn = true;
    const context = vm.createContext({}, { name: this.board.name });
    const evaluate = (code: string): any => vm.runInContext(code, context);
    makePoor(evaluate("globalThis"));
    const thrown = this.options.onThrow && new Thrown(this.options.onThrow);
    takeTokens(evaluate("globalThis"), thrown);
    const realm: Realm = {
      ...evaluate("({ArrayBuffer, Uint8Array, Uint32Array, JSON})"),
      evaluateModule: evaluate(
        `(function (text) {
          const exports = {};
          (0, eval)("(function (exports, module) {" + text + "\\n})").call(exports, exports, { exports });
          return exports;
        })`,
      ),
    };
    const { noise, network, onPrint, onHidden, onWire } = this.options;
    const runtime = new Runtime({
      board: this.board,
      realm,
      flash: this.flash,
      pins: this.pins,
      counters: this.counted,
      clock: this.clock,
      noise,
      network,
      resetCause,
      volts: this.options.volts,
      onPrint,
      onHidden,
      onWire,
      onUncaught: thrown?.take,
      watchdog,
      onRestart: () => this.restart(SOFTWARE_RESET, this.runtime.watchdog),
      onWatchdog: () => this.restart(WATCHDOG_RESET),
    });
    if (this.options.hangMs) runtime.loop.within = (task) => this.within(task);
    for (const [name, value] of Object.entries(runtime.globals)) {
      Object.defineProperty(context, name, { value, writable: true, configurable: true, enumerable: false });
    }
    // what the interpreter has is there again when it was deleted: only what stands of it on the heap goes
    for (const name of ["JSON", "Int32Array", "process"])
      if (evaluate(`typeof ${name}`) !== "undefined")
        Object.defineProperty(context, name, { value: evaluate(name), writable: true, configurable: false });
    context.global = evaluate("globalThis");
    const addMethods = evaluate(
      `(function (methods) {
        for (const name of Object.keys(methods)) {
          const value = methods[name];
          Object.defineProperty(Object.prototype, name, { value, writable: true, configurable: true });
        }
      })`,
    );
    addMethods(runtime.emitters.methods());
    this.context = context;
    this.runtime = runtime;
    this.isOn = true;
    this.options.onPowerOn?.(runtime);
  }

  private bootFile(name: string): void {
    const code = this.runtime.storage.read(name);
    if (code === undefined || !this.isOn) return;
    try {
      const script = new vm.Script(asRootProgram(plain(code)), { filename: name });
      this.within(() => script.runInContext(this.context));
    } catch (error) {
      this.runtime.uncaught(error);
    }
  }

  /** Run something on the board, broken off where it hangs. */
  private within(task: () => void): void {
    const timeout = this.options.hangMs;
    if (!timeout) return task();
    Object.defineProperty(this.context, "__task__", { value: task, configurable: true });
    try {
      vm.runInContext("__task__()", this.context, { timeout });
    } catch (error) {
      if ((error as { code?: string })?.code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
      if (this.runtime.watchdog.bite()) return;
      this.hangs = true;
      this.powerOff();
    }
  }

  /** A reset: what runs goes on to its end, which on a chip it would not. */
  private restart(cause: Record<string, number>, watchdog?: Watchdog): void {
    const { runtime } = this;
    runtime.powerOff();
    setImmediate(() => {
      if (this.isOn && this.runtime === runtime) this.boot(cause[runtime.build.chip], watchdog);
    });
  }

  /** Add what counted_digest.ts, a driver for tests, has counted: [SHA-1, SHA-256] compressions. */
  private collectCompressions(): void {
    const counts = this.isOn && (this.context.compressions as number[] | undefined);
    if (!counts) return;
    this.counted.sha1Compressions += counts[0];
    this.counted.sha256Compressions += counts[1];
    counts[0] = counts[1] = 0;
  }
}
