// One attempt to reach the broker, as a section: settings, network, session, MQTT. What it hands on as listeners stays in
// the main part; its own closures are gone when it is over.
import { flash } from "hal:flash";
import { networkUp } from "hal:network";
import type { Bytes } from "./bytes";
import { runOver } from "./mqtt/client";
import { connect } from "./tls/session";

/**
 * Bring the network up, open a session to the server of the file `conf`, and MQTT over it for `onMessage`. `onClose`
 * comes once, with the code, when it is over.
 */
export default function attempt(
  onMessage: (name: Bytes, payload: Bytes) => void,
  onClose: (code: number) => void,
): void {
  const settings = JSON.parse(flash.read("conf") || "{}");
  networkUp(
    settings,
    () => {
      const socket = connect(settings);
      socket.on("close", onClose);
      runOver(socket, onMessage);
    },
    onClose,
  );
}
