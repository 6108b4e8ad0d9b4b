// The network of boards whose operating system has one already: nothing to bring up.
import type { NetworkSettings } from "../hal";

/** Tell no address (Network in hal.ts). */
export function networkAddress(): string {
  return "";
}

/** Report the network as up (Network in hal.ts). */
export function networkUp(
  settings: NetworkSettings,
  onEvent: (event: NetworkSettings | number) => void,
): void {
  setTimeout(onEvent, 0, settings);
}
