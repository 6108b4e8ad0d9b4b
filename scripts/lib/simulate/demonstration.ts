// An update before one's eyes: `npm start -- --ota`. A simulated board with the loader and two slots takes an update from our
// gateway; its power is cut in the middle; it goes on, restarts and confirms. Then it is offered an image that never calls
// home, and leaves it again by itself. All but the board is the real thing: bundles, loader, manifests, gateway.
// Leaves out: the handshake in detail, which `npm start` shows by itself.
import type { Board } from "../../../boards/board";
import type { Machine } from "../../../hal/simulator/machine";
import { buildBundle, readBoard } from "../bundle/build";
import { errorCode, errorText } from "../cli/error_text";
import { DeviceError } from "../cli/exit";
import { type DeviceKeys, masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { clientIdOf, type Identity } from "../keys/identity";
import { deriveDeviceKey, keyCheckValue, PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { Broker } from "../ota/broker";
import { type DeviceStatus, Fleet } from "../ota/fleet";
import { piecesPrefix } from "../ota/manifest";
import { publishManifests, publishPieces } from "../ota/publish";
import { manifestsOf, signRows } from "../ota/sign";
import { makeUpdate, type Update } from "../ota/update_file";
import { deviceFromBench } from "./finished_device";
import type { LiveView } from "./live_view";

/** Between the power's end and its return, milliseconds: for who looks on. */
const DARK_MS = 500;
/** How long the technician waits for an image that does nothing before he pulls the plug, milliseconds. */
const NOTHING_MS = 700;
/** Starts that an image has to be confirmed in (firmware/boot/loader.ts), and the one that goes back. */
const STARTS = 3 + 1;

/** Half keep-alives of a session that confirms an image, one to spare; each, milliseconds of the board's time. */
const TICKS = 4;
const TICK_MS = 60_000;
/** Time for the broker's answers to a tick, milliseconds. */
const ANSWER_MS = 100;

/** An image that starts, and never calls home. */
const BAD_IMAGE = 'print("I am version 1.2.0, and I never call home")';

/** Show it all; throws DeviceError where a step does not come about within `timeoutMs`. */
export async function demonstrateUpdate(
  boardName: string,
  identity: Identity,
  view: LiveView,
  timeoutMs: number,
): Promise<void> {
  const masters = Object.fromEntries(PURPOSES.map((purpose) => [purpose, randomKey()])) as DeviceKeys;
  const gateway = await startGateway({ master: masterFromBytes(masters.psk), operatorPort: 0 });
  view.show({ kind: "gateway", host: gateway.host, port: gateway.port });
  const operator = await Broker.connect({ host: "127.0.0.1", port: gateway.operatorPort as number });
  const board = (await readBoard(boardName)) as unknown as Board;
  const show = new Show(board, identity, masters, gateway, operator, view, timeoutMs);
  try {
    await show.run();
  } finally {
    show.end();
    await operator.close();
    await gateway.close();
  }
}

class Show {
  private readonly fleet: Fleet;
  private machine: Machine | undefined;
  private status: DeviceStatus | undefined;
  /** The highest piece that the device has asked for since it was started, and how often it asked. */
  private piece = -1;
  private asked = 0;
  private lastError = 0;
  /** What was said of the device last. */
  private said = "";
  private look = () => {};

  constructor(
    private readonly board: Board,
    private readonly identity: Identity,
    private readonly masters: DeviceKeys,
    private readonly gateway: Gateway,
    private readonly operator: Broker,
    private readonly view: LiveView,
    private readonly timeoutMs: number,
  ) {
    this.fleet = new Fleet(identity.product);
    gateway.broker.on("subscribe", (subscriptions, client) => {
      if (client?.id !== clientIdOf(identity)) return;
      for (const { topic } of subscriptions) {
        const [, number] = /^fw\/.*\/(\d+)$/.exec(topic) ?? [];
        if (number !== undefined) this.onAsked(Number(number));
      }
    });
  }

  async run(): Promise<void> {
    await this.fleet.listen(this.operator, (device) => this.onStatus(device));
    const first = await this.build("1.0.0", 1);
    const second = await this.build("1.1.0", 2, { KEEP_ALIVE_S: 110 });
    const third = this.update(Buffer.from(BAD_IMAGE), "1.2.0", 3);
    await this.factory(first);
    this.power(true);
    await this.until("the first session", () => this.status?.sequence === 1);

    this.say(`version 1.1.0 is offered: ${second.length} bytes in ${second.pieces.length} pieces`);
    await this.offer(second);
    await this.until("half of the update", () => this.piece >= second.pieces.length / 2);
    const half = this.piece;
    await this.plug(`the power is cut at piece ${half} of ${second.pieces.length}`);
    await this.until("the rest of the update", () => this.piece === second.pieces.length - 1);
    const again = this.asked;
    await this.until("the confirmation", () => this.status?.sequence === 2);
    this.say(`version 1.1.0 runs; after the cut ${again} pieces were fetched, not all of them again`);
    if (again >= second.pieces.length)
      throw new DeviceError("the device began from the start after the cut.");
    await this.lastKeepAlive();

    this.say("version 1.2.0 is offered, which never calls home");
    await this.offer(third);
    await this.until("the start of the bad image", () => this.piece >= 0 && this.status?.online === false);
    for (let start = 1; start < STARTS; start++) {
      await new Promise((resolve) => setTimeout(resolve, NOTHING_MS));
      await this.plug(
        `version 1.2.0 was started ${start === 1 ? "once" : `${start} times`} and nothing came: the plug is pulled`,
      );
    }
    await this.until(
      "the return of the old image",
      () => this.status?.sequence === 2 && !!this.status.reverted,
    );
    const { reverted = 0 } = this.status ?? {};
    this.say(`version 1.1.0 is back: E${reverted}, ${errorText(reverted)}`);
  }

  end(): void {
    this.power(false);
  }

  /** Lay the board's Storage down as the bench does. */
  private async factory(first: Update): Promise<void> {
    const keys = Object.fromEntries(
      PURPOSES.map((purpose) => [
        purpose,
        deriveDeviceKey(this.masters[purpose], this.identity, "kdf", purpose),
      ]),
    ) as DeviceKeys;
    const { host, port } = this.gateway;
    this.machine = await deviceFromBench(
      this.board,
      first,
      { identity: this.identity, keys, server: { host, port } },
      { onPrint: (line) => this.onPrint(line) },
    );
    const checkValue = keyCheckValue(keys.psk);
    this.view.show({
      kind: "device",
      identity: this.identity.text,
      checkValue,
      key: "keys derived from four masters",
    });
  }

  private async build(version: string, sequence: number, defines = {}): Promise<Update> {
    const start = Date.now();
    const { code, sections, sizes } = await buildBundle({ board: this.board.name, defines });
    this.view.show({
      ...{ kind: "bundle", board: this.board.name, bytes: code.length, sections: sections.length },
      most: sizes.total + sizes.left,
      sectionBytes: sections.reduce((sum, { length }) => sum + length, 0),
      buildMs: Date.now() - start,
    });
    return this.update(Buffer.from(code, "latin1"), version, sequence);
  }

  private update(image: Buffer, version: string, sequence: number): Update {
    return makeUpdate(image, {
      ...{ product: this.identity.product, version, sequence, encoding: "none" },
      ...{ board: this.board.name, hardware: 2 ** this.board.hardware },
    });
  }

  /** Sign an update for the board, and publish it. */
  private async offer(update: Update): Promise<void> {
    this.piece = -1;
    const master = masterFromBytes(Buffer.from(this.masters.ota), "ota");
    const rows = Buffer.concat([...signRows(update, [this.identity], master, 1)]);
    master.close();
    await publishPieces(this.operator, update);
    await publishManifests(this.operator, manifestsOf(rows, "the demonstration"));
    this.say(`at the broker: ${piecesPrefix(update)}0 to ${update.pieces.length - 1}, and the manifest`);
  }

  private power(on: boolean): void {
    if (!this.machine) return;
    this.view.show({ kind: "power", on });
    if (on) this.machine.boot();
    else this.machine.powerOff();
  }

  private async plug(why: string): Promise<void> {
    this.say(why);
    this.power(false);
    await new Promise((resolve) => setTimeout(resolve, DARK_MS));
    this.asked = 0;
    this.power(true);
  }

  /** Have the session last until the image is confirmed: the board's time passes at once, with the broker's answers between. */
  private async lastKeepAlive(): Promise<void> {
    for (let tick = 0; tick < TICKS; tick++) {
      const heard = this.status?.heardMs;
      await this.machine?.later(TICK_MS);
      await this.until("telemetry", () => this.status?.heardMs !== heard);
      await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
    }
    this.say("the session has lasted: version 1.1.0 is confirmed");
  }

  private onAsked(piece: number): void {
    this.piece = piece;
    this.asked++;
    this.say(`the device asks for piece ${piece}`);
    this.look();
  }

  private onStatus(device: DeviceStatus): void {
    if (device.serial !== this.identity.serial) return;
    this.status = device;
    const { online, sequence, reverted, error } = device;
    const words = [
      online ? "on line" : "off line",
      sequence === undefined ? "" : `runs sequence ${sequence}`,
      reverted ? `left an update for E${reverted}` : "",
      error ? `last error E${error}` : "",
    ];
    const text = `the broker hears: ${words.filter(Boolean).join(", ")}`;
    if (text !== this.said) this.say(text);
    this.said = text;
    this.look();
  }

  private onPrint(line: string): void {
    const code = errorCode(line);
    if (code !== undefined) {
      this.lastError = code;
      this.view.show({ kind: "error", code });
    } else if (line.trim()) this.view.show({ kind: "console", line });
  }

  private say(text: string): void {
    this.view.show({ kind: "update", text });
  }

  private async until(what: string, condition: () => boolean): Promise<void> {
    const came = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, this.timeoutMs, false);
      this.look = () => {
        if (!condition()) return;
        clearTimeout(timer);
        resolve(true);
      };
      this.look();
    });
    this.look = () => {};
    if (came) return;
    const last = this.lastError ? ` The last error was E${this.lastError}: ${errorText(this.lastError)}` : "";
    throw new DeviceError(`${what} did not come about in ${this.timeoutMs / 1000} seconds.${last}`);
  }
}
