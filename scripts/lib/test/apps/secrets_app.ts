// The secrets of TLS 1.3 that depend on the key alone, as a bundle for tests: `secrets.ready()` gives them.
import { aes } from "hal:aes128";
import { secrets } from "../../../../firmware/tls13/secrets";

(global as unknown as { secrets: unknown }).secrets = {
  ready() {
    section(import("../../../../firmware/tls13/secrets")).ready();
    return secrets;
  },
  // used a second time it is no part of `ready`, as in the firmware
  aes,
};
