// `npm start -- --product FILE`: a product on a simulated board while it is being written. Shows its pins, what it publishes and what it
// throws; takes lines that are typed in; a file that is saved is built and booted again. What is wrong with a line, or with a file
// that was saved, is a sentence, and what runs goes on.
import { watch } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { Sht3x } from "../../../hal/simulator/sht3x";
import { DeviceError, UsageError } from "../cli/exit";
import { interrupted } from "../simulate/device_run";
import { BUILDING, type LiveView } from "../simulate/live_view";
import { ProductDevice, type ProductEvent } from "./product_device";

/** What may be typed in: words, what it does, and how. Throws UsageError. */
const COMMANDS: Record<string, { help: string; run(device: ProductDevice, words: string[]): unknown }> = {
  pin: {
    help: "pin D5 1        give a pin a level, 0 to 1; without a level: tell it",
    run(device, [name, level]) {
      if (!name) throw new UsageError("which pin? pin D5, or pin D5 1.");
      const share = level === undefined ? undefined : Number(level);
      if (share !== undefined && !(share >= 0 && share <= 1))
        throw new UsageError(`${level} is no level: 0, 1, or what is between them for analogRead.`);
      try {
        return `${name} is ${device.pin(name, share)}`;
      } catch (error) {
        throw new UsageError(`${(error as Error).message}.`);
      }
    },
  },
  i2c: {
    help: "i2c 0x48 21 128 what gives these bytes at each read; `i2c 0x44 sht3x 21.5 40`: a sensor's model; alone: nothing is there",
    run(device, [text = "", ...bytes]) {
      const address = Number(text || Number.NaN);
      if (!(Number.isInteger(address) && address >= 0 && address < 128))
        throw new UsageError(`${text || "nothing"} is no address of I2C: 0 to 127, or 0x00 to 0x7f.`);
      if (bytes[0] === "sht3x")
        device.i2c(address, new Sht3x(Number(bytes[1] ?? 20), Number(bytes[2] ?? 50)));
      else {
        const values = bytes.map(Number);
        if (values.some((value) => !(Number.isInteger(value) && value >= 0 && value < 256)))
          throw new UsageError("a byte is 0 to 255, or 0x00 to 0xff.");
        device.i2c(address, values.length ? values : undefined);
      }
      return undefined;
    },
  },
  down: {
    help: "down valve open send a command: its name, and what is behind it",
    run(device, [name, ...payload]) {
      if (!name) throw new UsageError("which command? down NAME PAYLOAD.");
      device.command(name, payload.join(" "));
    },
  },
  pass: {
    help: "pass 60         let so many seconds pass at once",
    run(device, [seconds]) {
      if (!(Number(seconds) > 0 && Number(seconds) <= 86_400))
        throw new UsageError("how many seconds? 1 to 86400.");
      return device.pass(Number(seconds));
    },
  },
  power: { help: "power           cut the power and give it again", run: (device) => device.power() },
  help: {
    help: "help            this list",
    run: () =>
      Object.values(COMMANDS)
        .map(({ help }) => help)
        .join("\n"),
  },
};

/** A line that was typed in: carry it out, and tell what comes of it. */
export async function carryOut(device: ProductDevice, line: string): Promise<string | undefined> {
  const [word, ...words] = line.trim().split(/\s+/);
  if (!word) return undefined;
  if (!Object.hasOwn(COMMANDS, word)) return `"${word}" is none of ${Object.keys(COMMANDS).join(", ")}.`;
  try {
    const answer = await COMMANDS[word].run(device, words);
    return typeof answer === "string" ? answer : undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

/** Run a product until Ctrl-C, or, `once`, until it has sent telemetry. */
export async function play(
  options: { product: string; board: string; identity: string; once?: boolean; timeoutMs: number },
  view: LiveView,
): Promise<void> {
  const { product, board, once } = options;
  const note = (text: string) =>
    text.split("\n").forEach((line) => void view.show({ kind: "note", text: line }));
  let heard = () => {};
  const onEvent = (event: ProductEvent) => {
    if (event.kind === "built") {
      const { code, sections, sizes } = event.bundle;
      view.show({
        ...{ kind: "bundle", board, bytes: code.length, most: sizes.total + sizes.left },
        ...{ sections: sections.length, buildMs: event.buildMs },
        sectionBytes: sections.reduce((sum, { length }) => sum + length, 0),
      });
    } else if (event.kind === "published") {
      const kind = event.name === "status" ? "telemetry" : event.name === "state" ? "state" : "answer";
      view.show({ kind, topic: event.topic, payload: event.payload });
      if (event.name === "status") heard();
    } else view.show(event);
  };
  note(BUILDING);
  const device = await ProductDevice.start({ ...options, onEvent });
  note(
    `its broker takes plain MQTT of this machine at 127.0.0.1:${device.gateway.operatorPort}; help: what may be typed in`,
  );
  const input = createInterface({ input: process.stdin });
  let work = Promise.resolve();
  const then = (task: () => Promise<unknown>) => {
    work = work.then(task).then(() => {});
  };
  input.on("line", (line) =>
    then(async () => {
      const answer = await carryOut(device, line);
      if (answer) note(answer);
    }),
  );
  let timer: NodeJS.Timeout | undefined;
  const watcher = watch(dirname(product), (_, file) => {
    if (!file?.endsWith(".ts")) return;
    clearTimeout(timer);
    // an editor writes in several steps
    timer = setTimeout(
      () =>
        then(() =>
          device.reload().catch((error) => {
            if (!(error instanceof UsageError)) throw error;
            note(error.message);
          }),
        ),
      100,
    );
  });
  try {
    if (!once) await interrupted();
    else {
      const done = new Promise<boolean>((resolve) => {
        heard = () => resolve(true);
        setTimeout(() => resolve(false), options.timeoutMs).unref();
      });
      if (!(await done)) throw new DeviceError(`no telemetry in ${options.timeoutMs / 1000} seconds.`);
    }
  } finally {
    watcher.close();
    clearTimeout(timer);
    input.close();
    process.stdin.destroy();
    await device.stop();
  }
}
