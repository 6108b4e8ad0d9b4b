// What `npm run flash` does, once its command line is read (scripts/flash.ts has the options).
import { Presets, SingleBar } from "cli-progress";
import type { Board } from "../../../boards/board";
import type { Options } from "../../flash";
import { boardNames, readBoard } from "../bundle/build";
import { DeviceError, UsageError } from "../cli/exit";
import { oneOf } from "../cli/options";
import { Device, StepFailed } from "./device";
import { type Image, makeImage, readBundle } from "./image";
import { Port, PortClosed } from "./port";
import { portName } from "./port_name";
import { NoAnswer } from "./prompt";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  const name = options.board ?? oneOf(boardNames())(process.env.BOARD || missing("--board"));
  const portPath = options.port ?? portName(process.env.PORT || missing("--port"));
  const board = (await readBoard(name)) as unknown as Board;
  if (options.bundle) readBundle(options.bundle, board);
  let image: Image;
  try {
    // who is there, before the image is made, which takes a while
    const device = new Device(await Port.open(portPath), board);
    try {
      const { mode } = await device.identify();
      if (mode === "locked")
        throw new DeviceError(
          "the device holds its keys and is locked: npm run bench -- --operation rework.",
        );
      device.checkBoard();
      if (process.stderr.isTTY && !options.json) console.error(`making the image for ${name} ...`);
      image = await makeImage(board, options);
      await flash(device, image, options.json);
    } finally {
      device.close();
    }
  } catch (error) {
    // this one names the port itself
    if (error instanceof PortClosed) throw new DeviceError(`${error.message}.`);
    if (error instanceof NoAnswer || error instanceof StepFailed)
      throw new DeviceError(`${portPath}: ${error.message}`);
    throw error;
  }
  const { digest, length } = image;
  if (options.json) console.log(JSON.stringify({ port: portPath, board: name, bytes: length, digest }));
  else console.log(`${portPath}: ${length} bytes written and read back, digest ${digest}`);
}

async function flash(device: Device, { bytes: image }: Image, isQuiet = false): Promise<void> {
  const bar = new SingleBar(
    { format: "{step} {bar} {percentage} %", hideCursor: true, noTTYOutput: false },
    Presets.shades_classic,
  );
  const isShown = process.stderr.isTTY && !isQuiet;
  if (isShown) bar.start(1000, 0, { step: "write" });
  const show = (step: string, from: number) => (share: number) => {
    if (isShown) bar.update(Math.round(1000 * (from + Math.min(1, share) / 2)), { step });
  };
  try {
    let pages: number[] | undefined;
    let settings: Buffer = Buffer.alloc(0);
    if (await device.isLaidOut(image)) {
      pages = await device.wrongPages(image, () => {}, device.slotPages(image));
      if (pages.length) await device.erasePages(pages);
    } else {
      settings = await device.readSettings();
      await device.eraseFlash();
    }
    await device.writePages(image, show("write", 0), pages);
    if ((await device.wrongPages(image, show("verify", 0.5), pages)).length)
      throw new DeviceError("what was read back is not the firmware.");
    if (settings.length) await device.writeSettings(settings);
  } finally {
    if (isShown) bar.stop();
  }
  await device.restart();
}

function missing(option: string): never {
  throw new UsageError(`${option} is missing. See --help.`);
}
