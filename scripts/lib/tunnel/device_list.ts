// Who is let into a tunnel, a file: an identity a line; blank lines and those that begin with # are for people. A key is derived for each, for what
// a packet says of whose it is, its SPI, is derived from that key.
import { readFileSync } from "node:fs";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import type { Master } from "../custody/master";
import { associationsOf, type Transform } from "../keys/esp_keys";
import { type Identity, parseIdentity } from "../keys/identity";
import type { TunnelDevice } from "./tunnel";

/** Read a list. Throws UsageError with the line that is wrong. */
export function readIdentities(path: string): Identity[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the list ${path}: ${fileFault(error)}.`);
  }
  const identities = new Map<string, Identity>();
  for (const [at, line] of text.split("\n").entries()) {
    const name = line.trim();
    if (name === "" || name.startsWith("#")) continue;
    try {
      if (identities.has(name)) throw new UsageError(`${name} is there twice.`);
      identities.set(name, parseIdentity(name));
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`${path}, line ${at + 1}: ${error.message}`);
      throw error;
    }
  }
  return [...identities.values()];
}

/** Derive the associations of each device. Throws UsageError where the master's scheme has none. */
export function tunnelDevices(
  identities: readonly Identity[],
  master: Master,
  transform: Transform,
): TunnelDevice[] {
  return identities.map((identity) => {
    const key = master.deviceKey(identity, "esp");
    const associations = associationsOf(key, transform);
    key.fill(0);
    return { identity, associations };
  });
}
