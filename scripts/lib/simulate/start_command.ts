// What `npm start` does, once its command line is read (scripts/start.ts has the options).
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { Machine } from "../../../hal/simulator/machine";
import { NOISE_MODELS } from "../../../hal/simulator/noise";
import type { Options } from "../../start";
import { type Bundle, buildBundle, PROJECT, readBoard } from "../bundle/build";
import { UsageError } from "../cli/exit";
import { masterFromBytes } from "../custody/master";
import { readSecret } from "../files/private_file";
import { type Gateway, startGateway } from "../gateway/gateway";
import { type Identity, parseIdentity } from "../keys/identity";
import { deriveDeviceKey, keyCheckValue, type SCHEME_NAMES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { play } from "../product/play";
import { productFile } from "../product/product_file";
import { demonstrateUpdate } from "./demonstration";
import { DeviceRun, interrupted } from "./device_run";
import { BUILDING, LiveView } from "./live_view";
import { estimateVariables } from "./memory_estimate";
import { NoiseMonitor } from "./noise_monitor";

const _SIMULATED = readdirSync(join(PROJECT, "boards"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => name.endsWith("-sim"));
/** Run the command. */
export async function run(options: Options): Promise<void> {
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
    refuseBeside("ota", options);
    return demonstrateUpdate(boardName, identity, view, timeoutMs);
  }
  if (options.product) {
    refuseBeside("product", options);
    return play(
      {
        ...{ product: productFile(options.product), board: boardName, identity: identity.text },
        ...{ once: options.once, timeoutMs },
      },
      view,
    );
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
}

/** What `--ota` and `--product` bring along themselves cannot be given. */
function refuseBeside(what: "ota" | "product", options: Record<string, unknown>): void {
  const others = ["server", "key-file", "master", "scheme", "noise", "set"];
  const beside = [...others, ...(what === "ota" ? ["once", "product"] : ["ota"])].find(
    (name) => options[name] !== undefined,
  );
  if (beside)
    throw new UsageError(`--${what} has a gateway, keys and images of its own: --${beside} is not for it.`);
}

/** Build the bundle and show its size. */
async function build(
  board: Board,
  defines: Record<string, string | number | boolean>,
  view: LiveView,
): Promise<Bundle> {
  const start = Date.now();
  view.show({ kind: "note", text: BUILDING });
  const bundle = await buildBundle({ board: board.name, defines });
  view.show({
    kind: "bundle",
    board: board.name,
    bytes: bundle.code.length,
    most: bundle.sizes.total + bundle.sizes.left,
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
