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
  type Parsed,
  parseCommand,
  port,
} from "./lib/cli/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { LIMIT_OPTIONS } from "./lib/gateway/limits";
import { parseUpstream } from "./lib/gateway/upstream_place";
import { HOME_OPTION } from "./lib/home/home_option";
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
    home: flag("your own keys, which npm run setup made, instead of --master; operators on port 1883"),
    host: option(
      "ADDRESS",
      "with --home: where to listen, at port 8883; 0.0.0.0 for all that can reach this machine",
      ipAddress,
    ),
    ...HOME_OPTION,
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
    "akep2-port": option(
      "PORT",
      "the same for devices of the profile akep2, at the same address; default off",
      port,
    ),
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

function ipAddress(text: string): string {
  if (!isIP(text)) throw new UsageError(`"${text}" is no IP address.`);
  return text;
}

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("gateway", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/gateway/gateway_command")).run(parsed.options);
});
