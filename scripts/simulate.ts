// A built bundle on a simulated board, its console here: `make simulate BOARD=esp32-sim`. Takes the device's
// files as `npm run derive` leaves them and runs until Ctrl-C. Leaves out the gateway and the picture of what
// goes over the wire: that is `npm start`.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { NOISE_MODELS, type NoiseModel } from "../hal/simulator/noise";
import { runCommand } from "./lib/cli/exit";
import { flag, integer, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { PROJECT } from "./lib/project";

const SIMULATED = readdirSync(join(PROJECT, "boards"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => name.endsWith("-sim"));

const COMMAND = {
  usage: "npm run simulate --",
  about: "Boot a built bundle on a simulated board and show its console until Ctrl-C.",
  options: {
    board: option(
      "NAME",
      `${SIMULATED.join(", ")}; default BOARD of the environment, or esp32-sim`,
      oneOf(SIMULATED),
    ),
    bundle: option("FILE", "the bundle; default dist/<board>/firmware.js, which `make bundle` builds"),
    device: option("FOLDER", "where `npm run derive` put key and conf; default dist/device"),
    blank: flag("boot without key and settings, as a board from the factory"),
    noise: option(
      "MODEL",
      `what stands behind the noise register: ${Object.keys(NOISE_MODELS).join(", ")}`,
      oneOf(Object.keys(NOISE_MODELS) as NoiseModel[]),
    ),
    offline: flag("the network never comes up"),
    wire: flag("tell the bytes of each piece that TCP carries"),
    for: option("SECONDS", "end after this time; default: run until Ctrl-C", integer(1, 86400)),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("simulate", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/simulate/simulate_command")).run(parsed.options);
});
