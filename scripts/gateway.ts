// The gateway as a program: `npm run gateway -- --master FILE`. TLS-PSK for a fleet without a table of keys, an MQTT
// broker behind it (lib/gateway.ts). The list of revoked identities is read again on SIGHUP.
// Leaves out: becoming a daemon, log files; a supervisor does both better.
import { readFileSync } from "node:fs";
import { runCommand, UsageError } from "./lib/cli/exit";
import { endpoint, flag, integer, oneOf, option, parseCommand, port } from "./lib/cli/options";
import { quoted, show, showJson } from "./lib/cli/show";
import { openMaster } from "./lib/custody/master";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { type GatewayEvent, startGateway } from "./lib/gateway/gateway";
import { parseIdentity } from "./lib/keys/identity";
import { SCHEME_NAMES } from "./lib/keys/kdf";

const COMMAND = {
  usage: "npm run gateway -- --master FILE",
  about:
    "Serve a fleet: TLS-PSK with each device's key derived from its identity, and an MQTT broker where a device\n" +
    "may use its own topics only. Runs until Ctrl-C.",
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
      "the fleet's key version; N - 1 is let in as well; default 1",
      integer(1, 99_999),
    ),
    revoked: option("FILE", "identities to refuse, one a line; read again on SIGHUP"),
    listen: option("HOST:PORT", "default 127.0.0.1:8883", endpoint),
    "operator-port": option(
      "PORT",
      "take plain MQTT from this machine's programs on 127.0.0.1; default off",
      port,
    ),
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
  const secrets = new Secrets(options, ["master"]);
  const master = await openMaster(options.master, {
    purpose: "psk",
    scheme: options.scheme,
    secrets,
    name: "master",
  }).finally(() => secrets.close());
  const revokedFile = options.revoked;
  const { host, port } = options.listen ?? { host: "127.0.0.1", port: 8883 };
  const gateway = await startGateway({
    master,
    keyVersion: options["key-version"],
    revoked: revokedFile ? readRevoked(revokedFile) : [],
    host,
    port,
    operatorPort: options["operator-port"],
    onEvent: (event) => console.log(options.json ? showJson(event) : show(sentence(event))),
  });
  if (!options.json) console.log(`the gateway listens on ${gateway.host}:${gateway.port}; Ctrl-C ends it`);

  process.on("SIGHUP", () => {
    try {
      if (revokedFile) for (const identity of readRevoked(revokedFile)) gateway.revoke(identity);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      console.error(`gateway: ${show(error.message)} The list stays as it was.`);
    }
  });
  await new Promise((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  await gateway.close();
  master.close();
});

function readRevoked(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the revoked identities: ${(error as Error).message}.`);
  }
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#")).map((line) => parseIdentity(line).text);
}

function sentence(event: GatewayEvent): string {
  switch (event.kind) {
    case "secured":
      return `${event.identity} from ${event.address} secured with ${event.suite}`;
    case "connected":
    case "disconnected":
      return `${event.identity} ${event.kind}`;
    case "refused":
      return `${event.address} refused: ${event.reason}`;
    case "fault":
      return event.reason;
    case "denied":
      return `${event.identity} may not ${event.action} ${quoted(event.topic, 128)}`;
  }
}
