/*
 * RabbitMQ with its MQTT plugin on 127.0.0.1, as Debian's package has it; its files, its Erlang cookie and its port mapper (epmd) are
 * its own. Not among the packages that `npm test` installs: Erlang is large. Where it is there it is tried.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePort, runProgram, type StartedPeer, startPeer, WorkFolder } from "./process";

/** Debian's own script changes the user first; this one it calls then. */
const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/** Give the reason to skip, or false. */
export function skipWithoutRabbitmq(): string | false {
  return !existsSync(SERVER) && "not installed: rabbitmq-server";
}

/** Start RabbitMQ; resolves when it takes MQTT. */
export async function startRabbitmq(): Promise<StartedPeer> {
  const folder = new WorkFolder();
  const [port, amqp, distribution, epmd] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ]);
  const lines = [`listeners.tcp.1 = 127.0.0.1:${amqp}`, `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`];
  const env = {
    HOME: folder.path,
    ERL_EPMD_ADDRESS: "127.0.0.1",
    ERL_EPMD_PORT: `${epmd}`,
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    RABBITMQ_CONFIG_FILE: folder.file("rabbitmq.conf", `${lines.join("\n")}\nmqtt.allow_anonymous = true\n`),
    RABBITMQ_DIST_PORT: `${distribution}`,
    RABBITMQ_ENABLED_PLUGINS_FILE: folder.file("enabled_plugins", "[rabbitmq_mqtt].\n"),
    RABBITMQ_LOGS: "-",
    RABBITMQ_MNESIA_BASE: join(folder.path, "db"),
    RABBITMQ_NODENAME: `fleet${port}@localhost`,
  };
  // Started here and not by the server, it ends with us.
  const mapper = runProgram({ command: "epmd", args: [], env });
  const peer = await startPeer("rabbitmq-server", { command: SERVER, args: [], env, folder }, port);
  return {
    ...peer,
    async stop() {
      await peer.stop();
      await mapper.stop();
    },
  };
}
