// Pins of a simulated board, their watches, and what hangs on its I2C bus, as Espruino has them: digitalWrite, digitalRead, pinMode,
// analogRead, analogWrite, setWatch, clearWatch, I2C1. The world outside sets levels, hangs up devices and sees what the
// board does. Leaves out pulses, PWM, SPI, and how long anything takes but a watch's debounce.
import type { Board } from "../../boards/board";
import { pinNames } from "../pin_names";
import { toBytes } from "./bytes";
import type { EventLoop } from "./events";

/** What hangs on the bus at an address. */
export interface I2cDevice {
  /** Take what is written to it. Throws where it does not acknowledge. */
  write(bytes: Buffer): void;
  /** Give so many bytes. Throws where it does not acknowledge. */
  read(length: number): Buffer;
}

type Edge = "rising" | "falling" | "both";

interface Watch {
  pin: string;
  callback: (event: object) => void;
  edge: Edge;
  repeat: boolean;
  debounceMs: number;
  /** The level that it knows, and when that came. */
  level: number;
  changedAt: number;
  timer: unknown;
}

export class Pins {
  /** What hangs on I2C1, by its address of 7 bits. */
  readonly i2c = new Map<number, I2cDevice>();
  /** Told each time the board gives a pin another level: 0 to 1. */
  onChange: (pin: string, level: number) => void = () => {};

  private readonly levels = new Map<string, number>();
  private readonly modes = new Map<string, string>();
  private readonly watches = new Map<number, Watch>();
  private readonly byName: Map<string, object>;
  private nextWatch = 1;

  private loop!: EventLoop;

  constructor(
    { pins }: Board,
    private readonly now: () => number,
  ) {
    this.byName = new Map(pinNames(pins).map((name) => [name, this.pin(name)]));
  }

  /** The board starts: its pins are inputs again; what is outside stays. */
  powerOn(loop: EventLoop): void {
    this.loop = loop;
    for (const [name, mode] of this.modes) if (mode === "output") this.levels.delete(name);
    this.modes.clear();
    this.watches.clear();
  }

  /** Names of all pins. */
  get names(): string[] {
    return [...this.byName.keys()];
  }

  /** The level of a pin; 0 where nobody has set it, 1 where the board pulls it up. */
  level(name: string): number {
    return this.levels.get(name) ?? (this.modes.get(name)?.endsWith("pullup") ? 1 : 0);
  }

  /** Give a pin a level from outside: 0, 1, or for analogRead what is between them. */
  set(name: string, level: number): void {
    if (!this.byName.has(name))
      throw new Error(`there is no pin ${name}; there are ${this.names.join(", ")}`);
    this.levels.set(name, level);
    for (const [id, watch] of this.watches) if (watch.pin === name) this.look(id, watch);
  }

  /** What the interpreter has for it. */
  globals(): Record<string, unknown> {
    const nameOf = (pin: unknown) => this.nameOf(pin);
    const write = (pin: unknown, level: unknown) => this.write(nameOf(pin), Number(level) ? 1 : 0);
    return {
      ...Object.fromEntries(this.byName),
      digitalWrite: write,
      digitalRead: (pin: unknown) => (this.level(nameOf(pin)) >= 0.5 ? 1 : 0),
      analogRead: (pin: unknown) => this.level(nameOf(pin)),
      analogWrite: (pin: unknown, level: number) => this.write(nameOf(pin), level),
      pinMode: (pin: unknown, mode: string) => void this.modes.set(nameOf(pin), mode),
      getPinMode: (pin: unknown) => this.modes.get(nameOf(pin)) ?? "analog",
      setWatch: (callback: Watch["callback"], pin: unknown, options?: Record<string, unknown>) =>
        this.watch(callback, nameOf(pin), options),
      clearWatch: (id?: number) => void (id === undefined ? this.watches.clear() : this.watches.delete(id)),
      I2C1: this.bus(),
    };
  }

  private pin(name: string): object {
    return {
      toString: () => name,
      read: () => this.level(name) >= 0.5,
      write: (level: unknown) => this.write(name, level ? 1 : 0),
      set: () => this.write(name, 1),
      reset: () => this.write(name, 0),
      mode: (mode: string) => void this.modes.set(name, mode),
    };
  }

  private nameOf(pin: unknown): string {
    if (!this.byName.has(String(pin))) throw new Error("Invalid pin");
    return String(pin);
  }

  private write(name: string, level: number): void {
    this.modes.set(name, "output");
    if (this.level(name) === level) {
      this.levels.set(name, level);
      return;
    }
    this.set(name, level);
    this.onChange(name, level);
  }

  private watch(callback: Watch["callback"], pin: string, options: Record<string, unknown> = {}): number {
    const { edge = "both", repeat = false, debounce = 0 } = options;
    const state = { level: this.level(pin), changedAt: this.now(), timer: undefined };
    this.watches.set(this.nextWatch, {
      ...{ pin, callback, edge: edge as Edge, repeat: !!repeat, debounceMs: Number(debounce) },
      ...state,
    });
    return this.nextWatch++;
  }

  /** A watched pin has another level, perhaps: tell it, at once or when it has lasted. */
  private look(id: number, watch: Watch): void {
    if (watch.timer !== undefined) this.loop.clearTimer(watch.timer);
    watch.timer = undefined;
    const tell = () => {
      const level = this.level(watch.pin) >= 0.5 ? 1 : 0;
      const before = watch.changedAt;
      if (level === watch.level) return;
      watch.level = level;
      watch.changedAt = this.now();
      if (watch.edge !== "both" && watch.edge !== (level ? "rising" : "falling")) return;
      if (!watch.repeat) this.watches.delete(id);
      const event = { state: !!level, time: watch.changedAt / 1000, lastTime: before / 1000, pin: watch.pin };
      this.loop.queue(() => watch.callback(event));
    };
    if (watch.debounceMs) watch.timer = this.loop.setTimer(tell, watch.debounceMs, false, []);
    else tell();
  }

  private bus(): object {
    const at = (address: number | { address: number }): I2cDevice => {
      const device = this.i2c.get(typeof address === "object" ? address.address : address);
      if (!device) throw new Error("I2C: no ACK");
      return device;
    };
    return {
      setup() {},
      writeTo: (address: number, ...data: unknown[]) => at(address).write(toBytes(...data)),
      readFrom: (address: number, length: number) => new Uint8Array(at(address).read(length)),
    };
  }
}
