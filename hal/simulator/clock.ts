// The time of a simulated board, which its timers and getTime() go by. It runs with real time, and can be held; later() makes time pass
// at once, each timer at its own moment and what it sets off before the next one. So a test waits for what happens and never
// for time, and a machine under load is no slower for the board. Sockets stay in real time: their other end is a real server.
import { setImmediate as turn } from "node:timers/promises";

interface Timer {
  task: () => void;
  /** When it is due, and again after how long; 0: once. Milliseconds. */
  due: number;
  every: number;
}

/** Turns of Node's loop in which a task's own tasks and a restart are done. */
const SETTLE_TURNS = 3;

export class Clock {
  private readonly timers = new Map<number, Timer>();
  private nextId = 1;
  /** Board time when real time was `since`. */
  private base = 0;
  private since = performance.now();
  private alarm: NodeJS.Timeout | undefined;
  private isHeld = false;

  /** Tell the time, milliseconds since the clock was made. */
  now(): number {
    return this.isHeld ? this.base : this.base + performance.now() - this.since;
  }

  /** Run `task` after so many milliseconds, at least 1; `repeats`: again and again. */
  set(task: () => void, milliseconds: number, repeats = false): number {
    const id = this.nextId++;
    const wait = Math.max(1, milliseconds);
    this.timers.set(id, { task, due: this.now() + wait, every: repeats ? wait : 0 });
    this.arm();
    return id;
  }

  clear(id: number): void {
    if (this.timers.delete(id)) this.arm();
  }

  /** Stop time, but for later(). */
  hold(): void {
    this.moveTo(this.now());
    this.isHeld = true;
    this.arm();
  }

  /** Let time run again. */
  release(): void {
    this.moveTo(this.now());
    this.isHeld = false;
    this.arm();
  }

  /** Make so much time pass now; timers that are due come in their order, and those that they set as well. */
  async later(milliseconds: number): Promise<void> {
    const end = this.now() + milliseconds;
    for (let id = this.first(end); id !== undefined; id = this.first(end)) {
      this.moveTo(Math.max(this.now(), (this.timers.get(id) as Timer).due));
      this.fire(id);
      for (let i = 0; i < SETTLE_TURNS; i++) await turn();
    }
    this.moveTo(Math.max(this.now(), end));
    this.arm();
  }

  /** The timer that is due first, by `end` at the latest. */
  private first(end = Infinity): number | undefined {
    let found: number | undefined;
    for (const [id, { due }] of this.timers)
      if (due <= end && (found === undefined || due < (this.timers.get(found) as Timer).due)) found = id;
    return found;
  }

  private fire(id: number): void {
    const timer = this.timers.get(id) as Timer;
    if (timer.every) timer.due += timer.every;
    else this.timers.delete(id);
    timer.task();
  }

  private moveTo(time: number): void {
    this.base = time;
    this.since = performance.now();
  }

  /** Have Node wake us for the first timer. */
  private arm(): void {
    clearTimeout(this.alarm);
    this.alarm = undefined;
    const id = this.isHeld ? undefined : this.first();
    if (id === undefined) return;
    const wait = Math.max(0, (this.timers.get(id) as Timer).due - this.now());
    this.alarm = setTimeout(() => this.ring(), Math.min(wait, LONGEST_WAIT_MS));
  }

  private ring(): void {
    const now = this.now();
    for (let id = this.first(now); id !== undefined; id = this.first(now)) this.fire(id);
    this.arm();
  }
}

/** What Node's setTimeout takes at most. */
const LONGEST_WAIT_MS = 0x7fffffff;
