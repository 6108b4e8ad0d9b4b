/*
 * NATS servers with JetStream and MQTT, one or a cluster of three, on 127.0.0.1. A server can be killed and started again
 * with its files. After a kill the others choose who leads each stream and each consumer, which takes them 4 to 9 s for a
 * choice (raft's election timeout, which no configuration changes); until then JetStream answers nobody, and who asks
 * meanwhile and gives up leaves work behind that makes it longer. So `settled` asks the monitoring port, and nobody else.
 * Who comes back serves, but of 2.9.10 one may never hear the leader of a consumer again ("is not current" in /healthz, also
 * after another start), and then the next loss is one too many: a cluster of a test loses one server.
 */
import { findProgram } from "./install";
import {
  freePort,
  listens,
  type Peer,
  type RunningProgram,
  runProgram,
  WorkFolder,
  waitUntil,
  waitUntilReady,
} from "./process";

export interface NatsServer extends Pick<Peer, "port" | "output" | "stop"> {
  name: string;
  /** Whether its process runs. */
  alive(): boolean;
  /** End it as a power cut does. */
  kill(): Promise<void>;
  /** Start it again, with what it had on disk. */
  again(): Promise<void>;
  /** Whether it has caught up, and knows for all that it keeps a leader that is one of `names`. */
  isSettled(names: ReadonlySet<string>): Promise<boolean>;
}

/** Wait until the servers of a cluster that run have caught up and are led by servers that run. */
export async function settled(servers: readonly NatsServer[]): Promise<void> {
  const running = servers.filter((server) => server.alive());
  const names = new Set(running.map(({ name }) => name));
  await waitUntil("a leader for each stream", async () => {
    const all = await Promise.all(running.map((server) => server.isSettled(names)));
    return !all.includes(false);
  });
}

/** What /jsz tells of what is kept in several places, as far as it is looked at. */
interface Replicated {
  cluster?: { leader?: string };
  meta_cluster?: { leader?: string };
  account_details?: { stream_detail?: Replicated[] }[];
  consumer_detail?: Replicated[];
}

/** Who leads the cluster, each stream and each consumer; undefined for what has no leader. */
function leaders({ meta_cluster, account_details = [] }: Replicated): (string | undefined)[] {
  const streams = account_details.flatMap(({ stream_detail = [] }) => stream_detail);
  const all = streams.flatMap((stream) => [stream, ...(stream.consumer_detail ?? [])]);
  return [meta_cluster?.leader, ...all.map(({ cluster }) => cluster?.leader)];
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
    const name = `n${at}`;
    const folder = new WorkFolder();
    const cluster =
      count > 1 ? `cluster { name: fleet, listen: "127.0.0.1:${port.cluster}", routes: [${routes}] }` : "";
    const configuration = folder.file(
      "nats.conf",
      `server_name: ${name}
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
    const monitor = (path: string) => fetch(`http://127.0.0.1:${port.monitor}${path}`).catch(() => undefined);
    // A cluster is healthy when it has chosen who leads it and JetStream has caught up.
    const isHealthy = async () => (await monitor("/healthz"))?.ok === true && (await listens(port.mqtt));
    const ready = () => waitUntilReady(program, "nats-server", isHealthy);
    return {
      name,
      port: port.mqtt,
      ready,
      output: () => program.output(),
      alive: () => program.alive(),
      stop: () => program.stop(),
      async kill() {
        program.child.kill("SIGKILL");
        await program.exited;
      },
      async again() {
        start();
        await waitUntilReady(program, "nats-server", () => listens(port.mqtt));
      },
      async isSettled(names: ReadonlySet<string>) {
        if (!(await isHealthy())) return false;
        const answer = await monitor("/jsz?accounts=true&streams=true&consumers=true");
        if (!answer?.ok) return false;
        return leaders((await answer.json()) as Replicated).every((leader) => leader && names.has(leader));
      },
    };
  });
  await Promise.all(servers.map(({ ready }) => ready()));
  return servers;
}
