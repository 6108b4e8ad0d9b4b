// Where a broker stands, as it is given.
import { UsageError } from "../cli/exit";
import { type Endpoint, endpoint } from "../cli/options";

export type Upstream = Endpoint;

const MQTT_PORT = 1883;

/** Parse `mqtt://HOST[:PORT]`. A name and password in it would stand in the list of processes. */
export function parseUpstream(text: string): Upstream {
  const [, host, port] = /^mqtt:\/\/([^/:@]+)(?::(\d+))?\/?$/.exec(text) ?? [];
  if (!host) throw new UsageError("a broker is mqtt://HOST or mqtt://HOST:PORT, without a name or password.");
  return endpoint(`${host}:${port ?? MQTT_PORT}`);
}
