// Who is at this port, and will the firmware run there? `npm run doctor -- --port /dev/ttyUSB0`. Asks and changes nothing;
// with --drivers it holds the chip itself to what the drivers promise, from RAM, and makes one report that can go with an issue.
// Leaves out putting anything on the board (setup.ts).
import { portName } from "./lib/bench/port_name";
import { runCommand } from "./lib/cli/exit";
import { flag, integer, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { boardNames } from "./lib/project";

const COMMAND = {
  usage: "npm run doctor --",
  about:
    "Say who is at a port, which Espruino it is and whether this firmware will run there. With --drivers the chip itself is\n" +
    "held to what the drivers promise; what lies in its flash stays as it is. Exit 1: something is wrong with the board.",
  options: {
    port: option(
      "PORT",
      "a serial port's path or tcp://HOST:PORT; default: the one that is plugged in",
      portName,
    ),
    drivers: flag("look at the chip's units as well: a minute or two, with a few restarts"),
    board: option("NAME", "with --drivers: the file of boards/; default: the one found", oneOf(boardNames())),
    ssid: option("NAME", "with --drivers: the access point, for noise with the radio on and for the socket"),
    "wifi-password-file": option("FILE", "its password, from a file of mode 0600"),
    host: option("ADDRESS", "with --drivers: this machine's address as the board reaches it, for the socket"),
    blocks: option("N", "with --drivers: blocks of AES in the chain; default 2000", integer(1, 1_000_000)),
    noise: option("FILE", "with --drivers: keep a million raw bits there, for NIST's SP 800-90B assessment"),
    report: option("FILE", "with --drivers: the report, one file to go with an issue"),
    json: flag("for machines: one JSON object"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("doctor", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/home/doctor_command")).run(parsed.options);
});
