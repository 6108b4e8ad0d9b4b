/*
 * What a broker of a test has retained under wildcards: few messages, and a message of our own comes behind them.
 */
import type { Broker } from "../ota/broker";

/** Everything retained under these filters, by topic. */
export async function retainedUnder(broker: Broker, ...filters: string[]): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const matches = (topic: string) =>
    filters.some((filter) =>
      new RegExp(`^${filter.replaceAll("+", "[^/]+").replace("#", ".*")}$`).test(topic),
    );
  const mark = broker.nextMark();
  await broker.publish([mark]);
  let ended = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  const stop = await broker.listen([...filters, mark.topic], (topic, payload, isRetained) => {
    if (topic === mark.topic) ended();
    else if (isRetained && matches(topic) && !topic.startsWith("fw/look/")) found.set(topic, payload);
  });
  await end;
  await stop();
  await broker.publish([{ topic: mark.topic, payload: Buffer.alloc(0) }]);
  return found;
}
