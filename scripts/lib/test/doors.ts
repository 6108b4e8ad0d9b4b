// The fleet's front doors, each started with a master and a list for one suite (gateway/doors.test.ts): the gateway with its
// broker inside, the gateway before brokers of others, and Mosquitto with the plugin. Ports on 127.0.0.1 that are free.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { masterFromBytes } from "../custody/master";
import { readFleetList } from "../gateway/fleet_list";
import { type Gateway, type GatewayOptions, startGateway } from "../gateway/gateway";
import { findProgram, skipWithout, skipWithoutHeaders } from "./peers/install";
import { startNats } from "./peers/nats";
import { freePort, listens, type StartedPeer, startPeer, WorkFolder } from "./peers/process";
import { skipWithoutRabbitmq, startRabbitmq } from "./peers/rabbitmq";

export interface Door {
  port: number;
  /** Plain MQTT at the broker, for operators. */
  operatorPort: number;
  /** Replace the list; it holds when the promise resolves. */
  setList(text: string): Promise<void>;
  /** All that it has said. */
  output(): string;
  stop(): Promise<void>;
}

export interface DoorRow {
  skip: string | false;
  start(master: Buffer, list: string): Promise<Door>;
}

export const PLUGIN_FOLDER = join("scripts", "lib", "gateway", "mosquitto");
const PLUGIN = join("dist", "mosquitto", "psk_plugin.so");

/** Give the reason to skip what needs the plugin, or false; it is built here. */
export function skipWithoutPlugin(): string | false {
  const missing = skipWithout("mosquitto", "gcc", "make") || skipWithoutHeaders();
  if (missing) return missing;
  const { status, stderr } = spawnSync("make", ["mosquitto-plugin"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`the plugin cannot be built:\n${stderr}`);
  return false;
}

/** Start a Mosquitto of plain MQTT: a broker that stands behind a gateway. */
export async function startPlainMosquitto(): Promise<StartedPeer> {
  const port = await freePort();
  const folder = new WorkFolder();
  const lines = [
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "log_dest stderr",
  ];
  const configuration = folder.file("mosquitto.conf", `${lines.join("\n")}\n`);
  const command = findProgram("mosquitto") ?? "mosquitto";
  return startPeer("mosquitto", { command, args: ["-c", configuration], folder }, port);
}

async function gatewayDoor(
  master: Buffer,
  text: string,
  options: Partial<GatewayOptions>,
  behind: { port: number; stop(): Promise<void> }[],
): Promise<Door> {
  const folder = new WorkFolder();
  const list = readFleetList(folder.file("list", text));
  const said: string[] = [];
  const gateway: Gateway = await startGateway({
    master: masterFromBytes(Buffer.from(master)),
    keyVersion: list.keyVersion,
    revoked: list.denied,
    operators: list.operators,
    upstream: behind.length ? behind.map(({ port }) => ({ host: "127.0.0.1", port })) : undefined,
    operatorPort: behind.length ? undefined : 0,
    onEvent: (event) => said.push(JSON.stringify(event)),
    ...options,
  });
  return {
    port: gateway.port,
    operatorPort: gateway.operatorPort ?? behind[0].port,
    async setList(fresh) {
      gateway.setList(readFleetList(folder.file("list", fresh)));
    },
    output: () => said.join("\n"),
    async stop() {
      await gateway.close();
      await Promise.all(behind.map(({ stop }) => stop()));
      folder.remove();
    },
  };
}

/** Start Mosquitto with the plugin and the configuration of this project, its folders and ports exchanged. */
export async function startPluginDoor(
  list: string,
  masterOptions: (folder: WorkFolder) => Record<string, string>,
  env: Record<string, string> = {},
): Promise<Door & StartedPeer> {
  const folder = new WorkFolder();
  const [port, operatorPort] = [await freePort(), await freePort()];
  const listPath = folder.file("fleet.list", list);
  const master = Object.entries(masterOptions(folder)).map(([name, value]) => `plugin_opt_${name} ${value}`);
  const configuration = readFileSync(join(PLUGIN_FOLDER, "mosquitto.conf"), "utf8")
    .replace("persistence_location /var/lib/mosquitto/", `persistence_location ${folder.path}/`)
    .replace("listener 8883", `listener ${port} 127.0.0.1`)
    .replace("listener 1883 127.0.0.1", `listener ${operatorPort} 127.0.0.1`)
    .replace("/usr/local/lib/mosquitto/psk_plugin.so", join(process.cwd(), PLUGIN))
    .replace("plugin_opt_credential psk-master", master.join("\n"))
    .replace("/etc/mosquitto/fleet.list", listPath);
  // Started as root it becomes its own user, who cannot read a key file of mode 0600.
  const asRoot = process.getuid?.() === 0 ? "user root\n" : "";
  const file = folder.file("mosquitto.conf", `${asRoot}log_dest stderr\n${configuration}`);
  const peer = await startPeer(
    "mosquitto",
    {
      command: findProgram("mosquitto") ?? "mosquitto",
      args: ["-c", file],
      env: { OPENSSL_CONF: join(process.cwd(), PLUGIN_FOLDER, "openssl.cnf"), ...env },
      folder,
    },
    port,
  );
  // its listeners open one after the other
  while (!(await listens(operatorPort))) await new Promise((resolve) => setTimeout(resolve, 10));
  return {
    ...peer,
    operatorPort,
    async setList(fresh) {
      const answers = () => peer.output().match(/psk_plugin: (key version|the list stays)/g)?.length ?? 0;
      const before = answers();
      writeFileSync(listPath, fresh);
      let isGone = false;
      void peer.exited.then(() => (isGone = true));
      peer.signal("SIGHUP");
      while (answers() === before && !isGone) await new Promise((resolve) => setTimeout(resolve, 10));
      if (isGone) throw new Error(`Mosquitto is gone:\n${peer.output()}`);
    },
  };
}

export const DOORS: Record<string, DoorRow> = {
  "the gateway": { skip: false, start: (master, list) => gatewayDoor(master, list, {}, []) },
  "the gateway before Mosquitto": {
    skip: skipWithout("mosquitto"),
    start: async (master, list) => gatewayDoor(master, list, {}, [await startPlainMosquitto()]),
  },
  "the gateway before NATS": {
    skip: skipWithout("nats-server"),
    start: async (master, list) => gatewayDoor(master, list, {}, await startNats(1)),
  },
  "the gateway before RabbitMQ": {
    skip: skipWithoutRabbitmq(),
    start: async (master, list) => gatewayDoor(master, list, {}, [await startRabbitmq()]),
  },
  "Mosquitto with the plugin": {
    skip: skipWithoutPlugin(),
    start: (master, list) =>
      startPluginDoor(list, (folder) => ({ master: folder.file("master", master.toString("hex")) })),
  },
};
