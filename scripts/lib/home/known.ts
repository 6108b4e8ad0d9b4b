// Which devices a key folder knows: those that its ledger has. Only they get answers from its masters.
import { join } from "node:path";
import type { Master } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import type { Purpose } from "../keys/kdf";
import { openLedger } from "../ledger/ledger";
import { hasHome, homeFolder, homeMaster } from "./home";

/** Open the folder's master for a device that it knows; undefined where there is no folder, or it is somebody else's device. */
export function homeMasterOf(purpose: Purpose, id: string, folder = homeFolder()): Master | undefined {
  if (!hasHome(folder)) return undefined;
  const { product, serial } = parseIdentity(id);
  const ledger = openLedger(join(folder, "ledger.sqlite"), "read");
  try {
    return ledger.unit(product, serial) ? homeMaster(purpose, folder) : undefined;
  } finally {
    ledger.close();
  }
}
