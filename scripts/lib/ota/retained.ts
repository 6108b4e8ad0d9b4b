// What a broker has retained, proved. MQTT 3.1.1 has no word for "that was all": silence may be a broker that is late, or one
// whose queue for us was full (Mosquitto drops what is over 1,000 messages). So topics are asked for by name, in groups that
// fit into any queue, and the last topic of each SUBSCRIBE is one of our own, on which lies a message that we have just put
// there, retained: it comes back behind those before it, at QoS 1, so that it is dropped first where anything is. Brokers need
// not keep the order of topics (4.6); where a false absence would cost something, the answer is waited for PATIENCE times as
// long as that message took.
// Leaves out: wildcards, of which nobody knows how much they bring.
import { DeviceError } from "../cli/exit";
import { type Broker, delay, SUBSCRIBE_AT_ONCE } from "./broker";

export interface LookOptions {
  /** Whether something is done to a topic because nothing was found there. */
  isPatient?: boolean;
  onProgress?(done: number, of: number): void;
}

const PATIENCE = 3;
/** How often our own message alone may fail to come back before it is said. */
const TRIES = 3;

/** Look at what is retained on topics: `onFound` gets each. When it returns, nothing was there on the others. Throws DeviceError where that cannot be proved. */
export async function look(
  broker: Broker,
  topics: readonly string[],
  onFound: (topic: string, payload: Buffer) => void,
  options: LookOptions = {},
): Promise<void> {
  const atOnce = SUBSCRIBE_AT_ONCE - 1; // and ours
  for (let at = 0; at < topics.length; at += atOnce) {
    options.onProgress?.(at, topics.length);
    await lookAtGroup(broker, topics.slice(at, at + atOnce), onFound, options);
  }
}

/** Look at a group; where our message does not come back, at its halves: the broker's queue may be shorter still. */
async function lookAtGroup(
  broker: Broker,
  topics: readonly string[],
  onFound: (topic: string, payload: Buffer) => void,
  options: LookOptions,
): Promise<void> {
  if (await isAnswered(broker, topics, onFound, options)) return;
  for (let tries = 1; !(await isAnswered(broker, topics.slice(0, 1), onFound, options)); tries++)
    if (tries === TRIES)
      throw new DeviceError(
        `${broker.about} does not give back what we retain on ${broker.markTopic}, so that nobody can say what else is there: ` +
          "may this operator publish and read there?",
      );
  const rest = topics.slice(1);
  const half = Math.ceil(rest.length / 2);
  for (const some of [rest.slice(0, half), rest.slice(half)])
    if (some.length > 0) await lookAtGroup(broker, some, onFound, options);
}

/** Ask for topics, ours behind them; false where ours has not come in time. */
function isAnswered(
  broker: Broker,
  topics: readonly string[],
  onFound: (topic: string, payload: Buffer) => void,
  options: LookOptions,
): Promise<boolean> {
  return broker.inTurn(() => ask(broker, topics, onFound, options));
}

async function ask(
  broker: Broker,
  topics: readonly string[],
  onFound: (topic: string, payload: Buffer) => void,
  { isPatient }: LookOptions,
): Promise<boolean> {
  const wanted = new Set(topics);
  const mark = broker.nextMark();
  let came = (_isThere: boolean) => {};
  const isThere = new Promise<boolean>((resolve) => (came = resolve));
  await broker.publish([mark]);
  const startMs = performance.now();
  const stop = await broker.listen(
    [...topics, mark.topic],
    (topic, payload, isRetained) => {
      if (!isRetained) return;
      if (wanted.has(topic)) onFound(topic, payload);
      else if (topic === mark.topic && payload.equals(mark.payload)) came(true);
    },
    1,
  );
  const timer = setTimeout(came, broker.answerMs, false);
  try {
    if (!(await broker.orAbandoned(isThere))) return false;
    if (isPatient) await delay(PATIENCE * (performance.now() - startMs));
    return true;
  } finally {
    clearTimeout(timer);
    await stop();
    // a store that keeps its order by age puts the next one behind all others again
    await broker.publish([{ topic: mark.topic, payload: Buffer.alloc(0) }]);
  }
}
