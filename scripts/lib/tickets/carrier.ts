// The ticket service on a broker: it listens to `<product>/<serial>/up/ticket` and answers on `.../down/ticket`, and carries what devices say to
// each other from `.../up/peer/<other>` to `<other>/down/peer/...`, for a device may write to no topics but its own. It is trusted with
// tickets, not with what it carries. QoS 1, nothing retained. Each device has a rate of its own, by the topic on which it says something.
import { DeviceError, UsageError } from "../cli/exit";
import type { Rate } from "../gateway/token_bucket";
import type { Broker } from "../ota/broker";
import { RATE, Senders } from "./senders";
import { type Issued, issue, type Keys, type Published, parseTopic, type Rules } from "./service";

/** Longest message that is carried, bytes: a device takes packets of up to 640. */
const LONGEST = 640;
/** Messages that may wait for the broker's acknowledgement; what is over is dropped, as whoever carries may. */
const UNDER_WAY = 1_000;

export type TicketEvent =
  | { event: "ticket"; asker: string; asked: string }
  | { event: "refused"; from: string; reason: string };

export interface CarrierOptions {
  keys: Keys;
  rules: Rules;
  onEvent(event: TicketEvent): void;
  /** Of each device. */
  rate?: Partial<Rate>;
  /** Milliseconds that only grow. */
  now?: () => number;
}

/** A carrier at work. */
export interface Carrier {
  /** From now on. */
  setRules(rules: Rules): void;
  stop(): Promise<void>;
}

/** Serve until `stop`. Throws DeviceError where the broker does not let us listen. */
export async function carry(broker: Broker, options: CarrierOptions): Promise<Carrier> {
  let { rules } = options;
  let underWay = 0;
  const rate = { ...RATE, ...options.rate };
  const senders = new Senders(rate, options.now);
  const send = (from: string, topic: string, payload: Buffer) => {
    if (underWay >= UNDER_WAY) return refuse(from, "the broker does not acknowledge what it gets.");
    underWay++;
    broker
      .publish([{ topic, payload, retain: false }])
      .catch(() => {}) // a broker that is gone says so itself (Broker.lost)
      .finally(() => underWay--);
  };
  const refuse = (from: string, reason: string) => options.onEvent({ event: "refused", from, reason });
  const answer = ({ product, serial }: Published, from: string, bytes: Buffer) => {
    let issued: Issued;
    try {
      issued = issue(options.keys, rules, product, serial, bytes);
    } catch (error) {
      // a token that is pulled, too: nobody gets a ticket until it is back
      if (!(error instanceof UsageError || error instanceof DeviceError)) throw error;
      return refuse(from, error.message);
    }
    options.onEvent({ event: "ticket", asker: issued.asker.text, asked: issued.asked.text });
    send(from, `${product}/${serial}/down/ticket`, issued.answer);
  };
  const stop = await broker.listen(["+/+/up/ticket", "+/+/up/peer/+"], (topic, payload, retained) => {
    // what a broker has kept is no message of now
    if (retained || payload.length > LONGEST) return;
    const published = parseTopic(topic);
    if (!published) return;
    const from = `${published.product}/${published.serial}`;
    if (!senders.mayPass(from)) return refuse(from, `over ${rate.messagesPerSecond} messages a second.`);
    if (published.to === undefined) answer(published, from, payload);
    else send(from, published.to, payload);
  });
  return {
    setRules: (next) => void (rules = next),
    stop,
  };
}
