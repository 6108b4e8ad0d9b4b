// A product of one's own, beside this project: `npm run product -- new ../my-product` makes a folder with a first one, its test and what an
// editor needs; `check` holds it to the types and builds it; `test` runs its tests.
// Leaves out running it (start.ts), bringing it onto a board (setup.ts, push.ts), and Home Assistant (discovery.ts).
import { flag, option } from "./lib/cli/options";
import { runSubcommands, subcommand } from "./lib/cli/subcommands";

await runSubcommands("product", "A product of your own: code that runs on the firmware.", {
  new: subcommand({
    usage: "npm run product -- new",
    about:
      "Make a folder with a first product, a thermometer, its test, and what an editor needs to know its types.",
    positionals: ["FOLDER"],
    options: {},
    run: async (_options, [folder]) => (await import("./lib/product/new_product")).newProduct(folder),
  }),
  check: subcommand({
    usage: "npm run product -- check",
    about:
      "Hold a product to its types and to what the interpreter runs, and build it: what it costs, and what is left.",
    positionals: ["FOLDER|FILE"],
    options: {
      board: option("NAME", "default esp32"),
      json: flag("for machines: one JSON object"),
    },
    run: async (options, [path]) => (await import("./lib/product/check_product")).checkProduct(path, options),
  }),
  test: subcommand({
    usage: "npm run product -- test",
    about: "Run the tests of a product's folder on the simulated board.",
    positionals: ["FOLDER"],
    options: {},
    run: async (_options, [folder]) => (await import("./lib/product/check_product")).testProduct(folder),
  }),
});
