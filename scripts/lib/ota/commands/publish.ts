// `npm run ota -- publish`: an update and its manifests lie at the broker, retained.
import { Progress } from "../../cli/progress";
import { PER_SECOND } from "../defaults";
import { publishManifests, publishPieces, refuseRollback } from "../publish";
import { type BothGiven, type BrokerGiven, openBroker, readBoth } from "./given";

/** Lay an update and its manifests down for all of their devices at once. */
export async function publish(
  options: BothGiven & BrokerGiven & { "per-second"?: number; json?: boolean },
): Promise<void> {
  const { made, signed } = readBoth(options);
  const broker = await openBroker(options);
  const progress = new Progress(!options.json);
  const onProgress = progress.show.bind(progress);
  try {
    await refuseRollback(broker, signed);
    const pieces = await publishPieces(broker, made, { onProgress });
    const rate = options["per-second"] ?? PER_SECOND;
    const devices = await publishManifests(broker, signed, { onProgress, perSecond: rate });
    progress.stop();
    if (options.json) console.log(JSON.stringify({ pieces, manifests: devices }));
    else
      console.log(
        `pieces     ${pieces.written} written, ${pieces.found} were there\n` +
          `manifests  ${devices.written} written, ${devices.found} were there`,
      );
  } finally {
    progress.stop();
    await broker.close();
  }
}
