// Updates over the air, the operator's side: `npm run ota -- COMMAND` (protocol.md 5; the library is lib/ota/). An image
// becomes an update, an update a signed manifest for each device, both lie retained on the broker, and devices take them.
// New keys go with it (`rekey`), wrapped for each device. Who signs (`sign` needs the `ota` master) and who publishes need not be
// one: files pass between them, without a secret that they could read.
// Bad input: a sentence, exit 2, nothing written or published.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { boardNames, PROJECT, readBoard } from "./lib/bundle/build";
import { errorText } from "./lib/cli/error_text";
import { UsageError } from "./lib/cli/exit";
import { endpoint, flag, integer, options as manyOf, oneOf, option } from "./lib/cli/options";
import { Progress } from "./lib/cli/progress";
import { needed, runSubcommands, subcommand } from "./lib/cli/subcommands";
import { openMaster } from "./lib/custody/master";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { NewFile, refuseExisting, writeNewFile } from "./lib/files/new_file";
import {
  fileFault,
  type Identity,
  identityFault,
  parseIdentity,
  readSecret,
  SCHEME_NAMES,
} from "./lib/keys/keys";
import { parseRange, type Range, serialsOf } from "./lib/keys/serials";
import { Broker } from "./lib/ota/broker";
import { Fleet } from "./lib/ota/fleet";
import {
  checkProduct,
  type Encoding,
  KEY_VERSION_GREATEST,
  SEQUENCE_GREATEST,
  VERSION_LONGEST,
} from "./lib/ota/manifest";
import { clearRekeys, publishManifests, publishPieces, refuseRollback } from "./lib/ota/publish";
import { NEW_VERSION_GREATEST, REKEY_ROW_BYTES, rekeyRows } from "./lib/ota/rekey";
import { openRekeyKeys, REKEY_KEYS_OPTIONS } from "./lib/ota/rekey_keys";
import { failuresOf, planRings, runRollout, stopRollout } from "./lib/ota/rollout";
import { type RolloutEvent, RolloutState } from "./lib/ota/rollout_state";
import { type Manifests, ROW_BYTES, readManifests, signRows } from "./lib/ota/sign";
import { fleetTable, tableText } from "./lib/ota/tables";
import {
  makeUpdate,
  readImage,
  readUpdate,
  storedBytes,
  type Update,
  updateFile,
} from "./lib/ota/update_file";
import { wireCost } from "./lib/ota/wire_cost";

const json = flag("for machines: one JSON object");
const update = option("FILE", "the update, of `build`");
const manifests = option("FILE", "the manifests, of `sign`");
const rekeyed = option("FILE", "instead of manifests, those with new keys, of `rekey`");

// ------------------------------------------------------------------------------------------------- build

const BUILD = subcommand({
  usage: "npm run ota -- build --product NAME --board NAME --version TEXT --sequence N --out FILE",
  about:
    "Make an update of an image: its digest, its pieces, and what every device must know of it. The sequence is what devices\n" +
    "go by: they take no image whose sequence is not greater than the one they run. The version is for people.",
  options: {
    product: option("NAME", "the product, second part of the identities", checkProduct),
    board: option("NAME", `the board it was built for: ${boardNames().join(", ")}`, oneOf(boardNames())),
    image: option("FILE", "the image; default dist/<board>/firmware.js, as npm run build leaves it"),
    version: option("TEXT", `for people, at most ${VERSION_LONGEST} characters`),
    sequence: option("N", "greater than that of every update before", integer(1, SEQUENCE_GREATEST)),
    heatshrink: flag("pack the pieces, for boards whose firmware unpacks them"),
    out: option("FILE", "the update to make"),
    json,
  },
  async run(options) {
    const product = needed(options.product, "--product NAME");
    const board = needed(options.board, "--board NAME");
    const version = needed(options.version, "--version TEXT");
    const sequence = needed(options.sequence, "--sequence N");
    const out = needed(options.out, "--out FILE");
    refuseExisting(out);
    const image = readImage(options.image ?? join(PROJECT, "dist", board, "firmware.js"));
    const data = await readBoard(board);
    if (options.heatshrink && !data.heatshrink)
      throw new UsageError(`the Espruino of ${board} has no heatshrink: leave the image as it is.`);
    const hardware = 2 ** Number(data.hardware);
    const encoding: Encoding = options.heatshrink ? "heatshrink" : "none";
    const made = makeUpdate(image, { product, board, hardware, version, sequence, encoding });
    writeNewFile(out, updateFile(made));
    printUpdate(out, made, options.json);
  },
});

