// Several processes on one port, for machines with several cores (node:cluster): the first one takes the connections and
// hands them round, and starts a worker again that has died. Only with --upstream, where a gateway keeps no state.
// SIGHUP and SIGTERM go to the first and from there to all. /metrics is the sum of all, served by the first.
import cluster, { type Worker } from "node:cluster";
import { AggregatorRegistry } from "prom-client";
import { DeviceError, UsageError } from "../cli/exit";
import { listen } from "../cli/listen";
import type { Metrics } from "./metrics";
import { metricsServer } from "./metrics";

const AGAIN_MS = 1_000; // before a worker that died is started again

/** Whether this process is one of them, and not the first. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** In a worker: let the first process read these figures. */
export function shareMetrics({ registry }: Metrics): void {
  AggregatorRegistry.setRegistries([registry]);
  new AggregatorRegistry();
}

/** In the first process: run workers until `ended`, then let them drain. */
export async function runWorkers(
  count: number,
  metricsPort: number | undefined,
  ended: Promise<unknown>,
  onListening: () => void,
): Promise<void> {
  let isEnding = false;
  const listening = new Set<Worker>();
  const failed = new Promise<never>((_, reject) => {
    cluster.on("exit", (worker, code) => {
      const came = listening.delete(worker);
      if (isEnding) return;
      // One that never came up says why on standard error; starting it again would say it for ever.
      if (!came)
        reject(code === 2 ? new UsageError("no worker can start.") : new DeviceError("no worker comes up."));
      else setTimeout(() => !isEnding && cluster.fork(), AGAIN_MS);
    });
  });
  cluster.on("listening", (worker) => {
    listening.add(worker);
    if (listening.size === count) onListening();
  });
  for (let i = 0; i < count; i++) cluster.fork();
  const signal = (name: NodeJS.Signals) => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(name);
  };
  const onHangup = () => signal("SIGHUP");
  process.on("SIGHUP", onHangup);
  const registry = new AggregatorRegistry();
  const server = metricsServer(
    () => registry.clusterMetrics(),
    async () => !isEnding && listening.size > 0,
  );
  try {
    if (metricsPort !== undefined)
      await listen(server, { host: "127.0.0.1", port: metricsPort }, "the gateway");
    await Promise.race([ended, failed]);
  } finally {
    isEnding = true;
    process.off("SIGHUP", onHangup);
    const workers = Object.values(cluster.workers ?? {}) as Worker[];
    const gone = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
    signal("SIGTERM");
    await Promise.all(gone);
    server.close();
  }
}
