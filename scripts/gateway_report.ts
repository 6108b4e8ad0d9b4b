// `make gateway-report`: what the gateway and Mosquitto's plugin cost beside a server in C, and what they stand. Minutes; the
// figures are processor time of pinned processes, so that other work on the machine changes little.

import { runCommand } from "./lib/cli/exit";
import { flag, integer, option, parseCommand } from "./lib/cli/options";

const COMMAND = {
  usage: "make gateway-report",
  about: "Measure the front doors of a fleet one after the other and print a table.",
  options: {
    handshakes: option(
      "N",
      "handshakes that are counted, after as many to warm up; default 3000",
      integer(100, 1_000_000),
    ),
    devices: option("N", "idle devices whose memory is measured; default 2000", integer(10, 100_000)),
    json: flag("for machines: one JSON object a line"),
  },
};

await runCommand("gateway-report", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  await (await import("./lib/gateway/report/report")).report(
    { handshakes: options.handshakes ?? 3_000, devices: options.devices ?? 2_000 },
    (row) =>
      console.log(options.json ? JSON.stringify(row) : `${row.what.padEnd(64)} ${row.value} ${row.unit}`),
  );
});
