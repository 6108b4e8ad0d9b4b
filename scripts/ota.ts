// Updates over the air, the operator's side: `npm run ota -- COMMAND`. Here is a table of options for each word, with one call
// into lib/ota/commands. An image becomes an update, an update a signed manifest for each device, both lie retained on the
// broker, and devices take them. New keys go with it (`rekey`), wrapped for each device. Who signs (`sign` needs the `ota`
// master) and who publishes need not be one: files pass between them, without a secret that they could read.
// Bad input: a sentence, exit 2, nothing written or published.
import { UsageError } from "./lib/cli/exit";
import { endpoint, flag, integer, options as manyOf, oneOf, option } from "./lib/cli/options";
import { runSubcommands, subcommand } from "./lib/cli/subcommands";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
import { SCHEME_NAMES } from "./lib/keys/kdf";
import { parseRange } from "./lib/keys/serials";
import { LISTEN_SECONDS, PER_SECOND, RINGS, STOP_AT, WAIT_MINUTES } from "./lib/ota/defaults";
import { checkProduct, KEY_VERSION_GREATEST, SEQUENCE_GREATEST, VERSION_LONGEST } from "./lib/ota/manifest";
import { NEW_VERSION_GREATEST, REKEY_ROW_BYTES } from "./lib/ota/rekey";
import { REKEY_KEYS_OPTIONS } from "./lib/ota/rekey_options";
import { ROW_BYTES } from "./lib/ota/sign";
import { boardNames } from "./lib/project";

const json = flag("for machines: one JSON object");
const update = option("FILE", "the update, of `build`");
const manifests = option("FILE", "the manifests, of `sign`");
const rekeyed = option("FILE", "instead of manifests, those with new keys, of `rekey`");

function parseShares(text: string): number[] {
  const shares = text.split(",").map(Number);
  if (!/^\d{1,3}(\.\d{1,3})?(,\d{1,3}(\.\d{1,3})?)*$/.test(text))
    throw new UsageError(`"${text}" is no list of percents, for example 1,10,100.`);
  return shares;
}

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
  run: async (options) => (await import("./lib/ota/commands/build")).build(options),
});

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
  run: async (options) => (await import("./lib/ota/commands/sign")).sign(options),
});

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
  run: async (options) => (await import("./lib/ota/commands/sign")).rekey(options),
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

const perSecond = option(
  "N",
  `manifests a second, since each device that is connected begins at once; default ${PER_SECOND}`,
  integer(1, 100_000),
);

const PUBLISH = subcommand({
  usage: "npm run ota -- publish --update FILE --manifests FILE --broker HOST:PORT",
  about:
    "Lay an update and its manifests down at the broker, retained, for all of these devices at once; `rollout` does it ring\n" +
    "by ring. What is there already is left as it is: run it again where it broke.",
  options: { update, manifests, rekey: rekeyed, "per-second": perSecond, ...BROKER_OPTIONS, json },
  run: async (options) => (await import("./lib/ota/commands/publish")).publish(options),
});

// ------------------------------------------------------------------------------------------------- clear

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
  run: async (options) => (await import("./lib/ota/commands/clear")).clear(options),
});

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
  run: async (options) => (await import("./lib/ota/commands/status")).status(options),
});

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
    rings: option("SHARES", `percent of the others, rising to 100; default ${RINGS}`, parseShares),
    "stop-at": option(
      "PERCENT",
      `of a ring that may fail or stay silent; default ${STOP_AT}`,
      integer(0, 100),
    ),
    wait: option(
      "MINUTES",
      `for a ring; who has said nothing until then is silent; default ${WAIT_MINUTES}`,
      integer(1, 525_600),
    ),
    "per-second": perSecond,
    ...BROKER_OPTIONS,
    json: flag("for machines: one JSON object a line"),
  },
  run: async (options) => (await import("./lib/ota/commands/rollout")).rollout(options),
});

const STOP = subcommand({
  usage: "npm run ota -- stop --state FILE --broker HOST:PORT",
  about:
    "Stop a rollout for good: the manifests of all devices that have not confirmed are taken away from the broker. Devices\n" +
    "that run the new image keep it. A program that runs this rollout ends.",
  options: { state: option("FILE", "the state of the rollout"), ...BROKER_OPTIONS, json },
  run: async (options) => (await import("./lib/ota/commands/rollout")).stop(options),
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
