// The technician's terminal as a program: `make console PORT=/dev/ttyUSB0`. Each number that the device says stands beside
// its words. From a pipe it takes a line a command and answers on standard output.
// Leaves out what the commands are (lib/console/command_text.ts) and the service desk (scripts/unlock.ts).
import { Port, PortClosed, portName } from "./lib/bench/port";
import { DeviceError, EXIT_FAILED, EXIT_USAGE, runCommand, UsageError } from "./lib/cli/exit";
import { flag, oneOf, option, type Parsed, parseCommand, port } from "./lib/cli/options";
import { servePage } from "./lib/console/page_file";
import { ConsoleSession, NoAnswer } from "./lib/console/session";
import { Terminal, type TerminalResult } from "./lib/console/terminal";
import { type Master, masterFromBytes, openMaster } from "./lib/custody/master";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { startGateway } from "./lib/gateway/gateway";
import { SCHEME_NAMES } from "./lib/keys/kdf";
import { newMasters, simulatedDevice } from "./lib/simulate/console_device";

const COMMAND = {
  usage: "npm run console --",
  about:
    "A device's console, here: its commands with history and completion, its answers with their words. Lines may come\n" +
    "from a pipe. Exit 1: the device refused something, or was unplugged; 2: something typed is no command.",
  options: {
    port: option(
      "PORT",
      "a serial port's path or tcp://HOST:PORT; default PORT of the environment",
      portName,
    ),
    master: option("FILE|pkcs11:...", "the console master: `unlock` is answered with it"),
    scheme: option(
      "NAME",
      `how keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the master's place says`,
      oneOf(SCHEME_NAMES),
    ),
    ...SECRET_OPTIONS,
    simulate: flag("instead of a port, a simulated device with throwaway keys, whose master is at hand"),
    json: flag("for machines: one JSON object a line"),
    page: option("PORT", "instead, serve the page for browsers with Web Serial on 127.0.0.1", port),
  },
};

await runCommand("console", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
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
  const master = options.master ? await open(options.master, options) : undefined;
  try {
    await serve(name, options.json, master);
  } finally {
    master?.close();
  }
});

async function open(place: string, options: Parsed<(typeof COMMAND)["options"]>): Promise<Master> {
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
  const { stdin: input, stdout: output, stderr: errors } = process;
  const terminal = new Terminal({ session, input, output, errors, json, master });
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
