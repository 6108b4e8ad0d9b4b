// What `npm run tunnel` does, once its command line is read (scripts/tunnel.ts has the options).
import { isIPv4 } from "node:net";
import type { Options } from "../../tunnel";
import { CountedLines } from "../cli/counted_lines";
import { interrupted, UsageError } from "../cli/exit";
import { checkPort } from "../cli/listen";
import { show, showJson } from "../cli/show";
import { openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { checkWritten } from "../files/new_file";
import { Counters } from "./counters";
import { readIdentities, tunnelDevices } from "./device_list";
import { LIMITS, Tunnel, type TunnelEvent } from "./tunnel";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  const missing = (["master", "devices", "counters", "to"] as const).find(
    (name) => options[name] === undefined,
  );
  if (missing) throw new UsageError(`--${missing} is missing. See --help.`);
  const { master: masterPlace, devices: list, counters: path, to } = options as Required<Options>;
  const listen = options.listen ?? { host: "127.0.0.1", port: 4500 };
  const udp = options.udp ?? { host: "127.0.0.1", port: 4501 };
  for (const [name, { host }] of Object.entries({ to, udp }))
    if (!isIPv4(host)) throw new UsageError(`--${name}: "${host}" is no IPv4 address.`);
  const transform = options.transform ?? "ccm";
  const identities = readIdentities(list);
  checkWritten(path);
  await checkPort(listen, "the tunnel");
  const secrets = new Secrets(options, ["master"]);
  const master = await openMaster(masterPlace, {
    purpose: "psk",
    scheme: "kdf",
    secrets,
    name: "master",
  }).finally(() => secrets.close());
  const ended = interrupted();
  const lines = new CountedLines(options.json ?? false);
  const report = (event: TunnelEvent) => {
    if ("reason" in event)
      lines.count(`${event.event} ${event.identity ? `${event.identity}: ` : ""}${event.reason}`);
    else
      console.log(
        options.json ? showJson(event) : show(`${event.event} ${event.identity} from ${event.address}`),
      );
  };
  const counters = new Counters(path);
  let tunnel: Tunnel | undefined;
  try {
    const devices = tunnelDevices(identities, master, transform);
    tunnel = new Tunnel({
      ...{ listen, udp, to, devices, counters },
      limits: { connections: options.connections ?? LIMITS.connections },
      onEvent: report,
    });
    await tunnel.start();
    if (!options.json)
      console.log(
        `the tunnel lets in ${devices.length} devices on ${listen.host}:${listen.port}; datagrams go to ${to.host}:${to.port} and come to ${udp.host}:${udp.port}; Ctrl-C ends it`,
      );
    process.on("SIGHUP", () => {
      try {
        const fresh = tunnelDevices(readIdentities(list), master, transform);
        tunnel?.setDevices(fresh);
        if (!options.json) console.log(`the list has been read: ${fresh.length} devices`);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        console.error(`tunnel: ${show(error.message)} The list stays as it was.`);
      }
    });
    await ended;
  } finally {
    await tunnel?.stop();
    counters.close();
    master.close();
    lines.flush();
  }
}
