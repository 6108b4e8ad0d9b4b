// One board without a bench: `make flash BOARD=esp32 PORT=/dev/ttyUSB0` writes the firmware, reads it back, compares, and
// starts it. Settings and a key for tests are left as they are; a device that is locked is refused. Leaves out keys (bench.ts).
import { IMAGE_OPTIONS } from "./lib/bench/image_options";
import { portName } from "./lib/bench/port_name";
import { runCommand } from "./lib/cli/exit";
import { flag, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { boardNames } from "./lib/project";

const COMMAND = {
  usage: "npm run flash --",
  about: "Write the firmware to one board over its console, read it back and compare.",
  options: {
    board: option("NAME", "default BOARD of the environment", oneOf(boardNames())),
    port: option(
      "PORT",
      "a serial port's path or tcp://HOST:PORT; default PORT of the environment",
      portName,
    ),
    ...IMAGE_OPTIONS,
    json: flag("for machines: one JSON object at the end"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("flash", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/bench/flash_command")).run(parsed.options);
});
