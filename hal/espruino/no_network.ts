// The network of boards whose operating system has one already: nothing to bring up.
import { NETWORK_UP, type NetworkSettings } from "../hal";

/** Tell no address (Network in hal.ts). */
export function networkAddress(): string {
  return "";
}

/** Report the network as up (Network in hal.ts). */
export function networkUp(_settings: NetworkSettings, onEvent: (event: number) => void): void {
  setTimeout(onEvent, 0, NETWORK_UP);
}
