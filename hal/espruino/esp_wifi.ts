// The network of the ESP boards: Espruino's `Wifi` library as a station. One call of connect makes three tries of its own;
// when they fail the network counts as absent, and the application asks again later. Leaves out the access point, scans,
// static addresses.
import { NETWORK_UP, type NetworkSettings, NO_NETWORK } from "../hal";

/** Tell the station's address (Network in hal.ts). */
export function networkAddress(): string {
  return require("Wifi").getIP().ip;
}

/** Join the access point of the settings (Network in hal.ts). */
export function networkUp(settings: NetworkSettings, onEvent: (event: number) => void): void {
  // no name is no network; without a string the library would throw
  require("Wifi").connect(settings.ssid || "", { password: settings.pass }, (error: string | null) =>
    onEvent(error ? NO_NETWORK : NETWORK_UP),
  );
}
