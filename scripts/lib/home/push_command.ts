// What `npm run push` does, once its command line is read (scripts/push.ts has the options).
import { basename, parse } from "node:path";
import type { Options } from "../../push";
import { buildBundle } from "../bundle/build";
import { errorText } from "../cli/error_text";
import { DeviceError } from "../cli/exit";
import { Progress } from "../cli/progress";
import { print } from "../cli/wrap";
import { parseIdentity } from "../keys/identity";
import { Broker } from "../ota/broker";
import { type DeviceStatus, Fleet } from "../ota/fleet";
import { VERSION_LONGEST } from "../ota/manifest";
import { clearManifests, publishManifests, publishPieces } from "../ota/publish";
import { manifestsOf, signRows } from "../ota/sign";
import { makeUpdate } from "../ota/update_file";
import { productFile } from "../product/product_file";
import { readBoard } from "../project";
import { homeDevice } from "./devices";
import { homeMaster, openHome } from "./home";

const WAIT_MINUTES = 10;
/** A device that can begins within this time. */
const HINT_MS = 10_000;

/** Run the command. */
export async function run(options: Options, serial: string): Promise<void> {
  const home = openHome(options.keys);
  const device = homeDevice(home.folder, serial);
  const identity = parseIdentity(device.identity);
  const board = options.board ?? device.board;
  const product = productFile(options.product ?? "echo");
  const say = (text: string) => void (options.json || print(text));
  // the broker first: it is quickly asked
  const broker = await Broker.connect(options.broker ?? { host: "127.0.0.1", port: 1883 });
  const progress = new Progress(!options.json);
  try {
    const data = await readBoard(board);
    const { code } = await buildBundle({ board, product });
    // seconds since 1970: of two pushes the later one is the newer
    const sequence = Math.floor(Date.now() / 1000);
    const update = makeUpdate(Buffer.from(code, "latin1"), {
      product: identity.product,
      board,
      hardware: 2 ** Number(data.hardware),
      version: versionOf(product),
      sequence,
      encoding: data.heatshrink ? "shortest" : "none",
    });
    const master = homeMaster("ota", home.folder);
    const manifests = manifestsOf(Buffer.concat([...signRows(update, [identity], master, 1)]), serial);
    master.close();
    const fleet = new Fleet(identity.product);
    const heard: { look: (status: DeviceStatus) => void } = { look: () => {} };
    const stop = await fleet.listen(broker, (status) => status.serial === serial && heard.look(status));
    const onProgress = progress.show.bind(progress);
    await publishPieces(broker, update, { onProgress });
    await publishManifests(broker, manifests, { onProgress });
    say(
      `${device.identity}: ${code.length} bytes in ${update.pieces.length} pieces are at the broker, for ${board}`,
    );
    const minutes = options.wait ?? WAIT_MINUTES;
    const hint = setTimeout(
      () =>
        say(
          `${device.identity}: it has not begun yet. A device that is off takes it when it is back; one that runs a new image takes the next when its session has lasted two to three minutes, and a restart begins them anew.`,
        ),
      HINT_MS,
    );
    const outcome = await new Promise<string | undefined>((done) => {
      const timer = setTimeout(
        () =>
          done(
            `it has not told in ${minutes} minutes that it runs it; the offer stands, and it takes it when it is there.`,
          ),
        minutes * 60_000,
      );
      heard.look = (status) => {
        const { update: underWay } = status;
        if (underWay?.got !== undefined) clearTimeout(hint);
        if (underWay?.got !== undefined) progress.show("device", underWay.got, update.pieces.length);
        const code = underWay?.error || (status.sequence !== sequence && status.reverted) || 0;
        if (status.sequence === sequence || code) clearTimeout(timer);
        if (status.sequence === sequence) done(undefined);
        else if (code)
          done(`it does not take it: E${code}, ${errorText(code) ?? "a code without a sentence."}`);
      };
    });
    clearTimeout(hint);
    progress.stop();
    await stop();
    if (outcome && !outcome.startsWith("it has not told")) await clearManifests(broker, update, [serial]);
    if (outcome) throw new DeviceError(`${device.identity}: ${outcome}`);
    if (options.json)
      console.log(JSON.stringify({ identity: device.identity, sequence, bytes: code.length }));
    else
      say(
        `${device.identity}: it runs ${options.product ?? "echo"}. It keeps it when the session has lasted; else the old one comes back.`,
      );
  } finally {
    progress.stop();
    await broker.close();
  }
}

/** What the manifest calls it: the name of its file, or of its folder where that is main.ts; 16 printable characters at most. */
export function versionOf(product: string): string {
  const { name, dir } = parse(product);
  return (name === "main" ? basename(dir) : name).replace(/[^!-~]/g, "_").slice(0, VERSION_LONGEST);
}
