// The ticket service on a broker: it listens to `<product>/<serial>/up/ticket` and answers on `.../down/ticket`, and carries what devices say to
// each other from `.../up/peer/<other>` to `<other>/down/peer/...`, for a device may write to no topics but its own. It is trusted with
// tickets, not with what it carries. QoS 1, nothing retained.
import { DeviceError, UsageError } from "../cli/exit";
import type { Broker } from "../ota/broker";
import { destination, type Issued, issue, type Keys, type Rules } from "./service";

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
  const send = (topic: string, payload: Buffer) => {
    if (underWay >= UNDER_WAY) return;
    underWay++;
    broker
      .publish([{ topic, payload, retain: false }])
      .catch(() => {}) // a broker that is gone says so itself (Broker.lost)
      .finally(() => underWay--);
  };
  const answer = (topic: string, bytes: Buffer) => {
    const [product, serial] = topic.split("/");
    let issued: Issued;
    try {
      issued = issue(options.keys, rules, product, serial, bytes);
    } catch (error) {
      // a token that is pulled, too: nobody gets a ticket until it is back
      if (!(error instanceof UsageError || error instanceof DeviceError)) throw error;
      options.onEvent({ event: "refused", from: `${product}/${serial}`, reason: error.message });
      return;
    }
    options.onEvent({ event: "ticket", asker: issued.asker.text, asked: issued.asked.text });
    send(`${product}/${serial}/down/ticket`, issued.answer);
  };
  const stop = await broker.listen(["+/+/up/ticket", "+/+/up/peer/+"], (topic, payload, retained) => {
    // what a broker has kept is no message of now
    if (retained || payload.length > LONGEST) return;
    if (topic.endsWith("/up/ticket")) answer(topic, payload);
    else {
      const to = destination(topic);
      if (to !== undefined) send(to, payload);
    }
  });
  return {
    setRules: (next) => void (rules = next),
    stop,
  };
}