function printUpdate(out: string, made: Update, asJson: boolean | undefined): void {
  const { product, board, version, sequence, length, encoding, pieces } = made;
  const digest = Buffer.from(made.digest).toString("hex");
  const stored = storedBytes(pieces);
  const row = { out, product, board, version, sequence, length, digest, encoding };
  const wire = WINDOWS.map((window) => ({ window, ...wireCost(made, window) }));
  if (asJson) console.log(JSON.stringify({ ...row, pieces: pieces.length, stored, wire }));
  else
    console.log(
      `${out}: ${product} ${version}, sequence ${sequence}, for ${board}\n` +
        `${length} bytes in ${pieces.length} pieces, ${stored} bytes at the broker\ndigest  ${digest}\n` +
        tableText(
          ["pieces at a time", "TLS to a device", "and from it", "of the image"],
          wire.map(({ window, up, down }) => [window, down, up, ((up + down) / length).toFixed(3)]),
        ),
    );
}

/** Pieces that a device may ask for at a time, for which the cost is told. */
const WINDOWS = [1, 2, 4];

// -------------------------------------------------------------------------------------------------- sign

const DEVICE_OPTIONS = {
  serials: manyOf(
    "FIRST..LAST",
    "serials, alike but for the last digits, or one; may be given again",
    parseRange,
  ),
  list: option("FILE", "serials, one a line, or identities with key versions of their own"),
  "key-version": option("N", "first part of the identities; default 1", integer(1, KEY_VERSION_GREATEST)),
};

const SIGN = subcommand({
  usage: "npm run ota -- sign --update FILE --master FILE|pkcs11:... --serials FIRST..LAST --out FILE",
  about:
    `Sign an update for devices, each with its own key: one row of ${ROW_BYTES} bytes for each, and no key in any. What is\n` +
    "signed for one device means nothing to another.",
  options: {
    update,
    master: option("FILE|pkcs11:...", "the ota master: a sealed file or a token (npm run keys), or raw"),
    scheme: option(
      "NAME",
      `how keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the master's place says`,
      oneOf(SCHEME_NAMES),
    ),
    ...DEVICE_OPTIONS,
    out: option("FILE", "the manifests to make"),
    ...SECRET_OPTIONS,
    json,
  },
  async run(options) {
    const made = readUpdate(needed(options.update, "--update FILE"));
    const place = needed(options.master, "--master FILE|pkcs11:...");
    const out = needed(options.out, "--out FILE");
    const devices = devicesOf(made.product, options);
    refuseExisting(out);
    const secrets = new Secrets(options, ["master"]);
    const { scheme } = options;
    const master = await openMaster(place, { purpose: "ota", scheme, secrets, name: "master" });
    const progress = new Progress(!options.json);
    const start = process.hrtime.bigint();
    let rows = 0;
    const file = new NewFile(out);
    try {
      for (const some of signRows(made, devices, master)) {
        file.write(some);
        rows += some.length / ROW_BYTES;
        progress.show("sign", rows, devices.length);
      }
      file.finish();
    } finally {
      progress.stop();
      file.close();
      master.close();
    }
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const perSecond = Math.round(rows / seconds);
    if (options.json) console.log(JSON.stringify({ out, rows, seconds, perSecond }));
    else console.log(`${out}: ${rows} manifests in ${seconds.toFixed(2)} s, ${perSecond} a second`);
  },
});

