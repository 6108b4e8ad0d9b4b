// The ticket service of devices of the profile `peer` as a program: `npm run tickets` (lib/tickets/README.md). The lists of who is denied and who
// may command whom are read again on SIGHUP. Leaves out: becoming a daemon, log files; a supervisor does both better.
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, integer, option, type Parsed, parseCommand } from "./lib/cli/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { RATE } from "./lib/tickets/senders";

const COMMAND = {
  usage: "npm run tickets -- --master FILE",
  about:
    "Give devices of the profile peer tickets for each other, over a broker that needs no trust, and carry what they\n" +
    "say to each other between their topics. Runs until Ctrl-C.",
  options: {
    master: option(
      "FILE|pkcs11:...",
      "the psk master: a sealed file or a token (npm run keys), or raw (npm run derive makes a throwaway one)",
    ),
    broker: option("HOST:PORT", "default 127.0.0.1:1883, which is plain; elsewhere by TLS-PSK", endpoint),
    "psk-identity": option("NAME", "what the broker knows us by"),
    "psk-file": option("FILE", "our key of 16 bytes there, in a file of mode 0600"),
    list: option(
      "FILE",
      "who is denied, an identity a line; `key-version N`; the gateway's list; read again on SIGHUP",
    ),
    pairs: option(
      "FILE",
      "who may command whom, two serials or * a line; default each one each other; read again on SIGHUP",
    ),
    "messages-per-second": option(
      "N",
      `messages of one device a second; what is over is dropped and counted; default ${RATE.messagesPerSecond}`,
      integer(1, 100_000),
    ),
    burst: option(
      "N",
      `messages of one device at once before that holds; default ${RATE.burst}`,
      integer(1, 1_000_000),
    ),
    ...SECRET_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("tickets", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/tickets/tickets_command")).run(parsed.options);
});
