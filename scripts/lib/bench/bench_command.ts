// What `npm run bench` does, once its command line is read (scripts/bench.ts has the options).
import { existsSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { dirname, join } from "node:path";
import type { Board } from "../../../boards/board";
import type { Options } from "../../bench";
import { boardNames, readBoard } from "../bundle/build";
import { profileGiven } from "../bundle/profile_option";
import { DeviceError, UsageError } from "../cli/exit";
import { checkPort } from "../cli/listen";
import { oneOf } from "../cli/options";
import { passwordFault } from "../console/settings_text";
import { holdToProfile, openBatch, readBatch } from "../custody/batch";
import { type KeySource, keySourceOfMasters, needAllMasters, openMasters } from "../custody/master";
import { openFactoryKey, readSealed } from "../custody/sealed_file";
import { Secrets } from "../custody/secrets";
import { checkFolder, checkWritten, makeFolder } from "../files/new_file";
import { readPrivateFile } from "../files/private_file";
import { IDENTITY_MAX_LENGTH, parseIdentity } from "../keys/identity";
import { PURPOSES } from "../keys/kdf";
import { openLedger } from "../ledger/ledger";
import { showBars, showLines } from "./bars";
import { Bench } from "./bench";
import { placeOfPage, startPage } from "./bench_page";
import { emsSetting } from "./ems_option";
import { makeImage, readBundle } from "./image";
import { writeLabel } from "./label";
import { settingsPlace } from "./settings_file";

/** Run the command. */
export async function run(options: Options): Promise<void> {
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
    ...emsSetting(options),
  };
  // with the longest identity
  settingsPlace({ id: "x".repeat(IDENTITY_MAX_LENGTH), ...settings });
  if (options.bundle) readBundle(options.bundle, board);
  // all that can be wrong is looked at, and all is asked, before anything takes long
  const { open, secrets } = keySource(options);
  const labels = options.labels ?? join(dirname(ledgerFile), "labels");
  checkFolder(labels);
  if (existsSync(ledgerFile)) openLedger(ledgerFile, "write").close();
  else checkWritten(ledgerFile);
  if (options.page) await checkPort(placeOfPage(options.page), "the page");
  const keys = await open();
  const ledger = openLedger(ledgerFile);
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
}

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
  const password = readPrivateFile(file, 256, "a password")
    .toString("utf8")
    .replace(/\r?\n$/, "");
  const fault = passwordFault(password);
  if (fault) throw new UsageError(`${file}: ${fault}`);
  return password;
}

/** Masters or batch: what says where they are is held to what it may be; `open` asks for what opens them. */
function keySource(options: Options): { secrets: Secrets; open: () => Promise<KeySource> } {
  const { batch, master } = options;
  const { profile, pskLabel } = profileGiven(options);
  if (batch) {
    if (master) throw new UsageError("--batch and --master exclude each other.");
    const file = readSealed(options["factory-key"] ?? missing("--factory-key"));
    const parts = readBatch(batch, options.digest ?? missing("--digest"));
    const secrets = new Secrets(options, ["passphrase"]);
    return {
      secrets,
      open: async () => {
        const keys = await openBatch(parts, await openFactoryKey(file, secrets, "passphrase"));
        holdToProfile(keys, profile, pskLabel);
        return keys;
      },
    };
  }
  if (!master) throw new UsageError("the keys' source is missing: --master for each purpose, or --batch.");
  needAllMasters(master);
  const secrets = new Secrets(options, PURPOSES);
  return { secrets, open: async () => keySourceOfMasters(await openMasters(master, secrets), pskLabel) };
}