/** The identities of ranges and of a list, each serial once. Throws UsageError. */
function devicesOf(
  product: string,
  given: { serials?: Range[]; list?: string; "key-version"?: number },
): Identity[] {
  const { serials: ranges = [], list, "key-version": keyVersion = 1 } = given;
  const devices = new Map<string, Identity>();
  const add = (text: string) => {
    const identity = parseIdentity(text);
    if (devices.has(identity.serial)) throw new UsageError(`the serial ${identity.serial} is named twice.`);
    devices.set(identity.serial, identity);
  };
  for (const range of ranges)
    for (const serial of serialsOf(range)) add(`v${keyVersion}.${product}.${serial}`);
  for (const line of list === undefined ? [] : linesOf(list))
    add(line.includes(".") ? line : `v${keyVersion}.${product}.${line}`);
  if (devices.size === 0)
    throw new UsageError("no devices: --serials FIRST..LAST or --list FILE names them.");
  return [...devices.values()];
}

/** The lines of a file without empty ones and those that begin with #. */
function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read the list ${path}: ${fileFault(error)}.`);
  }
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

// ------------------------------------------------------------------------------------------------- rekey

const REKEY = subcommand({
  usage:
    "npm run ota -- rekey --update FILE --serials FIRST..LAST --to N --ota FILE|pkcs11:... --rekey FILE|pkcs11:...\n" +
    "       --new-psk FILE|pkcs11:... --new-console FILE|pkcs11:... --out FILE",
  about:
    "Sign an update for devices as `sign` does, with new keys for each behind its manifest. They are wrapped under a key\n" +
    `that the device has: one row of ${REKEY_ROW_BYTES} bytes, which nobody else can read. Never give other new keys with the same update.`,
  options: {
    update,
    ...DEVICE_OPTIONS,
    to: option("N", "the new key version, greater than every device's", integer(2, NEW_VERSION_GREATEST)),
    ...REKEY_KEYS_OPTIONS,
    out: option("FILE", "the manifests with new keys to make"),
    json,
  },
  async run(options) {
    const made = readUpdate(needed(options.update, "--update FILE"));
    const to = needed(options.to, "--to N");
    const out = needed(options.out, "--out FILE");
    const devices = devicesOf(made.product, options);
    refuseExisting(out);
    const keys = await openRekeyKeys(options);
    const progress = new Progress(!options.json);
    let rows = 0;
    try {
      const file = new NewFile(out);
      try {
        for await (const some of rekeyRows(made, to, devices, keys)) {
          file.write(some);
          rows += some.length / REKEY_ROW_BYTES;
          progress.show("rekey", rows, devices.length);
        }
        file.finish();
      } finally {
        file.close();
      }
    } finally {
      progress.stop();
      await keys.close();
    }
    if (options.json) console.log(JSON.stringify({ out, rows }));
    else console.log(`${out}: keys v${to} for ${rows} devices, with sequence ${made.sequence}`);
  },
});

// ----------------------------------------------------------------------------------------------- publish

const BROKER_OPTIONS = {
  broker: option(
    "HOST:PORT",
    "plain MQTT on this machine, the gateway's --operator-port; default 127.0.0.1:1883",
    endpoint,
  ),
  "psk-identity": option("ID", "TLS-PSK to any other broker: the operator's identity there"),
  "psk-file": option("FILE", "and the key, 16 bytes or 32 hex digits in a file of mode 0600"),
};

interface BrokerGiven {
  broker?: { host: string; port: number };
  "psk-identity"?: string;
  "psk-file"?: string;
}

/** Read the operator's key and connect; what is under way is given up after `giveUpMs` without a connection. */
async function openBroker(given: BrokerGiven, giveUpMs?: number): Promise<Broker> {
  const { "psk-identity": identity, "psk-file": file } = given;
  if ((identity === undefined) !== (file === undefined))
    throw new UsageError("--psk-identity and --psk-file belong together.");
  const fault = identity === undefined ? undefined : identityFault(identity);
  if (fault) throw new UsageError(`--psk-identity ${fault}.`);
  const psk = identity !== undefined && file !== undefined ? { identity, key: readSecret(file) } : undefined;
  return Broker.connect({ ...(given.broker ?? { host: "127.0.0.1", port: 1883 }), psk, giveUpMs });
}

/** Read an update and the manifests that were signed for it. Throws UsageError where they do not belong together. */
function readBoth(given: { update?: string; manifests?: string; rekey?: string }): {
  made: Update;
  signed: Manifests;
} {
  const made = readUpdate(needed(given.update, "--update FILE"));
  if (given.manifests !== undefined && given.rekey !== undefined)
    throw new UsageError("--manifests and --rekey exclude each other.");
  const signed =
    given.rekey === undefined
      ? readManifests(needed(given.manifests, "--manifests FILE"))
      : readManifests(given.rekey, "rekey");
  const { image } = signed;
  const alike =
    Buffer.from(image.digest).equals(made.digest) &&
    (["product", "hardware", "sequence", "version", "length", "encoding"] as const).every(
      (name) => image[name] === made[name],
    );
  if (!alike) throw new UsageError(`${signed.path} was signed for another update than ${given.update}.`);
  return { made, signed };
}

const perSecond = option(
  "N",
  "manifests a second, since each device that is connected begins at once; default 100",
  integer(1, 100_000),
);
const PER_SECOND = 100;

const PUBLISH = subcommand({
  usage: "npm run ota -- publish --update FILE --manifests FILE --broker HOST:PORT",
  about:
    "Lay an update and its manifests down at the broker, retained, for all of these devices at once; `rollout` does it ring\n" +
    "by ring. What is there already is left as it is: run it again where it broke.",
  options: { update, manifests, rekey: rekeyed, "per-second": perSecond, ...BROKER_OPTIONS, json },
  async run(options) {
    const { made, signed } = readBoth(options);
    const broker = await openBroker(options);
    const progress = new Progress(!options.json);
    const onProgress = progress.show.bind(progress);
    try {
      await refuseRollback(broker, signed);
      const pieces = await publishPieces(broker, made, { onProgress });
      const rate = options["per-second"] ?? PER_SECOND;
      const devices = await publishManifests(broker, signed, { onProgress, perSecond: rate });
      progress.stop();
      if (options.json) console.log(JSON.stringify({ pieces, manifests: devices }));
      else
        console.log(
          `pieces     ${pieces.written} written, ${pieces.found} were there\n` +
            `manifests  ${devices.written} written, ${devices.found} were there`,
        );
    } finally {
      progress.stop();
      await broker.close();
    }
  },
});

// ------------------------------------------------------------------------------------------------- clear

/** In which every device that is connected has told its sequence. */
const LISTEN_SECONDS = 70;
const seconds = option(
  "N",
  `how long to listen; default ${LISTEN_SECONDS}, in which every device that is connected speaks`,
  integer(1, 86_400),
);

const CLEAR = subcommand({
  usage: "npm run ota -- clear --rekey FILE --broker HOST:PORT",
  about:
    "Take manifests with new keys away from the broker, where they have arrived. Until the time is over it listens to the\n" +
    "devices' telemetry for their sequence; whose is not the one of these manifests is named, and keeps its offer.",
  options: {
    rekey: option("FILE", "the manifests with new keys, of `rekey`"),
    all: flag("at once, whoever has taken them or not"),
    seconds,
    ...BROKER_OPTIONS,
    json,
  },
  async run(options) {
    const file = readManifests(needed(options.rekey, "--rekey FILE"), "rekey");
    const broker = await openBroker(options);
    const progress = new Progress(!options.json);
    try {
      const rows = Array.from({ length: file.count }, (_, row) => row);
      const done = options.all
        ? new Set(rows)
        : await rowsDone(broker, file, options.seconds ?? LISTEN_SECONDS, progress);
      progress.stop();
      const cleared = await clearRekeys(broker, file, [...done]);
      const open = rows.filter((row) => !done.has(row)).map((row) => file.identity(row).text);
      if (options.json) return console.log(JSON.stringify({ cleared, open }));
      console.log(`${cleared} taken away, ${open.length} open`);
      for (const identity of open) console.log(identity);
    } finally {
      progress.stop();
      await broker.close();
    }
  },
});

/** Rows of the devices that tell the sequence of these manifests within some seconds. */
async function rowsDone(
  broker: Broker,
  file: Manifests,
  seconds: number,
  progress: Progress,
): Promise<Set<number>> {
  const { product, sequence } = file.image;
  const rows = new Map(Array.from({ length: file.count }, (_, row) => [file.identity(row).serial, row]));
  const done = new Set<number>();
  const stop = await new Fleet(product).listen(broker, (device) => {
    const row = rows.get(device.serial);
    if (row !== undefined && device.sequence === sequence) done.add(row);
  });
  for (let second = 0; second < seconds && done.size < file.count; second++) {
    progress.show("listen", done.size, file.count);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await stop();
  return done;
}

// ----------------------------------------------------------------------------------------------- status

const STATUS = subcommand({
  usage: "npm run ota -- status --product NAME --broker HOST:PORT",
  about:
    "Say who runs what: listen to the devices' telemetry for a while, and print a line for each, with the reason of those who\n" +
    "left an update again. With --state instead, say how far a rollout is, out of its file.",
  options: {
    product: option("NAME", "whose devices", checkProduct),
    seconds,
    state: option("FILE", "the state of a rollout"),
    ...BROKER_OPTIONS,
    json,
  },
  async run(options) {
    if (options.state !== undefined) return printRollout(new RolloutState(options.state), options.json);
    const fleet = new Fleet(needed(options.product, "--product NAME"));
    const seconds = options.seconds ?? LISTEN_SECONDS;
    const broker = await openBroker(options);
    const progress = new Progress(!options.json);
    try {
      await fleet.listen(broker);
      for (let second = 0; second < seconds; second++) {
        progress.show(`listen, ${fleet.devices.size} devices`, second, seconds);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    } finally {
      progress.stop();
      await broker.close();
    }
    const devices = [...fleet.devices.values()].sort((a, b) => (a.serial < b.serial ? -1 : 1));
    if (options.json) console.log(JSON.stringify(devices));
    else console.log(fleetTable(devices));
  },
});

function printRollout(state: RolloutState, asJson: boolean | undefined): void {
  const { product, version, sequence, rings } = state.plan;
  const rows = rings.map((ring, i) => ({
    ...{ ring: i + 1, devices: ring.length },
    ...{
      state: state.ended.has(i)
        ? "done"
        : !state.begun.has(i)
          ? "waits"
          : state.stopped
            ? "stopped"
            : "under way",
    },
    ...state.counts(i),
  }));
  const failures = failuresOf(state).map((row) => ({ ...row, text: errorText(row.code) }));
  const failed = [...state.results].filter(([, { result }]) => result === "failed");
  state.close();
  if (asJson) {
    const { done, stopped } = state;
    const serials = failed.map(([serial, { code }]) => ({ serial, code }));
    return console.log(
      JSON.stringify({ product, version, sequence, done, stopped, rings: rows, failures, failed: serials }),
    );
  }
  console.log(
    `${product} ${version}, sequence ${sequence}: ${state.stopped ?? (state.done ? "done" : "under way")}`,
  );
  console.log(
    tableText(
      ["ring", "devices", "state", "confirmed", "failed", "silent", "open"],
      rows.map((row) => [row.ring, row.devices, row.state, row.confirmed, row.failed, row.silent, row.open]),
    ),
  );
  for (const { code, count, text } of failures) console.log(`${count} x E${code}  ${text ?? ""}`);
}

// ---------------------------------------------------------------------------------------- rollout, stop

const ROLLOUT = subcommand({
  usage:
    "npm run ota -- rollout --update FILE --manifests FILE --rings 1,10,100 --state FILE --broker HOST:PORT",
  about:
    "Publish an update ring by ring, and wait for each ring's devices to confirm it. Where too many fail, it stops by itself\n" +
    "and takes back what is not done. The state is in a file: the same command again goes on where it was ended.",
  options: {
    update,
    manifests,
    rekey: rekeyed,
    state: option("FILE", "the state; made if it is not there"),
    ring: manyOf("FILE", "a first ring by name, serials one a line; may be given again for the next"),
    rings: option("SHARES", "percent of the others, rising to 100; default 1,10,100", parseShares),
    "stop-at": option("PERCENT", "of a ring that may fail; default 5", integer(0, 100)),
    wait: option(
      "MINUTES",
      "for a ring; who is silent until then counts as failed; default 1440",
      integer(1, 525_600),
    ),
    "per-second": perSecond,
    ...BROKER_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
  async run(options) {
    const { made, signed } = readBoth(options);
    const state = openState(needed(options.state, "--state FILE"), made, signed, options);
    const progress = new Progress(!options.json);
    try {
      const broker = await openBroker(options, Number.POSITIVE_INFINITY);
      try {
        await runRollout({
          ...{ broker, update: made, manifests: signed, state },
          perSecond: options["per-second"] ?? PER_SECOND,
          onProgress: progress.show.bind(progress),
          onEvent(event) {
            const line = options.json ? JSON.stringify(event) : eventText(event, state);
            if (line === undefined) return;
            progress.stop();
            console.log(line);
          },
        });
      } finally {
        progress.stop();
        await broker.close();
      }
      if (!options.json) printRollout(state, false);
    } finally {
      progress.stop();
    }
  },
});

/** Open a rollout's state, or plan it; a plan that differs from the one in the file is refused. */
function openState(
  path: string,
  made: Update,
  signed: Manifests,
  given: { ring?: string[]; rings?: number[]; "stop-at"?: number; wait?: number },
): RolloutState {
  const serials = Array.from({ length: signed.count }, (_, row) => signed.identity(row).serial);
  const plan = {
    ...{ product: made.product, sequence: made.sequence, version: made.version },
    digest: Buffer.from(made.digest).toString("hex"),
    stopAt: given["stop-at"] ?? 5,
    waitMinutes: given.wait ?? 1440,
    rings: planRings(serials, made.digest, (given.ring ?? []).map(linesOf), given.rings ?? [1, 10, 100]),
  };
  if (!existsSync(path)) return RolloutState.create(path, plan);
  const state = new RolloutState(path);
  if (isDeepStrictEqual(state.plan, plan)) return state;
  state.close();
  throw new UsageError(
    `${path} is the state of a rollout with other devices, rings or limits, or of another update.`,
  );
}

function parseShares(text: string): number[] {
  const shares = text.split(",").map(Number);
  if (!/^\d{1,3}(\.\d{1,3})?(,\d{1,3}(\.\d{1,3})?)*$/.test(text))
    throw new UsageError(`"${text}" is no list of percents, for example 1,10,100.`);
  return shares;
}

/** What of a rollout is said to people: rings, and who failed. */
function eventText(event: RolloutEvent, state: RolloutState): string | undefined {
  if ("begin" in event) return `ring ${event.begin + 1}: ${state.plan.rings[event.begin].length} devices`;
  if ("end" in event) {
    const { confirmed, failed, silent } = state.counts(event.end);
    return `ring ${event.end + 1}: ${confirmed} confirmed, ${failed} failed, ${silent} silent`;
  }
  if ("serial" in event && event.result === "failed")
    return `${event.serial} failed: E${event.code}, ${errorText(event.code ?? 0) ?? "no code of this version"}`;
  return undefined;
}

const STOP = subcommand({
  usage: "npm run ota -- stop --state FILE --broker HOST:PORT",
  about:
    "Stop a rollout for good: the manifests of all devices that have not confirmed are taken away from the broker. Devices\n" +
    "that run the new image keep it. A program that runs this rollout ends.",
  options: { state: option("FILE", "the state of the rollout"), ...BROKER_OPTIONS, json },
  async run(options) {
    const state = new RolloutState(needed(options.state, "--state FILE"));
    try {
      if (state.done) throw new UsageError(`the rollout ${state.path} is done: there is nothing to stop.`);
      const broker = await openBroker(options);
      try {
        const cleared = await stopRollout(broker, state, "by hand");
        if (options.json) console.log(JSON.stringify({ stopped: true, cleared }));
        else console.log(`stopped; the manifests of ${cleared} devices are taken away`);
      } finally {
        await broker.close();
      }
    } finally {
      state.close();
    }
  },
});

await runSubcommands("ota", "Updates over the air, from an image to a fleet that runs it.", {
  build: BUILD,
  sign: SIGN,
  rekey: REKEY,
  publish: PUBLISH,
  clear: CLEAR,
  status: STATUS,
  rollout: ROLLOUT,
  stop: STOP,
});
