// The network of boards whose operating system has one already: nothing to bring up.
import type { NetworkSettings } from "../hal";

/** Report the network as up (Network in hal.ts). */
export function networkUp(
  _settings: NetworkSettings,
  onUp: () => void,
  _onDown: (code: number) => void,
): void {
  setTimeout(onUp, 0);
}
