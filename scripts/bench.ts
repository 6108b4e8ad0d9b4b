// The factory bench: `make bench BOARD=esp32` or `npm run bench -- OPTIONS`. Takes every unit that is plugged in through
// the steps of lib/bench/steps.ts, many at once. Keys come from the four masters or from a factory's batch (npm run keys),
// what happened goes into the ledger (npm run ledger), labels are printed from the folder of labels.
// Leaves out: one board without a ledger (flash.ts), keys' custody (keys.ts).
import { hostname, userInfo } from "node:os";
import { dirname, join } from "node:path";
import type { Board } from "../boards/board";
import { showBars, showLines } from "./lib/bench/bars";
import { Bench } from "./lib/bench/bench";
import { startPage } from "./lib/bench/bench_page";
import { IMAGE_OPTIONS, makeImage, readBundle } from "./lib/bench/image";
import { OPERATIONS } from "./lib/bench/interfaces";
import { writeLabel } from "./lib/bench/label";
import { portName } from "./lib/bench/port";
import { settingsPlace } from "./lib/bench/settings_file";
import { boardNames, readBoard } from "./lib/bundle/build";
import { DeviceError, runCommand, UsageError } from "./lib/cli/exit";
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
import { DIGEST_OPTION, openBatch, readBatch } from "./lib/custody/batch";
import { type KeySource, keySourceOfMasters, openMasters, parsePurposePlace } from "./lib/custody/master";
import { openFactoryKey, readSealed } from "./lib/custody/sealed_file";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { makeFolder } from "./lib/files/new_file";
import { readPrivateFile } from "./lib/files/private_file";
import { IDENTITY_MAX_LENGTH, parseIdentity } from "./lib/keys/identity";
import { PURPOSES } from "./lib/keys/kdf";
import { parseRange } from "./lib/keys/serials";
import { openLedger } from "./lib/ledger/ledger";

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
type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("bench", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  const name = options.board ?? oneOf(boardNames())(process.env.BOARD || missing("--board"));
  const product = options.product ?? missing("--product");
  const server = options.server ?? missing("--server");
  const ledgerFile = options.ledger ?? missing("--ledger");
  if (options.automatic && !options.range) throw new UsageError("--automatic needs --range.");
  const keyVersion = options["key-version"] ?? 1;
  // what an identity may hold, before anything is plugged in
  parseIdentity(`v${keyVersion}.${product}.0`);
  const board = (await readBoard(name)) as unknown as Board;
  const settings = {
    ...server,
    ...{ ssid: options.ssid ?? "", pass: wifiPassword(options) },
    // what may be set afterwards must be there: an update may begin at any hour, and with any battery
    window: 24,
    ...(board.system === "nrf_system" ? { battery: 0 } : {}),
  };
  // with the longest identity
  settingsPlace({ id: "x".repeat(IDENTITY_MAX_LENGTH), ...settings });
  if (options.bundle) readBundle(options.bundle);
  // all that can be wrong is looked at, and all is asked, before anything takes long
  const { open, secrets } = keySource(options);
  const keys = await open();
  const ledger = openLedger(ledgerFile);
  const labels = options.labels ?? join(dirname(ledgerFile), "labels");
  makeFolder(labels);
  if (!options.json) console.error(`making the image for ${name} ...`);
  const image = await makeImage(board, options);
  secrets.close();
  const bench = new Bench({
    board,
    image: image.bytes,
    imageDigest: image.digest,
    product,
    keyVersion,
    settings,
    keys,
    ledger,
    station: options.station ?? hostname().split(".")[0],
    who: options.who ?? userInfo().username,
    operation: options.operation ?? "provision",
    ports: options.port ?? [],
    watchUsb: !options.port,
    range: options.range,
    automatic: options.automatic,
    writeLabel: (label) => writeLabel(labels, label),
  });
  let failed = 0;
  let page: Awaited<ReturnType<typeof startPage>> | undefined;
  try {
    if (options.page) {
      page = await startPage(bench, { port: options.page });
      if (!options.json) console.log(`the operators' page: ${page.url}`);
    }
    failed = await work(bench, options);
  } finally {
    await page?.close();
    await bench.stop();
    await keys.close();
    ledger.close();
  }
  if (failed) throw new DeviceError(`${failed} of ${options.units} units failed.`);
});

/** Run until Ctrl-C, or until `units` results are in; returns how many of them were failures. */
async function work(bench: Bench, { units, json }: Options): Promise<number> {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  process.once("SIGINT", end).once("SIGTERM", end);
  const isTerminal = process.stdout.isTTY && process.stdin.isTTY && !json;
  const stopShowing = isTerminal ? showBars(bench, end) : showLines(bench, json ?? false);
  let results = 0;
  let failed = 0;
  bench.subscribe((event) => {
    if (event.kind !== "result") return;
    results++;
    if (event.result === "fail") failed++;
    if (results === units) end();
  });
  bench.start();
  await ended;
  stopShowing();
  return units ? failed : 0;
}

function missing(option: string): never {
  throw new UsageError(`${option} is missing. See --help.`);
}

/** Read the access point's password, which a device needs in clear. */
function wifiPassword(options: Options): string {
  const file = options["wifi-password-file"];
  if (!file) return "";
  return readPrivateFile(file, 256, "a password")
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

/** Masters or batch: what says where they are is held to what it may be; `open` asks for what opens them. */
function keySource(options: Options): { secrets: Secrets; open: () => Promise<KeySource> } {
  const { batch, master } = options;
  if (batch) {
    if (master) throw new UsageError("--batch and --master exclude each other.");
    const file = readSealed(options["factory-key"] ?? missing("--factory-key"));
    const parts = readBatch(batch, options.digest ?? missing("--digest"));
    const secrets = new Secrets(options, ["passphrase"]);
    return {
      secrets,
      open: async () => openBatch(parts, await openFactoryKey(file, secrets, "passphrase")),
    };
  }
  if (!master) throw new UsageError("the keys' source is missing: --master for each purpose, or --batch.");
  const secrets = new Secrets(options, PURPOSES);
  return { secrets, open: async () => keySourceOfMasters(await openMasters(master, secrets)) };
}
