// What `npm run bench-report` does, once its command line is read (scripts/bench_report.ts has the options).
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Board } from "../../../boards/board";
import type { Options } from "../../bench_report";
import { Bench } from "../bench/bench";
import { type Image, makeImage } from "../bench/image";
import { writeLabel } from "../bench/label";
import { LINE_RATE } from "../bench/port";
import { readBoard } from "../bundle/build";
import { DeviceError } from "../cli/exit";
import { keySourceOfMasters, masterFromBytes } from "../custody/master";
import { PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { openLedger } from "../ledger/ledger";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  const { json } = options;
  const board = (await readBoard(BOARD)) as unknown as Board;
  const image = await makeImage(board);
  const times: Record<number, number> = {};
  for (const count of [1, MANY]) {
    times[count] = await time(board, image, count);
    if (!json) console.log(`${count} board${count > 1 ? "s" : ""}: ${times[count].toFixed(2)} s`);
  }
  const ratio = times[MANY] / times[1];
  const bytes = image.length;
  if (json)
    console.log(
      JSON.stringify({ board: BOARD, bytes, lineRate: LINE_RATE, seconds: times, ratio, limit: LIMIT }),
    );
  else
    console.log(
      `${MANY} boards at once / one board, bundle of ${bytes} bytes, limit ${LIMIT}: ${ratio.toFixed(2)}`,
    );
  if (ratio > LIMIT) throw new DeviceError(`the ratio ${ratio.toFixed(2)} is over ${LIMIT}.`);
}

const BOARD = "esp32-sim";
const MANY = 8;
/** Most that eight boards at once may take, as a multiple of one board's time. */
const LIMIT = 1.3;

/** Seconds from the first plugged in to the last finished. Throws DeviceError where a unit failed. */
async function time(board: Board, image: Image, count: number): Promise<number> {
  const farm = fork(fileURLToPath(new URL("./lib/simulate/simulated_boards.ts", import.meta.url)), [
    board.name,
    String(count),
  ]);
  const ports = await new Promise<string[]>((resolve, reject) => {
    farm.once("message", (message) => resolve(message as string[]));
    farm.once("exit", () => reject(new Error("the simulated boards did not start")));
  });
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const ledger = openLedger(join(folder, "ledger.sqlite"));
  const keys = keySourceOfMasters(PURPOSES.map((purpose) => masterFromBytes(randomKey(), purpose)));
  const bench = new Bench({
    board,
    image: image.bytes,
    imageDigest: image.digest,
    product: "report",
    keyVersion: 1,
    settings: { host: "127.0.0.1", port: 1, ssid: "simulated", pass: "simulated" },
    keys,
    ledger,
    station: "report",
    who: "report",
    operation: "provision",
    ports,
    range: { first: "SN0000001", last: "SN0000999" },
    automatic: true,
    writeLabel: (label) => writeLabel(join(folder, "labels"), label),
  });
  try {
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      let passed = 0;
      bench.subscribe((event) => {
        if (event.kind !== "result") return;
        if (event.result === "fail")
          reject(new DeviceError(`a simulated unit failed at ${event.step}: ${event.failure?.text}`));
        if (++passed === count) resolve();
      });
      bench.start();
    });
    return (performance.now() - startedAt) / 1000;
  } finally {
    await bench.stop();
    await keys.close();
    ledger.close();
    rmSync(folder, { recursive: true, force: true });
    farm.kill();
  }
}
