// `make module BOARD=esp32`: the module `tls-psk` for one's own Espruino code, dist/<board>/tls-psk.js.
// Leaves out the firmware around it (rollup.config.mjs) and getting it onto a board: the Web IDE or the espruino CLI do that.
import { join } from "node:path";
import { moduleBundle } from "./lib/bundle/module_bundle";
import { runCommand, UsageError } from "./lib/cli/exit";
import { oneOf, option, parseCommand } from "./lib/cli/options";
import { checkFolder, makeFolder, replaceFile } from "./lib/files/new_file";
import { boardNames, PROJECT } from "./lib/project";

const COMMAND = {
  usage: "npm run module --",
  about:
    "Write dist/BOARD/tls-psk.js: upload it to the board's Storage under the name tls-psk, and require it from your own code.",
  options: {
    board: option("NAME", "default BOARD of the environment", oneOf(boardNames())),
  },
};

await runCommand("module", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const name = parsed.options.board ?? process.env.BOARD;
  if (!name) throw new UsageError("--board is missing. See --help.");
  const board = oneOf(boardNames())(name);
  const folder = join(PROJECT, "dist", board);
  checkFolder(folder);
  const code = await moduleBundle(board);
  makeFolder(folder);
  const path = join(folder, "tls-psk.js");
  replaceFile(path, Buffer.from(code, "latin1"));
  console.log(
    `${path}: ${code.length} bytes\n\n` +
      `  espruino -p PORT --storage tls-psk:${path}\n\n` +
      `  require("tls-psk").connect({ host: "192.168.1.10", port: 8883, identity: "v1.demo.SN0000001", key: KEY },\n` +
      '    function (socket) { socket.write("hello"); });',
  );
});
