// The technician's terminal as a program: `make console PORT=/dev/ttyUSB0`. Each number that the device says stands beside
// its words. From a pipe it takes a line a command and answers on standard output.
// Leaves out what the commands are (lib/console/command_text.ts) and the service desk (scripts/unlock.ts).
import { portName } from "./lib/bench/port_name";
import { runCommand } from "./lib/cli/exit";
import { flag, oneOf, option, type Parsed, parseCommand, port } from "./lib/cli/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { SCHEME_NAMES } from "./lib/keys/kdf";

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

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("console", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/console/console_command")).run(parsed.options);
});
