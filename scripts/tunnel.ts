// The other end of devices of the profiles `esp` and `esp-cbc` as a program: `npm run tunnel`. ESP in TCP comes in, UDP datagrams go out to one place
// and come back from it (lib/tunnel/README.md). The list of devices is read again on SIGHUP.
// Leaves out: becoming a daemon, log files; a supervisor does both better.
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, integer, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { TRANSFORM_NAMES, TRANSFORMS } from "./lib/keys/esp_keys";

const COMMAND = {
  usage: "npm run tunnel -- --master FILE --devices FILE --counters FILE --to HOST:PORT",
  about:
    "Take IPsec's packets (ESP in TCP) of devices with manual keys, and hand the datagrams in them on. Each goes out with\n" +
    "`<product>/<serial>/` before it; what comes back with it goes to that device. Runs until Ctrl-C.",
  options: {
    master: option(
      "FILE|pkcs11:...",
      "the psk master: a sealed file or a token (npm run keys), or raw (npm run derive makes a throwaway one)",
    ),
    devices: option("FILE", "who is let in, an identity a line; read again on SIGHUP"),
    counters: option(
      "FILE",
      "where sequence numbers are kept, one file for the life of the keys; made where there is none",
    ),
    to: option("HOST:PORT", "where datagrams are handed on, an IPv4 address", endpoint),
    listen: option("HOST:PORT", "for the devices; default 127.0.0.1:4500", endpoint),
    udp: option(
      "HOST:PORT",
      "where datagrams are sent from, and where those for devices come; default 127.0.0.1:4501",
      endpoint,
    ),
    transform: option(
      "NAME",
      `${TRANSFORM_NAMES.map((name) => `${name}: ${TRANSFORMS[name].about}`).join("; ")}; default ccm`,
      oneOf(TRANSFORM_NAMES),
    ),
    connections: option("N", "at a time; default 10000", integer(1, 1_000_000)),
    ...SECRET_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("tunnel", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/tunnel/tunnel_command")).run(parsed.options);
});
