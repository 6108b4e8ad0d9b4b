// The main job in one command: `npm start`. Derives a device's key, builds the bundle and boots it on a simulated
// board, starts the gateway with its broker, and shows what happens: noise, each handshake message with its bytes,
// what was agreed, telemetry, a command going down and its answer. `--server` points the board at any other server.
// Leaves out: hardware, whose console shows the same codes.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as profile from "../firmware/profile";
import { NOISE_MODELS, type NoiseModel } from "../hal/simulator/noise";
import { runCommand, UsageError } from "./lib/cli/exit";
import {
  endpoint,
  flag,
  integer,
  options as manyOf,
  oneOf,
  option,
  type Parsed,
  parseCommand,
} from "./lib/cli/options";
import { parseIdentity } from "./lib/keys/identity";
import { SCHEME_NAMES } from "./lib/keys/kdf";
import { PROJECT } from "./lib/project";

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
    product: option(
      "NAME|FILE",
      "a product, of firmware/product or of yours: its pins are shown, `help` typed in says what may be; saving the file boots it anew",
    ),
    json: flag("for machines: one JSON object a line"),
  },
};

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

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("start", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/simulate/start_command")).run(parsed.options);
});
