// From a saved file to a device that runs it: `npm run push -- --product valve SN0000001`. Builds, signs with one's own keys,
// publishes, waits, and tells what came of it. For the boards of one's own key folder.
// Leaves out fleets (ota.ts), and boards that have no keys yet (setup.ts).
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, integer, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { HOME_OPTION } from "./lib/home/home_option";
import { boardNames } from "./lib/project";

const COMMAND = {
  usage: "npm run push --",
  about:
    "Build a product, sign it for one of your devices, publish it at your broker, and wait until the device runs it, or says why\n" +
    "it does not. Exit 1: it does not.",
  positionals: ["SERIAL"],
  options: {
    product: option("NAME|FILE", "a file of firmware/product, or one of yours; default echo"),
    board: option("NAME", "its file of boards/; default: as it was set up", oneOf(boardNames())),
    broker: option("HOST:PORT", "plain MQTT on this machine; default 127.0.0.1:1883", endpoint),
    wait: option("MINUTES", "how long to wait for it; default 10", integer(1, 600)),
    ...HOME_OPTION,
    json: flag("for machines: one JSON object at the end"),
  },
};

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("push", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/home/push_command")).run(parsed.options, parsed.positionals[0]);
});
