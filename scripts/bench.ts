// The factory bench: `make bench BOARD=esp32` or `npm run bench -- OPTIONS`. Takes every unit that is plugged in through
// the steps of lib/bench/steps.ts, many at once. Keys come from the four masters or from a factory's batch (npm run keys),
// what happened goes into the ledger (npm run ledger), labels are printed from the folder of labels.
// Leaves out: one board without a ledger (flash.ts), keys' custody (keys.ts).
import { EMS_OPTION } from "./lib/bench/ems_option";
import { IMAGE_OPTIONS } from "./lib/bench/image_options";
import { OPERATIONS } from "./lib/bench/interfaces";
import { portName } from "./lib/bench/port_name";
import { runCommand } from "./lib/cli/exit";
import {
  endpoint,
  flag,
  integer,
  options as manyOf,
  oneOf,
  option,
  type Parsed,
  parseCommand,
  port,
} from "./lib/cli/options";
import { DIGEST_OPTION, parsePurposePlace } from "./lib/custody/options";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { PURPOSES } from "./lib/keys/kdf";
import { parseRange } from "./lib/keys/serials";
import { boardNames } from "./lib/project";

const COMMAND = {
  usage: "npm run bench --",
  about:
    "Take devices from blank to finished: flash, test, keys, proof, lock, ledger, label. Many at once; what is cut at any\n" +
    "point goes on when it is plugged in again. Scan or type a serial and press Enter; Enter alone starts. Ctrl-C ends it.",
  options: {
    board: option("NAME", "the boards on this bench; default BOARD of the environment", oneOf(boardNames())),
    port: manyOf(
      "PORT",
      "a fixture: a serial port's path or tcp://HOST:PORT; repeat it for more; default: USB serial ports as they are plugged in",
      portName,
    ),
    product: option("NAME", "the product, which is part of every identity"),
    server: option("HOST:PORT", "where the devices will connect to", endpoint),
    ...EMS_OPTION,
    ssid: option("NAME", "name of the devices' access point; default none"),
    "wifi-password-file": option("FILE", "its password, from a file of mode 0600"),
    master: manyOf(
      "PURPOSE=PLACE",
      `where a master is, FILE or pkcs11:...; one for each of ${PURPOSES.join(", ")}`,
      parsePurposePlace,
    ),
    batch: manyOf("FILE", "device keys from a factory's batch instead of masters; repeat it for its parts"),
    digest: DIGEST_OPTION,
    "factory-key": option("FILE", "with --batch: the factory's private key, factory.age"),
    "key-version": option("N", "of the keys to write; default 1", integer(1, 99_999)),
    operation: option(
      "NAME",
      "provision: write what is missing; rework: erase and write again; rekey: from version N - 1 to N; default provision",
      oneOf(OPERATIONS),
    ),
    range: option("FIRST..LAST", "take no serial outside; default: any that is free", parseRange),
    automatic: flag("with --range: give each blank device the next free serial, and start without a key"),
    units: option(
      "N",
      "end after so many results: exit 0 where all passed, 1 where not",
      integer(1, 1_000_000),
    ),
    station: option("NAME", "this bench's name in the ledger; default this machine's"),
    who: option("NAME", "who works here; default the user's name"),
    ledger: option("FILE", "the ledger; made where there is none"),
    labels: option("FOLDER", "where labels are written; default the folder labels beside the ledger"),
    page: option("PORT", "serve the operators' page on 127.0.0.1 at this port", port),
    ...IMAGE_OPTIONS,
    ...SECRET_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("bench", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/bench/bench_command")).run(parsed.options);
});
