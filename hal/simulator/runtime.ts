// The globals of Espruino on one board, made for a realm: a machine's vm context, or Node itself for unit
// tests. Holds the board's flash, buses, sockets and timers. What a build of Espruino has not is not there
// (builds.ts). Leaves out graphics, Bluetooth, and how much memory things take: process.memory() tells
// no usage.
import type { Board } from "../../boards/board";
import { BUILDS, type EspruinoBuild } from "../../boards/builds";
import { unpack } from "../../scripts/lib/ota/heatshrink";
import { Bus } from "./bus";
import { isBuffer, toBytes } from "./bytes";
import { Clock } from "./clock";
import { type Counters, newCounters } from "./counters";
import { Esp32Aes } from "./esp32_aes";
import { addEventMethods, Emitters, EventLoop } from "./events";
import { mapInPlace } from "./map_in_place";
import { nativeCrypto } from "./native_crypto";
import { Net, type NetFaults } from "./net";
import { Link, type NetworkFaults } from "./networks";
import { fixedCourse, type Noise, type NoiseModel, noiseOf } from "./noise";
import { flashOf, modelledAreas, type NorFlash } from "./nor_flash";
import { NrfEcb } from "./nrf_ecb";
import { Pins } from "./pins";
import { espRandom, NrfRng } from "./random_registers";
import { Storage } from "./storage";
import { Watchdog } from "./watchdog";

/** The constructors of the world in which the board's code runs. */
export interface Realm {
  ArrayBuffer: ArrayBufferConstructor;
  Uint8Array: Uint8ArrayConstructor;
  Uint32Array: Uint32ArrayConstructor;
  JSON: typeof JSON;
  /** Evaluate text as a module of Espruino's: `exports` is in scope, returns it. */
  evaluateModule(text: string): object;
}

export interface RuntimeOptions {
  board: Board;
  realm: Realm;
  /** Behind the noise registers and /dev/urandom. */
  noise?: Noise | NoiseModel;
  /** The network as it is found; `up`: it carries from power-on, and the radio is on. */
  network?: NetFaults & NetworkFaults & { up?: boolean };
  /** What hangs on its pins; nothing where absent. */
  pins?: Pins;
  /** Kept over boots. */
  flash?: NorFlash;
  counters?: Counters;
  /** What time goes by; its own where absent. */
  clock?: Clock;
  /** Value of the reset cause register; the chip's own of a power-on where absent. */
  resetCause?: number;
  /** What the chip runs from; 3 where absent. */
  volts?: number;
  onPrint?(line: string): void;
  /** What is printed while nobody can see it: the port is not the interpreter's console. */
  onHidden?(line: string): void;
  onWire?(direction: "out" | "in", bytes: Buffer): void;
  /** Gets what nobody has caught, also where the program listens for it. */
  onUncaught?(error: unknown): void;
  onRestart?(): void;
  /** Its watchdog bites. */
  onWatchdog?(): void;
  /** The watchdog before a software reset. */
  watchdog?: Watchdog;
}

/** Bytes over which the interpreter's arrays lie in one piece, so that a peripheral can point at them. */
const FLAT_OVER = 16;

/** The event of `process` for what nobody has caught. */
const UNCAUGHT = "uncaughtException";

export class Runtime {
  private readonly processObject = {};
  private isTelling = false;
  readonly globals: Record<string, unknown> = {};
  readonly build: EspruinoBuild;
  readonly counters: Counters;
  readonly loop: EventLoop;
  readonly emitters: Emitters;
  readonly link: Link;
  readonly storage: Storage;
  readonly bus: Bus;
  readonly pins: Pins;
  /** The register models of the chip, for tests that make them busy or contended. */
  readonly esp32Aes: Esp32Aes;
  readonly nrfEcb: NrfEcb;
  readonly nrfRng: NrfRng;
  readonly watchdog: Watchdog;
  /** Ways to the prompt besides the port that Espruino opens by itself. */
  readonly openPrompts = new Set<"telnet" | "bluetooth">();

  private noise: Noise;
  private net: Net;
  private console: string;
  private ports: Record<string, object> = {};
  private readonly clock: Clock;
  private readonly started: number;
  private partialLine = "";

