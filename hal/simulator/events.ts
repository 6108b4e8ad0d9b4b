// Espruino's events (jswrap_object): every object has on and emit; emit does not call the listeners but puts
// the call into the interpreter's queue. The queue, the timers and what runs in them stop when the power goes
// off. Leaves out the interpreter's 1 kB queue limit and stopEventPropagation.

import { Clock } from "./clock";

export type Listener = (...args: unknown[]) => unknown;

/**
 * The interpreter's idle loop: one thing after the other, each on a clean stack, errors told and survived.
 */
export class EventLoop {
  private on = true;
  private timers = new Set<number>();
  private queued: (() => void)[] = [];
  private scheduled = false;
  /** How a task is run: the machine breaks off what hangs. */
  within: (task: () => void) => void = (task) => task();

  /** `failed` gets what a callback threw. */
  constructor(
    private failed: (error: unknown) => void,
    private clock = new Clock(),
  ) {}

  /** Run something in the next turn, after what is queued already. */
  queue(task: () => void): void {
    if (!this.on) return;
    this.queued.push(task);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => this.turn());
  }

  /** Run something now as the loop would: not at all without power, and with its errors told. */
  run(task: () => void): void {
    if (!this.on) return;
    try {
      this.within(task);
    } catch (error) {
      this.failed(error);
    }
  }

  setTimer(callback: unknown, milliseconds: unknown, repeats: boolean, args: unknown[]): number {
    if (typeof callback !== "function") throw new Error("Function not supplied!");
    const fire = () => {
      if (!repeats) this.timers.delete(id);
      this.run(() => callback(...args));
    };
    const id = this.clock.set(fire, Number(milliseconds) || 0, repeats);
    this.timers.add(id);
    return id;
  }

  clearTimer(id: unknown): void {
    if (id === undefined) return;
    if (this.timers.delete(id as number)) this.clock.clear(id as number);
  }

  clearTimers(): void {
    for (const timer of this.timers) this.clock.clear(timer);
    this.timers.clear();
  }

  powerOff(): void {
    this.on = false;
    this.clearTimers();
    this.queued = [];
  }

  private turn(): void {
    this.scheduled = false;
    const tasks = this.queued;
    this.queued = [];
    for (const task of tasks) this.run(task);
  }
}

/** Where an object keeps the listeners of an event, as Espruino does (JS_EVENT_PREFIX). */
const EVENT_PREFIX = "#on";

/** The listeners of any object; loops over its members show none of them. */
export class Emitters {
  /** Called when a listener comes. */
  onListener: (target: object, event: string) => void = () => {};

  constructor(private loop: EventLoop) {}

  on(target: object, event: unknown, listener: unknown): void {
    if (typeof event !== "string") throw new TypeError("First argument must be String");
    if (typeof listener !== "function") throw new TypeError("Second argument must be a function or a String");
    // a new list, so that a listener added while the event runs is not called by it
    this.keep(target, event, [...this.of(target, event), listener as Listener]);
    this.onListener(target, event);
  }

  has(target: object, event: string): boolean {
    return this.of(target, event).length > 0;
  }

  /** Queue a call of the listeners that the event has now. */
  emit(target: object, event: unknown, ...args: unknown[]): void {
    if (typeof event !== "string") throw new TypeError("First argument must be String");
    const listeners = this.of(target, event);
    if (listeners.length) this.loop.queue(() => this.call(target, listeners, args));
  }

  /** Call the listeners at once, as the interpreter does with `data`. */
  emitNow(target: object, event: string, ...args: unknown[]): void {
    const listeners = this.of(target, event);
    if (listeners.length) this.loop.run(() => this.call(target, listeners, args));
  }

  removeListener(target: object, event: string, listener: unknown): void {
    const listeners = this.of(target, event);
    if (listeners.includes(listener as Listener))
      this.keep(
        target,
        event,
        listeners.filter((each) => each !== listener),
      );
  }

  removeAllListeners(target: object, event?: string): void {
    for (const name of Object.getOwnPropertyNames(target))
      if (event === undefined ? name.startsWith(EVENT_PREFIX) : name === EVENT_PREFIX + event)
        Reflect.deleteProperty(target, name);
  }

  /** The methods that every object of Espruino's has. */
  methods(): Record<string, (this: object, ...args: never[]) => unknown> {
    const emitters = this;
    return {
      on(event: string, listener: Listener) {
        emitters.on(this, event, listener);
      },
      addListener(event: string, listener: Listener) {
        emitters.on(this, event, listener);
      },
      emit(event: string, ...args: unknown[]) {
        emitters.emit(this, event, ...args);
      },
      removeListener(event: string, listener: Listener) {
        emitters.removeListener(this, event, listener);
      },
      removeAllListeners(event?: string) {
        emitters.removeAllListeners(this, event);
      },
    };
  }

  private of(target: object, event: string): Listener[] {
    // one that was put there, not by `on`, is no list
    const kept = Object.getOwnPropertyDescriptor(target, EVENT_PREFIX + event)?.value;
    return typeof kept === "function" ? [kept] : (kept ?? []);
  }

  private keep(target: object, event: string, listeners: Listener[]): void {
    Object.defineProperty(target, EVENT_PREFIX + event, { value: listeners, configurable: true });
  }

  private call(target: object, listeners: Listener[], args: unknown[]): void {
    for (const listener of listeners) listener.apply(target, args);
  }
}

/** Put Espruino's event methods on an object, hidden from loops over its members. */
export function addEventMethods(target: object, emitters: Emitters): void {
  for (const [name, value] of Object.entries(emitters.methods())) {
    Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
  }
}
