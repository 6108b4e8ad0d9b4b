// What `npm run simulate` does, once its command line is read (scripts/simulate.ts has the options).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { Machine } from "../../../hal/simulator/machine";
import type { Options } from "../../simulate";
import { PROJECT, readBoard } from "../bundle/build";
import { errorCode, errorText } from "../cli/error_text";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { oneOf } from "../cli/options";
import { readSecret } from "../files/private_file";

const SIMULATED = readdirSync(join(PROJECT, "boards"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => name.endsWith("-sim"));
/** Run the command. */
export async function run(options: Options): Promise<void> {
  const name = options.board ?? oneOf(SIMULATED)(process.env.BOARD || "esp32-sim");
  const machine = new Machine({
    board: (await readBoard(name)) as unknown as Board,
    bundle: readBundle(options.bundle, name),
    files: options.blank ? {} : deviceFiles(options.device ?? "dist/device"),
    noise: options.noise,
    network: { up: false, failures: options.offline ? Number.POSITIVE_INFINITY : 0 },
    onPrint(line) {
      const code = errorCode(line);
      const sentence = code === undefined ? undefined : errorText(code);
      console.log(sentence ? `${line}  ${sentence}` : line);
    },
    onWire(direction, bytes) {
      if (options.wire) console.log(`${direction === "out" ? "->" : "<-"} ${bytes.length} bytes`);
    },
  });
  // listened for before the first line is printed: whoever reads it may send the signal at once
  const ended = ending(options.for);
  machine.boot();
  await ended;
  machine.powerOff();
  const { bytesIn, bytesOut, aesBlocks, nativeCalls } = machine.counters;
  const done = `${bytesOut} bytes out, ${bytesIn} in, ${aesBlocks} AES blocks, ${nativeCalls} native crypto calls`;
  console.log(`${name} off: ${done}`);
}

/** Wait for Ctrl-C, a kill, or the end of the time. */
function ending(seconds: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearInterval(timer);
      resolve();
    };
    // holds the process, too, while the board waits for nothing
    const timer = setInterval(() => seconds && over(), (seconds ?? 3600) * 1000);
    process.once("SIGINT", over).once("SIGTERM", over);
  });
}

/** Read a bundle as Storage holds it. */
function readBundle(path: string | undefined, board: string): string {
  const file = path ?? join(PROJECT, "dist", board, "firmware.js");
  if (!existsSync(file)) {
    throw new UsageError(
      path
        ? `there is no bundle ${file}.`
        : `there is no bundle for ${board} yet: make bundle BOARD=${board}`,
    );
  }
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    throw new UsageError(`cannot read the bundle ${file}: ${fileFault(error)}.`);
  }
}

/**
 * Read `key` and `conf` of a device; the simulated access point takes any name, so a conf without one gets
 * it.
 */
function deviceFiles(folder: string): Record<string, string> {
  const [key, conf] = [join(folder, "key"), join(folder, "conf")];
  for (const file of [key, conf]) {
    if (!existsSync(file))
      throw new UsageError(`there is no ${file}: npm run derive makes one, or boot with --blank.`);
  }
  let settings: object;
  try {
    settings = JSON.parse(readFileSync(conf, "utf8"));
  } catch (error) {
    throw new UsageError(`${conf} holds no settings: ${fileFault(error)}.`);
  }
  return {
    key: readSecret(key).toString("latin1"),
    conf: JSON.stringify({ ssid: "simulated", pass: "simulated", ...settings }),
  };
}
