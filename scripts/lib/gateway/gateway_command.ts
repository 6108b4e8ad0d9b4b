// What `npm run gateway` does, once its command line is read (scripts/gateway.ts has the options).
import { join } from "node:path";
import type { Options } from "../../gateway";
import { interrupted, UsageError } from "../cli/exit";
import { checkPort } from "../cli/listen";
import { show } from "../cli/show";
import { openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { checkWritten } from "../files/new_file";
import { homeMaster, openHome } from "../home/home";
import { EMPTY_LIST, type FleetList, readFleetList } from "./fleet_list";
import { checkAkep2, startGateway } from "./gateway";
import { limitsOf } from "./limits";
import { withProcessMetrics } from "./metrics";
import { Reporter } from "./reporter";
import { readCredentials } from "./upstream";
import { isWorker, runWorkers, shareMetrics } from "./workers";

/** Where the tools of an operator look for a broker (lib/ota/defaults.ts). */
const OPERATOR_PORT = 1883;

/** Run the command. */
export async function run(options: Options): Promise<void> {
  if (!options.master && !options.home)
    throw new UsageError(
      "--master is missing; npm run keys makes one, npm run setup your own (then it is --home), npm run derive a throwaway one.",
    );
  const contradiction = [
    [options.home && options.master, "--home and --master exclude each other."],
    [!options.home && options.keys, "--keys goes with --home."],
    [options.host && options.listen, "--host and --listen exclude each other."],
    [options.home && options.workers, "--workers is for a fleet, and --home is not."],
    [!options.upstream && options.workers, "--workers needs --upstream: a broker inside is in one process."],
    [!options.upstream && options["upstream-credentials"], "--upstream-credentials needs --upstream."],
    [
      options.upstream && options.store,
      "--store is for the broker inside; with --upstream the broker keeps them.",
    ],
    [
      options.upstream && options["operator-port"],
      "with --upstream an operator speaks to the broker itself.",
    ],
    [
      options.workers && options["passphrase-fd"],
      "--workers: each of them reads the passphrase, so give a file.",
    ],
  ].find(([wrong]) => wrong);
  if (contradiction) throw new UsageError(contradiction[1] as string);
  const listFile = options.list;
  const list = listFile ? readFleetList(listFile) : EMPTY_LIST;
  const { host, port } = options.listen ?? { host: options.host ?? "127.0.0.1", port: 8883 };
  if (options["akep2-port"] === port)
    throw new UsageError("--akep2-port is the port of --listen: AKEP2 wants one of its own.");
  const home = options.home ? openHome(options.keys) : undefined;
  const isInside = !options.upstream;
  const print = (line: string) => console.log(line);
  const started = () => {
    if (!options.json) print(`the gateway listens on ${host}:${port}; Ctrl-C ends it`);
  };
  const ended = interrupted();
  const places = {
    akep2Port: options["akep2-port"],
    operatorPort: options["operator-port"] ?? (home && isInside ? OPERATOR_PORT : undefined),
    metricsPort: options["metrics-port"],
    storePath: options.store ?? (home && isInside ? join(home.folder, "retained.sqlite") : undefined),
  };
  const credentialsFile = options["upstream-credentials"];
  const credentials = credentialsFile ? readCredentials(credentialsFile) : undefined;
  // before a passphrase is asked for
  if (!isWorker()) {
    await checkPort({ host, port }, "the gateway");
    if (places.akep2Port !== undefined) await checkPort({ host, port: places.akep2Port }, "the gateway");
    for (const own of [places.operatorPort, places.metricsPort])
      if (own !== undefined) await checkPort({ host: "127.0.0.1", port: own }, "the gateway");
    if (places.storePath) checkWritten(places.storePath);
  }
  const secrets =
    options.workers && !options["passphrase-file"] ? new NoPrompt() : new Secrets(options, ["master"]);
  const wanted = { purpose: "psk", scheme: options.scheme, secrets, name: "master" } as const;
  const opening = home
    ? Promise.resolve(homeMaster("psk", home.folder))
    : openMaster(options.master as string, wanted);
  const master = await opening.finally(() => secrets.close());
  if (places.akep2Port !== undefined && !isWorker()) checkAkep2(master);
  if (options.workers && !isWorker()) {
    master.close(); // it was opened to say here, once, what is wrong with it
    return runWorkers(options.workers, options["metrics-port"], ended, started);
  }

  const reporter = new Reporter(options.json ?? false, print);
  const gateway = await startGateway({
    master,
    keyVersion: list.keyVersion ?? options["key-version"],
    revoked: list.denied,
    operators: list.operators,
    host,
    port,
    ...places,
    metricsPort: isWorker() ? undefined : places.metricsPort,
    balancers: options.balancer,
    upstream: options.upstream,
    credentials,
    limits: limitsOf(options),
    onEvent: (event) => reporter.take(event),
  }).catch((error) => {
    if (isWorker()) process.disconnect(); // nothing keeps it then
    throw error;
  });
  if (isWorker()) shareMetrics(gateway.metrics);
  else started();
  withProcessMetrics(gateway.metrics.registry);

  process.on("SIGHUP", () => {
    if (!listFile) return;
    let fresh: FleetList;
    try {
      fresh = readFleetList(listFile);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      console.error(`gateway: ${show(error.message)} The list stays as it was.`);
      return;
    }
    gateway.setList({ ...fresh, keyVersion: fresh.keyVersion ?? options["key-version"] });
    if (!options.json)
      print(
        `the list has been read: key version ${fresh.keyVersion ?? options["key-version"] ?? 1}, ${fresh.denied.size} denied`,
      );
  });
  await ended;
  await gateway.drain();
  await gateway.close();
  reporter.flush();
  master.close();
  if (isWorker()) process.disconnect();
}

/** What workers get where no file has the passphrase: nobody could answer several of them. */
class NoPrompt extends Secrets {
  constructor() {
    super({}, ["master"]);
  }
  override opening(): Promise<never> {
    throw new UsageError(
      "--workers: each of them opens the master, so give its passphrase with --passphrase-file.",
    );
  }
}
