// `npm run ota -- clear`: manifests with new keys go away from the broker, where they have arrived.
import { Progress } from "../../cli/progress";
import { needed } from "../../cli/subcommands";
import type { Broker } from "../broker";
import { LISTEN_SECONDS } from "../defaults";
import { Fleet } from "../fleet";
import { clearRekeys } from "../publish";
import { type Manifests, readManifests } from "../sign";
import { type BrokerGiven, openBroker } from "./given";

/** Take away the manifests of those who have taken them, and name the others. */
export async function clear(
  options: BrokerGiven & { rekey?: string; all?: boolean; seconds?: number; json?: boolean },
): Promise<void> {
  const file = readManifests(needed(options.rekey, "--rekey FILE"), "rekey");
  const broker = await openBroker(options);
  const progress = new Progress(!options.json);
  try {
    const rows = Array.from({ length: file.count }, (_, row) => row);
    const done = options.all
      ? new Set(rows)
      : await rowsDone(broker, file, options.seconds ?? LISTEN_SECONDS, progress);
    progress.stop();
    const cleared = await clearRekeys(broker, file, [...done]);
    const open = rows.filter((row) => !done.has(row)).map((row) => file.identity(row).text);
    if (options.json) return console.log(JSON.stringify({ cleared, open }));
    console.log(`${cleared} taken away, ${open.length} open`);
    for (const identity of open) console.log(identity);
  } finally {
    progress.stop();
    await broker.close();
  }
}

/** Rows of the devices that tell the sequence of these manifests within some seconds. */
async function rowsDone(
  broker: Broker,
  file: Manifests,
  seconds: number,
  progress: Progress,
): Promise<Set<number>> {
  const { product, sequence } = file.image;
  const rows = new Map(Array.from({ length: file.count }, (_, row) => [file.identity(row).serial, row]));
  const done = new Set<number>();
  const stop = await new Fleet(product).listen(broker, (device) => {
    const row = rows.get(device.serial);
    if (row !== undefined && device.sequence === sequence) done.add(row);
  });
  for (let second = 0; second < seconds && done.size < file.count; second++) {
    progress.show("listen", done.size, file.count);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  broker.demandThere();
  await stop();
  return done;
}
