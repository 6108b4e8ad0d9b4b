// What `npm run console` does, once its command line is read (scripts/console.ts has the options).

import type { Options } from "../../console";
import { isPresent, Port, PortClosed } from "../bench/port";
import { portName } from "../bench/port_name";
import { DeviceError, EXIT_FAILED, EXIT_USAGE, UsageError } from "../cli/exit";
import { showInput } from "../cli/hidden_input";
import { type Master, masterFromBytes, openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { startGateway } from "../gateway/gateway";
import { homeMasterOf } from "../home/known";
import { newMasters, simulatedDevice } from "../simulate/finished_device";
import { servePage } from "./page_file";
import { ConsoleSession, NoAnswer } from "./session";
import { Terminal, type TerminalResult } from "./terminal";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  if (options.page !== undefined) {
    if (options.port || options.master)
      throw new UsageError("--page takes no port and no master: the browser has the port.");
    return servePage(options.page);
  }
  if (options.simulate) {
    if (options.port || options.master)
      throw new UsageError("--simulate takes no port and no master: it has its own.");
    return simulate(options.json);
  }
  const name = options.port ?? portName(process.env.PORT || missing());
  if (!options.master && (options.scheme || options["passphrase-file"] || options["passphrase-fd"]))
    throw new UsageError("--scheme and the passphrase are for --master, which is missing.");
  // before a passphrase is asked for
  if (!isPresent(name))
    throw new DeviceError(`${name}: there is no such port: plug the device in, or look up its name.`);
  const master = options.master ? await open(options.master, options) : undefined;
  try {
    await serve(name, options.json, master);
  } finally {
    master?.close();
  }
}

async function open(place: string, options: Options): Promise<Master> {
  const secrets = new Secrets(options, ["master"]);
  const wanted = { purpose: "console", scheme: options.scheme, secrets, name: "master" } as const;
  return await openMaster(place, wanted).finally(() => secrets.close());
}

/** Talk over the port, and end as it went. Throws DeviceError where the device is gone or is none. */
async function serve(name: string, json: boolean | undefined, master: Master | undefined): Promise<void> {
  try {
    const { misused, failed } = await talk(name, json, master);
    if (misused) process.exitCode = EXIT_USAGE;
    else if (failed) process.exitCode = EXIT_FAILED;
  } catch (error) {
    if (error instanceof NoAnswer) throw new DeviceError(`${name}: ${error.message}`);
    if (error instanceof PortClosed) throw new DeviceError(`${error.message}.`);
    throw error;
  }
}

/** A device and its gateway in this process, for as long as the terminal is used. */
async function simulate(json: boolean | undefined): Promise<void> {
  const masters = newMasters();
  const gateway = await startGateway({ master: masterFromBytes(masters.psk) });
  const settings = { id: "v1.demo.SN0000001", host: gateway.host, port: gateway.port };
  const board = await simulatedDevice({
    masters,
    settings: { ...settings, ssid: "simulated", pass: "simulated" },
  });
  try {
    await serve(await board.start(), json, masterFromBytes(masters.console, "console"));
  } finally {
    await board.unplug();
    await gateway.close();
  }
}

/** One's own master, where one's own key folder knows the device. */
const masterFor = (id: string) => homeMasterOf("console", id);

/** Talk over the port until the input ends or the device is gone. */
async function talk(
  name: string,
  json: boolean | undefined,
  master: Master | undefined,
): Promise<TerminalResult> {
  const opened = await Port.open(name);
  const session = new ConsoleSession((text) => opened.write(text));
  opened.listen((bytes) => session.receive(bytes.toString("latin1")));
  const unplugged = opened.closed.then(() => {
    const fault = new PortClosed(`${name}: the device was unplugged`);
    session.end(fault);
    throw fault;
  });
  unplugged.catch(() => {});
  showInput();
  const { stdin: input, stdout: output, stderr: errors } = process;
  const terminal = new Terminal({ session, input, output, errors, json, master, masterFor });
  try {
    const result = await Promise.race([terminal.run(), unplugged]);
    await session.close();
    return result;
  } finally {
    opened.close();
    input.destroy();
  }
}

function missing(): never {
  throw new UsageError("--port is missing. See --help.");
}