  constructor(private options: RuntimeOptions) {
    const { board, network = {} } = options;
    const build = BUILDS[board.espruino];
    if (!build) throw new Error(`simulator: nothing known of Espruino's build ${board.espruino}`);
    this.build = build;
    if (build.libraries.includes("TelnetServer")) this.openPrompts.add("telnet");
    if (build.chip === "nrf52832") this.openPrompts.add("bluetooth");
    this.counters = options.counters ?? newCounters();
    this.noise = noiseOf(options.noise);
    this.clock = options.clock ?? new Clock();
    this.started = this.clock.now();
    this.loop = new EventLoop((error) => this.uncaught(error), this.clock);
    this.emitters = new Emitters(this.loop);
    const isKept = build.chip === "nrf52832";
    this.watchdog = new Watchdog(this.loop, isKept, () => options.onWatchdog?.(), options.watchdog);
    this.link = new Link(this.loop, this.emitters, network, network.up ?? true, () => this.net.closeAll());
    const { loop, emitters, counters, link } = this;
    this.net = new Net({
      loop,
      emitters,
      counters,
      chunk: board.socketChunk,
      faults: network,
      online: () => link.up || board.network === "no_network",
      onWire: (direction, bytes) => options.onWire?.(direction, bytes),
    });
    const flash = options.flash ?? flashOf(board);
    const arrayBuffer = (bytes: Buffer) => this.arrayBuffer(bytes);
    // files are aligned to 4 bytes at least (jsflash)
    const realm = { arrayBuffer, parse: (text: string) => options.realm.JSON.parse(text) };
    const storageLength = board.flashMap.find(({ name }) => name === "storage")?.length;
    this.storage = new Storage(flash, Math.max(4, board.writeLength), realm, storageLength);
    this.console = board.consolePort;

    this.pins = options.pins ?? new Pins(board, () => this.clock.now());
    this.pins.powerOn(loop);
    this.bus = new Bus(build.ramStart);
    this.esp32Aes = new Esp32Aes(counters);
    this.nrfEcb = new NrfEcb(this.bus, counters);
    this.nrfRng = new NrfRng(this.noise);
    this.attachChip();

    Object.assign(
      this.globals,
      this.pins.globals(),
      this.registers(),
      this.timers(),
      this.system(),
      this.modules(arrayBuffer),
    );
  }

  /** Stop everything: timers, sockets, what is queued. */
  powerOff(): void {
    this.loop.powerOff();
    this.net.closeAll();
  }

  /** Give bytes to a serial port, as someone typing there would. */
  receive(port: string, bytes: string): void {
    if (this.console !== port) this.loop.queue(() => this.emitters.emitNow(this.ports[port], "data", bytes));
  }

  /** Print as the interpreter does: seen where its console is on the board's port. */
  print(text: string): void {
    const { board, onPrint, onHidden } = this.options;
    const show = this.console === board.consolePort ? onPrint : onHidden;
    for (const line of text.split("\n")) show?.(line);
  }

  uncaught(error: unknown): void {
    this.options.onUncaught?.(error);
    // a listener that throws is told as one without it
    const { emitters, processObject } = this;
    if (emitters.has(processObject, UNCAUGHT) && !this.isTelling) {
      this.isTelling = true;
      emitters.emitNow(processObject, UNCAUGHT, error);
      this.isTelling = false;
      return;
    }
    const text =
      error instanceof Error || isError(error)
        ? `${(error as Error).name}: ${(error as Error).message}`
        : String(error);
    this.print(`Uncaught ${text}`);
  }

  private arrayBuffer(bytes: Uint8Array): ArrayBuffer {
    const buffer = new this.options.realm.ArrayBuffer(bytes.length);
    new Uint8Array(buffer).set(bytes);
    return buffer;
  }

