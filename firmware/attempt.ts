// One attempt to reach the server, a section: network, then session.
import { flash } from "hal:flash";
import { networkUp } from "hal:network";
import type { Event } from "./application";
import { connect } from "./tls/session";

/** Bring the network up and open a session to the server of the file `conf`; its events go to `onEvent`. */
export default function attempt(onEvent: (event: Event) => void): void {
  const settings = JSON.parse(flash.read("conf") || "{}");
  networkUp(settings, () => connect(settings, onEvent), onEvent);
}
