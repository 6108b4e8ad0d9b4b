// One attempt to reach the broker, as a section: settings, network, session, MQTT.
import { flash } from "hal:flash";
import { networkUp } from "hal:network";
import type { Bytes } from "./bytes";
import { open } from "./mqtt/client";
import { connect } from "./tls/session";

/**
 * Bring the network up, open a session to the server of the file `conf` and MQTT over it. `onError` gets every code,
 * `onClose` comes once when it is over.
 */
export default function attempt(
  onOpen: () => void,
  onMessage: (name: Bytes, payload: Bytes) => void,
  onError: (code: number) => void,
  onClose: () => void,
): void {
  const settings = JSON.parse(flash.read("conf") || "{}");
  networkUp(
    settings,
    () => {
      const socket = connect(settings, (session) => open(session, settings.id, onOpen, onMessage));
      socket.on("error", onError);
      socket.on("close", onClose);
    },
    (code) => {
      onError(code);
      onClose();
    },
  );
}
