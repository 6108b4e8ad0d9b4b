// What several words of `npm run ota` are given: the broker, an update with its manifests, a list in a file.
import { readFileSync } from "node:fs";
import { UsageError } from "../../cli/exit";
import { fileFault } from "../../cli/fault";
import type { Endpoint } from "../../cli/options";
import { needed } from "../../cli/subcommands";
import { readSecret } from "../../files/private_file";
import { identityFault } from "../../keys/identity";
import { Broker } from "../broker";
import { noteRekeys } from "../rekey_note";
import { type Manifests, readManifests } from "../sign";
import { readUpdate, type Update } from "../update_file";

export interface BrokerGiven {
  broker?: Endpoint;
  "psk-identity"?: string;
  "psk-file"?: string;
}

/** Read the operator's key and connect; what is under way is given up after `giveUpMs` without a connection. */
export async function openBroker(given: BrokerGiven, giveUpMs?: number): Promise<Broker> {
  const { "psk-identity": identity, "psk-file": file } = given;
  if ((identity === undefined) !== (file === undefined))
    throw new UsageError("--psk-identity and --psk-file belong together.");
  const fault = identity === undefined ? undefined : identityFault(identity);
  if (fault) throw new UsageError(`--psk-identity ${fault}.`);
  const psk = identity !== undefined && file !== undefined ? { identity, key: readSecret(file) } : undefined;
  return Broker.connect({ ...(given.broker ?? { host: "127.0.0.1", port: 1883 }), psk, giveUpMs });
}

export interface BothGiven {
  update?: string;
  manifests?: string;
  rekey?: string;
}

/** Read an update and the manifests that were signed for it. Throws UsageError where they do not belong together. */
export function readBoth(given: BothGiven): {
  made: Update;
  signed: Manifests;
} {
  const made = readUpdate(needed(given.update, "--update FILE"));
  if (given.manifests !== undefined && given.rekey !== undefined)
    throw new UsageError("--manifests and --rekey exclude each other.");
  const signed =
    given.rekey === undefined
      ? readManifests(needed(given.manifests, "--manifests FILE"))
      : readManifests(given.rekey, "rekey");
  const { image } = signed;
  const alike =
    Buffer.from(image.digest).equals(made.digest) &&
    (["product", "hardware", "sequence", "version", "length", "encoding"] as const).every(
      (name) => image[name] === made[name],
    );
  if (!alike) throw new UsageError(`${signed.path} was signed for another update than ${given.update}.`);
  if (given.rekey !== undefined) noteRekeys(given.update as string, signed);
  return { made, signed };
}

/** The lines of a file without empty ones and those that begin with #. */
export function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the list ${path}: ${fileFault(error)}.`);
  }
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}