  private attachChip(): void {
    const { chip } = this.build;
    const { bus, noise } = this;
    const radio = () => this.link.radio;
    const cause = (start: number, powerOn: number) => {
      let value = this.options.resetCause ?? powerOn;
      bus.attach({ start, length: 4, read: () => value, write: (_, ones) => void (value &= ~ones) });
    };
    if (chip === "esp32") {
      bus.attach(...this.esp32Aes.peripherals(), espRandom(0x3ff75144, noise, radio));
      cause(0x3ff48034, 1);
    } else if (chip === "esp32c3" || chip === "esp32s3") {
      bus.attach(espRandom(chip === "esp32c3" ? 0x600260b0 : 0x6003507c, noise, radio));
      cause(0x60008038, 1);
    } else if (chip === "nrf52832") {
      bus.attach(this.nrfEcb.peripheral(), this.nrfRng.peripheral());
      cause(0x40000400, 0);
    }
  }

  private registers(): Record<string, unknown> {
    const globals: Record<string, unknown> = {};
    for (const bytes of [1, 2, 4]) {
      globals[`peek${bytes * 8}`] = (address: number, count = 1) => {
        if (count <= 1) return this.bus.read(address, bytes);
        const values = Array.from({ length: count }, (_, i) => this.bus.read(address + i * bytes, bytes));
        return new this.options.realm.Uint32Array(values);
      };
      globals[`poke${bytes * 8}`] = (address: number, value: number | ArrayLike<number>) => {
        if (typeof value === "number") this.bus.write(address, value, bytes);
        else for (let i = 0; i < value.length; i++) this.bus.write(address + i * bytes, value[i], bytes);
      };
    }
    return globals;
  }

  private timers(): Record<string, unknown> {
    const { loop } = this;
    const { realm } = this.options;
    // a text is evaluated
    const task = (callback: unknown) =>
      typeof callback === "string" ? () => realm.evaluateModule(callback) : callback;
    return {
      setTimeout: (callback: unknown, milliseconds?: unknown, ...args: unknown[]) =>
        loop.setTimer(task(callback), milliseconds, false, args),
      setInterval: (callback: unknown, milliseconds?: unknown, ...args: unknown[]) =>
        loop.setTimer(task(callback), milliseconds, true, args),
      clearTimeout: (id?: unknown) => loop.clearTimer(id),
      clearInterval: (id?: unknown) => loop.clearTimer(id),
    };
  }

  private system(): Record<string, unknown> {
    const { board } = this.options;
    const print = (...values: unknown[]) => this.print(values.map(shown).join(" "));
    const processObject = Object.assign(this.processObject, {
      version: "2v29",
      env: {
        VERSION: "2v29",
        BOARD: board.espruino,
        FLASH: board.flashLength,
        STORAGE: this.storage.length,
        SERIAL: "00000000-addeadde",
        CONSOLE: board.consolePort,
        MODULES: ["Flash", "Storage", ...this.build.libraries].join(","),
      },
      memory: () => {
        const total = board.variables || 4096;
        return { free: total, usage: 0, total, history: 0, gc: 0, gctime: 0, blocksize: board.variableBytes };
      },
    });
    const E = this.natives();
    for (const object of [processObject, E]) addEventMethods(object, this.emitters);
    const globals: Record<string, unknown> = {
      E,
      process: processObject,
      print,
      console: { log: print, debug: print, info: print, warn: print, error: print },
      getTime: () => (this.clock.now() - this.started) / 1000,
      getSerial: () => "00000000-addeadde",
      btoa: (bytes: unknown) => toBytes(bytes).toString("base64"),
      atob: (text: unknown) => base64Bytes(text).toString("latin1"),
      load: () => this.options.onRestart?.(),
      reset: () => this.options.onRestart?.(),
      SPI1: { setup() {} },
    };
    if (this.build.chip === "nrf52832")
      globals.NRF = {
        getBattery: () => this.options.volts ?? 3,
        sleep: () => this.openPrompts.delete("bluetooth"),
      };
    for (const name of this.build.ports) globals[name] = this.ports[name] = this.port(name);
    return globals;
  }

