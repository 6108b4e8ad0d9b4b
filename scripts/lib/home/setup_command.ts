// What `npm run setup` does, once its command line is read (scripts/setup.ts has the options).
import { Presets, SingleBar } from "cli-progress";
import type { Board } from "../../../boards/board";
import type { Options } from "../../setup";
import { emsSetting } from "../bench/ems_option";
import type { BenchEvent } from "../bench/interfaces";
import { isPresent, onlyPort, PortClosed } from "../bench/port";
import { NoAnswer } from "../bench/prompt";
import { DeviceError, UsageError } from "../cli/exit";
import { show } from "../cli/show";
import { print } from "../cli/wrap";
import { Secrets, WrongSecret } from "../custody/secrets";
import { boardNames, readBoard } from "../project";
import { checkHome, homeFolder, openHome } from "./home";
import { checkWishes, eraseBoard, setUp } from "./setup";
import { wifiFault } from "./wifi";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  const folder = options.keys ?? homeFolder();
  const port = options.port ?? (await onlyPort());
  if (!isPresent(port)) throw new DeviceError(`${port}: nothing is plugged in there.`);
  const say = (text: string) => void (options.json || print(text));
  const boards = (await Promise.all(boardNames().map(readBoard))) as unknown as Board[];
  try {
    if (options.erase) {
      await eraseBoard(port, openHome(folder), boards, options.board);
      if (options.json) console.log(JSON.stringify({ port, erased: true }));
      return say(`${port}: a plain Espruino again.`);
    }
    const server = options.server;
    if (!server)
      throw new UsageError("--server is missing: HOST:PORT of your broker, as the board reaches it.");
    const { ssid = "" } = options;
    // cheap things first: what can be wrong is found before anything is asked for or built
    const given = {
      product: options.product ?? "demo",
      serial: options.serial,
      server,
      ssid,
      ...emsSetting(options),
    };
    checkWishes({ ...given, password: "" });
    checkHome(folder);
    const password = ssid ? await wifiPassword(ssid, new Secrets(options, ["wifi"])) : "";
    const wishes = { ...given, password };
    checkWishes(wishes);
    const home = openHome(folder, { make: true });
    if (home.isNew) say(`Your keys are new, and lie in ${home.folder}: keep a copy of that folder.`);
    const bar = progress(!options.json && process.stderr.isTTY);
    const result = await setUp({
      ...{ ...wishes, port, home, boards, board: options.board },
      onNotice: (text) => say(`${port}: ${text}`),
      onEvent: bar.show,
    }).finally(bar.stop);
    if (options.json) console.log(JSON.stringify({ port, ...result, keys: home.folder }));
    else say(next(port, result, server));
  } catch (error) {
    if (error instanceof NoAnswer)
      throw new DeviceError(
        `${port}: nothing answers. npm run doctor -- --port ${port} says what to look at.`,
      );
    if (error instanceof PortClosed)
      throw new DeviceError(`${error.message}. Plug it in and run the same again: it goes on.`);
    throw error;
  }
}

/** Ask for the password, byte for byte, and hold it to what WPA2 takes. */
async function wifiPassword(ssid: string, secrets: Secrets): Promise<string> {
  const network = `the network ${show(ssid)}`;
  const check = async (bytes: Buffer) => {
    const password = bytes.toString("utf8");
    const fault = wifiFault(password);
    if (fault) throw new WrongSecret(`the password of ${network} ${fault}.`);
    return password;
  };
  return secrets.opening("wifi", network, check, "password").finally(() => secrets.close());
}

function progress(isShown: boolean | undefined): { show(event: BenchEvent): void; stop(): void } {
  const bar = new SingleBar(
    { format: "{step} {bar} {percentage} %", hideCursor: true, noTTYOutput: false },
    Presets.shades_classic,
  );
  let isRunning = false;
  return {
    show(event) {
      if (!isShown || event.kind !== "fixture" || event.state !== "running") return;
      if (!isRunning) bar.start(1000, 0, { step: "" });
      isRunning = true;
      bar.update(Math.round(event.progress * 1000), { step: event.step ?? "" });
    },
    stop: () => bar.stop(),
  };
}

function next(
  port: string,
  { identity, wasDone }: { identity: string; wasDone: boolean },
  server: { host: string; port: number },
): string {
  const [, product, serial] = identity.split(".");
  return [
    wasDone
      ? `\n${identity}: all is done already.`
      : `\n${identity}: done. It connects to ${server.host}:${server.port} now.`,
    "",
    "What next:",
    `  a server with these keys    npm run gateway -- --home --listen 0.0.0.0:${server.port} --operator-port 1883`,
    `  what it tells               mosquitto_sub -t '${product}/${serial}/#' -v`,
    `  its console                 npm run console -- --port ${port}`,
    `  another product             npm run push -- --product NAME ${serial}`,
  ].join("\n");
}
