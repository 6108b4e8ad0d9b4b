// The tree of epochs alone, as a bundle for tests: `tree.take(identity)` gives what is said and the key, `tree.next(identity)` the next epoch.
import { aes } from "hal:aes128";

(global as unknown as { tree: unknown }).tree = {
  take: (identity: string) => [
    section(import("../../../../firmware/store/tree")).take(identity),
    section(import("../../../../firmware/store/tree")).taken(),
  ],
  next: (identity: string) => section(import("../../../../firmware/store/tree")).take(identity, true),
  // used a second time it is no part of `take`, as in the firmware
  aes,
};