  private natives(): Record<string, unknown> {
    const { board, realm } = this.options;
    const toUint8Array = (...args: unknown[]) => new realm.Uint8Array(this.arrayBuffer(toBytes(...args)));
    // E.hwRand is true noise on the nRF52 alone; elsewhere the C library's generator with a fixed seed
    const hwRand = this.build.chip === "nrf52832" ? this.noise : fixedCourse();
    const E: Record<string, unknown> = {
      toString: (...args: unknown[]) => toBytes(...args).toString("latin1"),
      toFlatString: (...args: unknown[]) => toBytes(...args).toString("latin1"),
      // by reference on a board: who writes through it there changes the string
      toArrayBuffer: (text: unknown) =>
        typeof text === "string" ? this.arrayBuffer(toBytes(text)) : undefined,
      toUint8Array,
      getAddressOf: (variable: unknown, flat: boolean) => this.addressOf(variable, flat),
      mapInPlace,
      // the bytes of a text are signed
      sum: (values: ArrayLike<number> | string) => {
        let sum = 0;
        for (let i = 0; i < values.length; i++)
          sum += typeof values === "string" ? (values.charCodeAt(i) << 24) >> 24 : values[i];
        return sum;
      },
      hwRand: () => (hwRand.word() ?? 0) | 0,
      srand: () => {},
      getErrorFlags: () => [],
      setFlags: () => {},
      defrag: () => {},
      // the Linux build has none
      kickWatchdog: () => this.build.chip !== "none" && this.watchdog.kick(),
      enableWatchdog: (seconds: number, isAutomatic = true) =>
        this.build.chip !== "none" && this.watchdog.arm(seconds, !!isAutomatic),
      reboot: () => this.options.onRestart?.(),
      getConsole: () => this.console,
      setConsole: (device: unknown) => {
        const name = Object.entries(this.ports).find(([, port]) => port === device)?.[0];
        if (device !== null && !name && typeof device !== "string") throw new Error("Unknown device type");
        this.console = device === null ? "" : (name ?? String(device));
      },
    };
    if (this.build.libraries.includes("fs"))
      E.openFile = (path: string, mode: string) => this.openFile(path, mode);
    if (board.chip.startsWith("nRF")) delete E.openFile;
    return E;
  }

  private addressOf(variable: unknown, flat: boolean): number {
    if (!flat) throw new Error("simulator: only flat addresses are modelled");
    const buffer = isBuffer(variable) ? variable : ArrayBuffer.isView(variable) ? variable.buffer : undefined;
    if (!buffer || buffer.byteLength <= FLAT_OVER) return 0;
    return (
      this.bus.addressOf(buffer as ArrayBuffer) + (ArrayBuffer.isView(variable) ? variable.byteOffset : 0)
    );
  }

  private openFile(path: string, mode: string): object {
    if (path !== "/dev/urandom" || mode !== "r") throw new Error("Could not open file : UNKNOWN");
    return {
      read: (length: number) => {
        const bytes = Buffer.alloc((length + 3) & ~3);
        for (let i = 0; i < length; i += 4) {
          const word = this.noise.word();
          if (word === undefined) return undefined;
          bytes.writeUInt32LE(word, i);
        }
        return bytes.toString("latin1", 0, length);
      },
      close() {},
    };
  }

  private port(name: string): object {
    const port = {
      setup() {},
      setConsole: () => {
        this.console = name;
      },
      write: (data: unknown) => this.sent(name, toBytes(data).toString("latin1")),
      print: (text: unknown) => this.sent(name, String(text)),
      println: (text: unknown) => this.sent(name, `${text}\r\n`),
    };
    addEventMethods(port, this.emitters);
    return port;
  }

  private sent(name: string, text: string): void {
    if (name !== this.options.board.consolePort) return;
    const lines = (this.partialLine + text).split(/\r?\n/);
    this.partialLine = lines.pop() ?? "";
    for (const line of lines) this.options.onPrint?.(line);
  }

