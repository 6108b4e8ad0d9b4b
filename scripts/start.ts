// The main job in one command: `npm start`. Derives a device's key, builds the bundle and boots it on a simulated
// board, starts the gateway with its broker, and shows what happens: noise, each handshake message with its bytes,
// what was agreed, telemetry, a command going down and its answer. `--server` points the board at any other server.
// Leaves out: hardware, whose console shows the same codes.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Board } from "../boards/board";
import * as profile from "../firmware/profile";
import { Machine } from "../hal/simulator/machine";
import { NOISE_MODELS, type NoiseModel } from "../hal/simulator/noise";
import { type Bundle, buildBundle, PROJECT, readBoard } from "./lib/bundle/build";
import { runCommand, UsageError } from "./lib/cli/exit";
import { endpoint, flag, integer, options as manyOf, oneOf, option, parseCommand } from "./lib/cli/options";
import { masterFromBytes } from "./lib/custody/master";
import { readSecret } from "./lib/files/private_file";
import { type Gateway, startGateway } from "./lib/gateway/gateway";
import { type Identity, parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey, keyCheckValue, SCHEME_NAMES } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { demonstrateUpdate } from "./lib/simulate/demonstration";
import { DeviceRun, interrupted } from "./lib/simulate/device_run";
import { LiveView } from "./lib/simulate/live_view";
import { estimateVariables } from "./lib/simulate/memory_estimate";
import { NoiseMonitor } from "./lib/simulate/noise_monitor";

const SIMULATED = readdirSync(join(PROJECT, "boards"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => name.endsWith("-sim"));
const COMMAND = {
  usage: "npm start --",
  about:
    "Boot the firmware on a simulated board and let it talk TLS-PSK: to our gateway, or to any server with --server.\n" +
    "Runs until Ctrl-C.",
  options: {
    once: flag("end after one exchange: exit 0 when it came about, 1 when not"),
    timeout: option(
      "SECONDS",
      "with --once: how long to wait for the exchange; with --ota, for each step; default 30",
      integer(1, 3600),
    ),
    server: option("HOST:PORT", "a server of one's own instead of our gateway; needs --key-file", endpoint),
    identity: option("ID", "v<key version>.<product>.<serial>; default v1.demo.SN0000001", parseIdentity),
    "key-file": option(
      "FILE",
      "the device's key, 16 bytes or 32 hex digits; default: derived from a throwaway master",
    ),
    master: option("FILE", "the gateway's psk master; default: a throwaway one"),
    scheme: option(
      "NAME",
      `how keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf`,
      oneOf(SCHEME_NAMES),
    ),
    board: option("NAME", `${SIMULATED.join(", ")}; default esp32-sim`, oneOf(SIMULATED)),
    noise: option(
      "MODEL",
      `what stands behind the noise register: ${Object.keys(NOISE_MODELS).join(", ")}`,
      oneOf(Object.keys(NOISE_MODELS) as NoiseModel[]),
    ),
    set: manyOf(
      "NAME=VALUE",
      "another value for a constant of firmware/profile.ts, for example requireEncryptThenMac=false",
      parseSetting,
    ),
    ota: flag(
      "show an update over the air: a power cut in the middle, and a bad image that is left again; then end",
    ),
    json: flag("for machines: one JSON object a line"),
  },
};

await runCommand("start", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  if (options.server && !options["key-file"]) {
    throw new UsageError(
      "--server needs --key-file, a key that the server knows as well; npm run derive makes one.",
    );
  }
  if (options.server && (options.master || options.scheme)) {
    throw new UsageError("--master and --scheme are the gateway's, and --server does without it.");
  }
  if (options.timeout && !options.once && !options.ota)
    throw new UsageError("--timeout is for --once and --ota; without them the board runs until Ctrl-C.");
  const identity = options.identity ?? parseIdentity("v1.demo.SN0000001");
  const boardName = options.board ?? "esp32-sim";
  const view = new LiveView(options.json ?? false);
  const timeoutMs = (options.timeout ?? 30) * 1000;
  if (options.ota) {
    refuseBesideOta(options);
    return demonstrateUpdate(boardName, identity, view, timeoutMs);
  }
  const ownKey = options["key-file"] ? readSecret(options["key-file"]) : undefined;
  const master = options.master ? readSecret(options.master) : randomKey();
  const key = ownKey ?? deriveDeviceKey(master, identity, options.scheme);

  const board = (await readBoard(boardName)) as unknown as Board;
  const bundle = await build(board, Object.assign({}, ...(options.set ?? [])), view);
  view.show({
    kind: "device",
    identity: identity.text,
    checkValue: keyCheckValue(key),
    key: ownKey ? "key from a file" : "key derived from the master",
  });

  const gateway = options.server ? undefined : await openGateway(master, options.scheme, identity, view);
  if (options.server) view.show({ kind: "server", ...options.server });
  const server = options.server ?? { host: gateway?.host ?? "", port: gateway?.port ?? 0 };
  const run = new DeviceRun(view, identity, gateway, () => ({
    variables: estimateVariables(machine, bundle.code, bundle.names.variables),
    of: board.variables,
  }));
  const noise = new NoiseMonitor(NOISE_MODELS[options.noise ?? "healthy"](), board.entropyPerBit);
  const machine = new Machine({
    board,
    bundle: bundle.code,
    files: {
      conf: JSON.stringify({ id: identity.text, ...server, ssid: "simulated", pass: "simulated" }),
      key: key.toString("latin1"),
    },
    noise,
    onPrint: (line) => run.onPrint(line, noise),
    onWire: (direction, bytes) => run.onWire(direction, bytes, noise),
  });
  view.show({ kind: "power", on: true });
  machine.boot();
  try {
    await (options.once ? run.exchange(timeoutMs) : interrupted());
  } finally {
    machine.powerOff();
    view.show({ kind: "power", on: false });
    run.stop();
    await gateway?.close();
  }
});

