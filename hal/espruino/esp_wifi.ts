// The network of the ESP boards: Espruino's `Wifi` library as a station. One call of connect makes three
// tries of its own; ROUNDS of them make NO_NETWORK. Leaves out the access point, scans, static addresses.
import { type NetworkSettings, NO_NETWORK } from "../hal";

/** Calls of connect before the network counts as absent. */
const ROUNDS = 3;

/** Tell the station's address (Network in hal.ts). */
export function networkAddress(): string {
  return require("Wifi").getIP().ip;
}

/** Join the access point of the settings (Network in hal.ts). */
export function networkUp(
  settings: NetworkSettings,
  onEvent: (event: NetworkSettings | number) => void,
): void {
  let rounds = ROUNDS;
  const join = (): void => {
    // no name is no network; without a string the library would throw
    require("Wifi").connect(settings.ssid || "", { password: settings.pass }, (error: string | null) => {
      if (!error) onEvent(settings);
      else if (--rounds) join();
      else onEvent(NO_NETWORK);
    });
  };
  setTimeout(join, 0);
}