  /** `require("Flash")`, over the areas that are modelled: elsewhere it reads zeros and writes nothing. */
  private flashLibrary(arrayBuffer: (bytes: Buffer) => ArrayBuffer): Record<string, unknown> {
    const { board, realm } = this.options;
    const { flash } = this.storage;
    const areas = modelledAreas(board);
    const placeOf = (address: number) => {
      const area = areas.find((each) => address >= each.address && address < each.address + each.length);
      if (!area) return undefined;
      const inside = address - area.address;
      return { offset: area.offset + inside, left: area.length - inside };
    };
    const page = (address: number) => address - (address % board.pageLength);
    return {
      read: (length: number, address: number) => {
        const bytes = Buffer.alloc(length);
        const place = placeOf(address);
        if (place) flash.bytes.copy(bytes, 0, place.offset, place.offset + Math.min(length, place.left));
        return new realm.Uint8Array(arrayBuffer(bytes));
      },
      write: (data: unknown, address: number) => {
        const place = placeOf(address);
        if (place) flash.writeAligned(place.offset, toBytes(data));
      },
      erasePage: (address: number) => {
        const place = placeOf(address);
        if (place) flash.erasePage(place.offset);
      },
      getPage: (address: number) =>
        placeOf(address) ? { addr: page(address), length: board.pageLength } : undefined,
      getFree: () => [],
    };
  }

  private modules(arrayBuffer: (bytes: Buffer) => ArrayBuffer): Record<string, unknown> {
    const { realm } = this.options;
    const { crypto, libraries } = this.build;
    const builtIn: Record<string, unknown> = {
      Storage: this.storage.library(),
      Flash: this.flashLibrary(arrayBuffer),
    };
    if (this.options.board.heatshrink)
      builtIn.heatshrink = { decompress: (data: unknown) => arrayBuffer(unpack(toBytes(data))) };
    if (crypto.length) {
      const print = (line: string) => this.print(line);
      builtIn.crypto = nativeCrypto(crypto, { counters: this.counters, print, arrayBuffer });
    }
    if (libraries.includes("net")) builtIn.net = this.net.library();
    if (libraries.includes("TelnetServer"))
      builtIn.TelnetServer = {
        setOptions: ({ mode }: { mode?: string }) =>
          mode === "off" ? this.openPrompts.delete("telnet") : this.openPrompts.add("telnet"),
      };
    if (libraries.includes("Wifi")) builtIn.Wifi = this.link.wifi();
    if (libraries.includes("WIZnet")) {
      let library: object | undefined;
      Object.defineProperty(builtIn, "WIZnet", {
        get: () => (library ??= this.link.wiznet(this.globals.SPI1 as object)),
      });
    }
    const cached = new Map<string, unknown>();
    const require = (name: unknown): unknown => {
      if (typeof name !== "string") throw new TypeError("Expecting module name as a string");
      if (cached.has(name)) return cached.get(name);
      if (name in builtIn) return builtIn[name];
      const text = this.storage.read(name);
      if (text === undefined) throw new Error(`Module "${name}" not found`);
      const exports = realm.evaluateModule(text);
      cached.set(name, exports);
      return exports;
    };
    const Modules = {
      addCached: (name: string, code: string | (() => unknown)) => {
        // of a function Espruino takes the text between its braces
        const text = typeof code === "function" ? String(code).replace(/^[^{]*\{|\}[^}]*$/g, "") : code;
        cached.set(name, realm.evaluateModule(text));
      },
      getCached: () => [...cached.keys()],
      removeCached: (name: string) => void cached.delete(name),
      removeAllCached: () => cached.clear(),
    };
    return { require, Modules };
  }
}

/** Decode base64 as Espruino's atob does: what is no digit of it counts as a zero, and nothing throws but no string. */
function base64Bytes(text: unknown): Buffer {
  if (typeof text !== "string") throw new Error(`Expecting String, got ${typeof text}`);
  const digits = text.replace(/\s/g, "");
  const bytes = Buffer.from(digits.replace(/[^A-Za-z0-9+/=]/g, "A"), "base64");
  // of garbage only the length is sure
  const length = Math.floor((digits.length * 3) / 4) - (/==$/.test(digits) ? 2 : /=$/.test(digits) ? 1 : 0);
  return bytes.length === length
    ? bytes
    : Buffer.concat([bytes, Buffer.alloc(Math.max(0, length))], Math.max(0, length));
}

function isError(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Error]";
}

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "object" && value !== null && !isError(value)) {
    if (ArrayBuffer.isView(value))
      return `new ${value.constructor.name}([${Array.from(value as Uint8Array).join(", ")}])`;
    return JSON.stringify(value);
  }
  return String(value);
}
