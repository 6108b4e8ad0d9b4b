/*
 * NATS servers with JetStream and MQTT, one or a cluster of three, on 127.0.0.1. A server can be killed and started again
 * with its files.
 */
import { findProgram } from "./install";
import {
  freePort,
  listens,
  type Peer,
  type RunningProgram,
  runProgram,
  WorkFolder,
  waitUntilReady,
} from "./process";

export interface NatsServer extends Pick<Peer, "port" | "output" | "stop"> {
  /** End it as a power cut does. */
  kill(): Promise<void>;
  /** Start it again, with what it had on disk. */
  again(): Promise<void>;
}

/** Start `count` servers that know each other, and wait until they take MQTT. */
export async function startNats(count: number): Promise<NatsServer[]> {
  const ports = await Promise.all(
    Array.from({ length: count }, async () => ({
      mqtt: await freePort(),
      client: await freePort(),
      cluster: await freePort(),
      monitor: await freePort(),
    })),
  );
  const routes = ports.map(({ cluster }) => `nats://127.0.0.1:${cluster}`).join(", ");
  const servers = ports.map((port, at) => {
    const folder = new WorkFolder();
    const cluster =
      count > 1 ? `cluster { name: fleet, listen: "127.0.0.1:${port.cluster}", routes: [${routes}] }` : "";
    const configuration = folder.file(
      "nats.conf",
      `server_name: n${at}
       listen: "127.0.0.1:${port.client}"
       http: "127.0.0.1:${port.monitor}"
       jetstream { store_dir: "${folder.path}/js", max_mem: 64M, max_file: 256M }
       mqtt { listen: "127.0.0.1:${port.mqtt}", ack_wait: "5s" }
       ${cluster}\n`,
    );
    let program: RunningProgram;
    const start = () => {
      program = runProgram({
        command: findProgram("nats-server") ?? "nats-server",
        args: ["-c", configuration],
        folder,
      });
    };
    start();
    // A cluster is healthy when it has chosen who leads it and JetStream has caught up.
    const isHealthy = async () => {
      const answer = await fetch(`http://127.0.0.1:${port.monitor}/healthz`).catch(() => undefined);
      return answer?.ok === true && (await listens(port.mqtt));
    };
    const ready = () => waitUntilReady(program, "nats-server", isHealthy);
    return {
      port: port.mqtt,
      ready,
      output: () => program.output(),
      stop: () => program.stop(),
      async kill() {
        program.child.kill("SIGKILL");
        await program.exited;
      },
      async again() {
        start();
        await waitUntilReady(program, "nats-server", () => listens(port.mqtt));
      },
    };
  });
  await Promise.all(servers.map(({ ready }) => ready()));
  return servers;
}