/** What `--ota` brings along itself cannot be given. */
function refuseBesideOta(options: Record<string, unknown>): void {
  const beside = ["once", "server", "key-file", "master", "scheme", "noise", "set"].find(
    (name) => options[name] !== undefined,
  );
  if (beside)
    throw new UsageError(`--ota has a gateway, keys and images of its own: --${beside} is not for it.`);
}

/** Build the bundle and show its size. */
async function build(
  board: Board,
  defines: Record<string, string | number | boolean>,
  view: LiveView,
): Promise<Bundle> {
  const start = Date.now();
  const bundle = await buildBundle({ board: board.name, defines });
  view.show({
    kind: "bundle",
    board: board.name,
    bytes: bundle.code.length,
    sections: bundle.sections.length,
    sectionBytes: bundle.sections.reduce((sum, { length }) => sum + length, 0),
    buildMs: Date.now() - start,
  });
  return bundle;
}

async function openGateway(
  master: Buffer,
  scheme: (typeof SCHEME_NAMES)[number] | undefined,
  identity: Identity,
  view: LiveView,
): Promise<Gateway> {
  const gateway = await startGateway({
    master: masterFromBytes(master, "psk", scheme),
    keyVersion: identity.keyVersion,
    onEvent(event) {
      if (event.kind === "refused" || event.kind === "denied") view.show({ kind: "refused", event });
    },
  });
  view.show({ kind: "gateway", host: gateway.host, port: gateway.port });
  return gateway;
}

/** Parse `NAME=VALUE` for a constant of firmware/profile.ts; its value there says what kind it is. */
function parseSetting(text: string): Record<string, boolean | number> {
  const [name, value] = text.split(/=(.*)/s);
  const standing = (profile as Record<string, unknown>)[name];
  if (value === undefined || standing === undefined) {
    throw new UsageError(
      `"${text}" is not NAME=VALUE with a name out of ${Object.keys(profile).join(", ")}.`,
    );
  }
  if (typeof standing === "boolean") return { [name]: oneOf(["true", "false"])(value) === "true" };
  return { [name]: integer(0, 0x7fffffff)(value) };
}
