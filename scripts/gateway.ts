// The gateway as a program: `npm run gateway -- --master FILE`. TLS-PSK for a fleet without a table of keys, an MQTT
// broker behind it or inside (lib/gateway/README.md). The list of who is denied is read again on SIGHUP; SIGTERM sends the
// devices away one after the other. Contradicting options, a bad list, a port that is taken: a sentence, exit 2.
// Leaves out: becoming a daemon, log files; a supervisor does both better.
import { isIP } from "node:net";
import { runCommand, UsageError } from "./lib/cli/exit";
import {
  endpoint,
  flag,
  integer,
  options as manyOf,
  oneOf,
  option,
  parseCommand,
  port,
} from "./lib/cli/options";
import { show } from "./lib/cli/show";
import { openMaster } from "./lib/custody/master";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { EMPTY_LIST, type FleetList, readFleetList } from "./lib/gateway/fleet_list";
import { startGateway } from "./lib/gateway/gateway";
import { LIMIT_OPTIONS, limitsOf } from "./lib/gateway/limits";
import { withProcessMetrics } from "./lib/gateway/metrics";
import { Reporter } from "./lib/gateway/reporter";
import { parseUpstream, readCredentials } from "./lib/gateway/upstream";
import { isWorker, runWorkers, shareMetrics } from "./lib/gateway/workers";
import { SCHEME_NAMES } from "./lib/keys/kdf";

const COMMAND = {
  usage: "npm run gateway -- --master FILE",
  about:
    "Serve a fleet: TLS-PSK with each device's key derived from its identity, and an MQTT broker where a device\n" +
    "may use its own topics only. Runs until Ctrl-C. lib/gateway/README.md says which broker is for whom.",
  options: {
    master: option(
      "FILE|pkcs11:...",
      "the psk master: a sealed file or a token (npm run keys), or raw (npm run derive makes a throwaway one)",
    ),
    scheme: option(
      "NAME",
      `how keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the master's place says`,
      oneOf(SCHEME_NAMES),
    ),
    "key-version": option(
      "N",
      "the fleet's key version where the list does not say it; N - 1 is let in as well; default 1",
      integer(1, 99_999),
    ),
    list: option(
      "FILE",
      "who is denied, an identity a line; `key-version N`; `operator IDENTITY`; read again on SIGHUP",
    ),
    listen: option("HOST:PORT", "default 127.0.0.1:8883", endpoint),
    upstream: manyOf(
      "mqtt://HOST:PORT",
      "the broker; may be given again for the others of a cluster; default: a broker inside",
      parseUpstream,
    ),
    "upstream-credentials": option("FILE", "NAME:PASSWORD for the brokers, in a file of mode 0600"),
    workers: option("N", "processes that share the port; with --upstream only; default 1", integer(1, 256)),
    store: option("FILE", "where the broker inside keeps retained messages; default in memory"),
    "operator-port": option(
      "PORT",
      "the broker inside takes plain MQTT from this machine's programs on 127.0.0.1; default off",
      port,
    ),
    balancer: manyOf("ADDRESS", "it speaks the PROXY protocol, version 2; may be given again", ipAddress),
    "metrics-port": option("PORT", "/metrics and /ready on 127.0.0.1; default off", port),
    ...LIMIT_OPTIONS,
    ...SECRET_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
};

await runCommand("gateway", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  if (!options.master)
    throw new UsageError("--master is missing; npm run keys makes one, npm run derive a throwaway one.");
  const contradiction = [
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
  const { host, port } = options.listen ?? { host: "127.0.0.1", port: 8883 };
  const print = (line: string) => console.log(line);
  const started = () => {
    if (!options.json) print(`the gateway listens on ${host}:${port}; Ctrl-C ends it`);
  };
  const ended = new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  const secrets =
    options.workers && !options["passphrase-file"] ? new NoPrompt() : new Secrets(options, ["master"]);
  const master = await openMaster(options.master, {
    purpose: "psk",
    scheme: options.scheme,
    secrets,
    name: "master",
  }).finally(() => secrets.close());
  if (options.workers && !isWorker()) {
    master.close(); // it was opened to say here, once, what is wrong with it
    return runWorkers(options.workers, options["metrics-port"], ended, started);
  }

  const reporter = new Reporter(options.json ?? false, print);
  const credentials = options["upstream-credentials"];
  const gateway = await startGateway({
    master,
    keyVersion: list.keyVersion ?? options["key-version"],
    revoked: list.denied,
    operators: list.operators,
    host,
    port,
    operatorPort: options["operator-port"],
    metricsPort: isWorker() ? undefined : options["metrics-port"],
    balancers: options.balancer,
    storePath: options.store,
    upstream: options.upstream,
    credentials: credentials ? readCredentials(credentials) : undefined,
    limits: limitsOf(options),
    onEvent: (event) => reporter.take(event),
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
});

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

function ipAddress(text: string): string {
  if (!isIP(text)) throw new UsageError(`"${text}" is no IP address.`);
  return text;
}
