// The chip's watchdog behind E.enableWatchdog and E.kickWatchdog (jshardware.c of Espruino's ESP32 and nRF5x targets): it resets the
// chip when nobody has fed it for the time that it was armed with. The interpreter feeds it in each turn of its idle loop unless
// `isAuto` is false. The nRF52's takes its time at the first start alone and goes on over a software reset, unfed, until it is armed
// again (nRF52832 Product Specification, chapter "WDT"); the ESP32's, the task watchdog of ESP-IDF, takes each time and ends
// with a reset. Leaves out what the interpreter's long natives feed by themselves.

export interface WatchdogTimers {
  setTimer(callback: () => void, milliseconds: number, repeats: boolean, args: unknown[]): number;
  clearTimer(id: unknown): void;
}

export class Watchdog {
  /** 0: it is not armed. */
  seconds = 0;
  isAutomatic = false;
  /** Calls of E.kickWatchdog. */
  kicks = 0;
  private timer: number | undefined;

  constructor(
    private timers: WatchdogTimers,
    /** Whether it outlives software resets, and keeps the time of its first start. */
    private isKept: boolean,
    /** Called when it bites. */
    private onBite: () => void,
    before?: Watchdog,
  ) {
    if (before?.isKept && before.seconds) {
      this.seconds = before.seconds;
      this.feed();
    }
  }

  arm(seconds: number, isAutomatic: boolean): void {
    if (!this.seconds || !this.isKept) this.seconds = seconds;
    this.isAutomatic = isAutomatic;
    this.feed();
  }

  kick(): void {
    this.kicks++;
    if (this.seconds) this.feed();
  }

  /** It bites now, when a program hangs: false where it is not armed. */
  bite(): boolean {
    if (!this.seconds) return false;
    this.onBite();
    return true;
  }

  /** By itself an idle loop never starves it, so that only what feeds by hand has a time of its own. */
  private feed(): void {
    this.timers.clearTimer(this.timer);
    this.timer = this.isAutomatic
      ? undefined
      : this.timers.setTimer(() => this.bite(), this.seconds * 1000, false, []);
  }
}
