// The product `valve`, with every other command answered by its payload as `echo` does: for runs that measure what a device takes
// with commands and answers of a whole record.
import type { Settings } from "device";
import * as valve from "../../../../firmware/product/valve";

export const settings: Settings = {
  openS: [600, 1, 86400],
  lostS: [120, 0, 86400],
};

export function start(): void {
  valve.start();
}

export function online(): void {
  valve.online();
}

export function command(name: string, payload: string): string | number | undefined {
  return name === "valve" ? valve.command(name, payload) : payload;
}

export const everyS = 1;

export function every(): void {
  valve.every();
}

export function stop(): void {
  valve.stop();
}
