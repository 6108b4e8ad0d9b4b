// A rollout to very many devices, what it takes and where it stops: light devices in a few processes, each with its connection by
// TLS-PSK, through Mosquitto with the plugin, once to the end and once with more failures than are allowed. Exits 1 where a device is lost, the stop is over its limit by more
// than 2 %, or memory by more than it may have for each device.
// A benchmark, not a test: the machine should have nothing else to do. Leaves out: pieces, boards (lib/test/light_clients.ts).
import { spawnSync } from "node:child_process";
import { DeviceError, runCommand, UsageError } from "./lib/cli/exit";
import { flag, integer, option, parseCommand } from "./lib/cli/options";
import type { LoadFigures } from "./lib/test/rollout_load";

/** How far over its limit a ring may be when it stops, percent of the limit. */
const STOP_WITHIN = 2;
/** The operator's memory for each device: its manifest twice, its places in the tables, what it said; bytes. */
const MEMORY_A_DEVICE = 5000;
/** And for a rollout of any size. */
const MEMORY_AT_LEAST = 100e6;
const STOP_AT = 5;
/** What a broker has open beside its devices. */
const OTHER_FILES = 1000;
const FAILING = { few: 1, many: 10 } as const;
/** A first ring would stop it long before the limit of a large one. */
const SHARES = { few: [1, 100], many: [100] } as const;

const COMMAND = {
  usage: "npm run rollout-report --",
  about:
    "Roll an update out to very many light devices, once to the end and once to its stop, and print the figures.",
  options: {
    devices: option("N", "how many; default 100,000", integer(100, 1_000_000)),
    "per-second": option("N", "manifests a second; default 2,000", integer(1, 100_000)),
    json: flag("for machines: one JSON object"),
  },
};

await runCommand("rollout-report", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { devices = 100_000, "per-second": perSecond = 2000, json } = parsed.options;
  allowOpenFiles(devices + OTHER_FILES);
  const { runLoad } = await import("./lib/test/rollout_load");
  const figures = {} as Record<keyof typeof FAILING, LoadFigures>;
  for (const kind of ["few", "many"] as const) {
    figures[kind] = await runLoad({
      ...{ devices, perSecond, processes: 2, telemetryMs: 60_000, takeMs: 5000 },
      ...{ failing: FAILING[kind], stopAt: STOP_AT, shares: SHARES[kind] },
      onEvent: (text) => json || console.log(text),
    });
    if (!json) print(kind, figures[kind], devices);
  }
  if (json) console.log(JSON.stringify(figures));
  check(figures, devices);
});

/** Let the broker have as many files open as there are devices; throws UsageError where the system does not. */
function allowOpenFiles(count: number): void {
  const { status } = spawnSync("prlimit", ["--pid", String(process.pid), `--nofile=${count}:${count}`]);
  if (status !== 0)
    throw new UsageError(
      `so many devices need ${count} open files: as root, or after \`ulimit -n ${count}\`.`,
    );
}

function print(kind: keyof typeof FAILING, figures: LoadFigures, devices: number): void {
  const { seconds, stopped, confirmed, failed, silent, memory } = figures;
  console.log(
    `${FAILING[kind]} of 100 fail: ${stopped ?? "to the end"} in ${seconds.toFixed(0)} s; ${confirmed} confirmed, ${failed} failed, ` +
      `${silent} silent; the operator's memory ${(memory / 1e6).toFixed(0)} MB more, ${Math.round(memory / devices)} bytes a device`,
  );
}

function check({ few, many }: Record<keyof typeof FAILING, LoadFigures>, devices: number): void {
  const lost = devices - few.confirmed - few.failed;
  if (few.stopped !== undefined || lost > 0)
    throw new DeviceError(`${lost} devices are lost: ${few.stopped}.`);
  const limit = (many.ring.size * STOP_AT) / 100;
  if (many.stopped === undefined || many.ring.failed > Math.max(limit + 1, limit * (1 + STOP_WITHIN / 100)))
    throw new DeviceError(`it stopped at ${many.ring.failed} failed devices, and may at ${limit}.`);
  const most = MEMORY_AT_LEAST + devices * MEMORY_A_DEVICE;
  if (few.memory > most)
    throw new DeviceError(`the operator took ${few.memory} bytes of memory, and may take ${most}.`);
}
