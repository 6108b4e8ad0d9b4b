// Home Assistant finds our devices: `npm run discovery -- --product climate --serials SN1..SN9`. Retained messages of MQTT discovery
// at the broker, made of what the product says of its values; devices send nothing for it. `--remove` takes them back.
import { runCommand } from "./lib/cli/exit";
import { endpoint, flag, options as manyOf, option, parseCommand } from "./lib/cli/options";
import { parseRange } from "./lib/keys/serials";
import { checkProduct } from "./lib/ota/manifest";

const COMMAND = {
  usage: "npm run discovery -- --product NAME --serials FIRST..LAST --broker HOST:PORT",
  about:
    "Have Home Assistant find devices: publish a retained message of MQTT discovery for each, with the values that the product's\n" +
    "file names. What is there already is left as it is.",
  options: {
    product: option("NAME", "the product, second part of the identities", checkProduct),
    module: option("FILE", "the product's file; default firmware/product/NAME.ts"),
    serials: manyOf(
      "FIRST..LAST",
      "serials, alike but for the last digits, or one; may be given again",
      parseRange,
    ),
    list: option("FILE", "serials, one a line"),
    prefix: option("TOPIC", "where Home Assistant listens; default homeassistant"),
    remove: flag("take the messages away that this command has published"),
    broker: option(
      "HOST:PORT",
      "plain MQTT on this machine, the gateway's --operator-port; default 127.0.0.1:1883",
      endpoint,
    ),
    "psk-identity": option("ID", "TLS-PSK to any other broker: the operator's identity there"),
    "psk-file": option("FILE", "and the key, 16 bytes or 32 hex digits in a file of mode 0600"),
    json: flag("for machines: one JSON object"),
  },
};

await runCommand("discovery", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/discovery/command")).discovery(parsed.options);
});
