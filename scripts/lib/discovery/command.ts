// `npm run discovery`: the messages of devices lie at the broker, or are taken away again.
import { join } from "node:path";
import { UsageError } from "../cli/exit";
import { Progress } from "../cli/progress";
import { needed } from "../cli/subcommands";
import { type BrokerGiven, openBroker } from "../ota/commands/given";
import { type DevicesGiven, devicesOf } from "../ota/commands/sign";
import { checkProduct } from "../ota/manifest";
import { publishRetained, takeAway } from "../ota/publish";
import { PROJECT } from "../project";
import { discoveryMessage, discoveryTopic, isOurDiscovery, readValues } from "./discovery";

/** Where Home Assistant listens unless it is told otherwise. */
export const PREFIX = "homeassistant";

export interface DiscoveryGiven extends BrokerGiven, DevicesGiven {
  product?: string;
  module?: string;
  prefix?: string;
  remove?: boolean;
  json?: boolean;
}

/** Publish the messages of devices, or take ours away. Throws UsageError with nothing published. */
export async function discovery(options: DiscoveryGiven): Promise<void> {
  const product = checkProduct(needed(options.product, "--product NAME"));
  const { prefix = PREFIX, json } = options;
  if (!/^[^+#\0$/][^+#\0]*$/.test(prefix)) throw new UsageError("the prefix is no topic.");
  const devices = devicesOf(product, options);
  const topics = devices.map(({ serial }) => discoveryTopic(prefix, product, serial));
  const path = options.module ?? join(PROJECT, "firmware", "product", `${product}.ts`);
  const values = options.remove ? undefined : await readValues(path);
  const broker = await openBroker(options);
  const progress = new Progress(!json);
  try {
    if (!values) {
      const removed = await takeAway(broker, topics, (_topic, payload) => isOurDiscovery(payload));
      console.log(json ? JSON.stringify({ removed }) : `${removed} taken away`);
      return;
    }
    const messages = new Map(
      devices.map(({ serial }, i) => [
        topics[i],
        Buffer.from(JSON.stringify(discoveryMessage(product, serial, values))),
      ]),
    );
    const published = await publishRetained(broker, messages, { onProgress: progress.show.bind(progress) });
    progress.stop();
    const { written, found } = published;
    console.log(json ? JSON.stringify(published) : `${written} written, ${found} were there`);
  } finally {
    progress.stop();
    await broker.close();
  }
}
