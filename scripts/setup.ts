// One board at home, from a bare Espruino to a working device: `npm run setup -- --port /dev/ttyUSB0 --ssid home --server
// 192.168.1.10:8883`. Keys of one's own in a private folder, firmware, settings, self-test, lock: what the bench does, for one.
// Leaves out updates (push.ts) and fleets (bench.ts).
import { EMS_OPTION } from "./lib/bench/ems_option";
import { portName } from "./lib/bench/port_name";
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { HOME_OPTION } from "./lib/home/home_option";
import { boardNames } from "./lib/project";

const COMMAND = {
  usage: "npm run setup --",
  about:
    "Take one board from a bare Espruino to a working device, with keys of your own. Run it again and it goes on where it was\n" +
    "cut, or says that all is done. The password of the network is asked for and shown nowhere.",
  options: {
    port: option(
      "PORT",
      "a serial port's path or tcp://HOST:PORT; default: the one that is plugged in",
      portName,
    ),
    ...EMS_OPTION,
    ssid: option("NAME", "name of your network; on boards with a cable it is left out"),
    server: option("HOST:PORT", "where the board will connect to, as it reaches it", endpoint),
    product: option("NAME", "the product, which is part of its name; default demo"),
    serial: option("SERIAL", "default: the next of SN0000001, SN0000002 ..."),
    board: option("NAME", "its file of boards/; default: the one found", oneOf(boardNames())),
    ...HOME_OPTION,
    ...SECRET_OPTIONS,
    erase: flag("make it a plain Espruino again; its keys and settings are gone then"),
    json: flag("for machines: one JSON object at the end"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("setup", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/home/setup_command")).run(parsed.options);
});
