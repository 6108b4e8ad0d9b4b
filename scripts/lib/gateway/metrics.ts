// What the gateway shows of itself, on a port of its own: /metrics for Prometheus, and /ready, which is 200 while devices are
// let in, and 503 while it drains or no broker is there. No identity stands in a metric: their number has no bound.
import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

export interface Gauges {
  halfOpen(): number;
  sessions(): number;
  connections(): number;
  queuedBytes(): number;
  heldBytes(): number;
}

export class Metrics {
  readonly registry = new Registry();
  readonly accepted = this.counter("gateway_connections_accepted_total", "TCP connections accepted");
  readonly secured = this.counter("gateway_handshakes_total", "handshakes that ended well");
  readonly connected = this.counter("gateway_connects_total", "devices that a broker took");
  readonly derivations = this.counter(
    "gateway_derivations_total",
    "keys derived: two a handshake, whoever knocks",
  );
  readonly denied = this.counter("gateway_denied_total", "topics refused");
  readonly faults = this.counter(
    "gateway_faults_total",
    "faults of the master's token, the disk or the brokers",
  );
  readonly refused = new Counter({
    name: "gateway_refused_total",
    help: "connections refused, by reason",
    labelNames: ["reason"],
    registers: [this.registry],
  });

  private counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] });
  }

  /** Show what is so now. */
  gauges(now: Gauges): void {
    const rows: Record<keyof Gauges, [name: string, help: string]> = {
      halfOpen: ["gateway_half_open", "handshakes under way"],
      sessions: ["gateway_sessions", "devices secured"],
      connections: ["gateway_connections", "TCP connections"],
      queuedBytes: ["gateway_queued_bytes", "bytes that wait for devices"],
      heldBytes: ["gateway_held_bytes", "bytes of devices that wait for the broker"],
    };
    for (const [key, [name, help]] of Object.entries(rows))
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(now[key as keyof Gauges]());
        },
      });
  }
}

/** Serve /metrics and /ready. */
export function metricsServer(text: () => Promise<string>, isReady: () => Promise<boolean>): Server {
  return createServer((request, response) => {
    const answer = async (): Promise<[status: number, body: string]> => {
      if (request.method !== "GET") return [405, "GET only\n"];
      if (request.url === "/metrics") return [200, await text()];
      if (request.url === "/ready") return (await isReady()) ? [200, "ready\n"] : [503, "not ready\n"];
      return [404, "/metrics or /ready\n"];
    };
    answer().then(
      ([status, body]) =>
        response.writeHead(status, { "content-type": "text/plain; version=0.0.4" }).end(body),
      (error: Error) => response.writeHead(500).end(`${error.message}\n`),
    );
  });
}

/** The process's own figures as well: processor, memory, event loop. */
export function withProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
}
