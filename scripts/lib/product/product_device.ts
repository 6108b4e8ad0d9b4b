// A product at work: built, on a simulated board with loader, keys and journal, behind our own gateway. For `npm start -- --product`
// and for a product's own tests (`npm run product -- new` writes one). Pins and what hangs on I2C are played from outside.
// Leaves out updates.
import { resolve } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import type { Board } from "../../../boards/board";
import type { Machine } from "../../../hal/simulator/machine";
import type { I2cDevice } from "../../../hal/simulator/pins";
import { type Bundle, buildBundle, LOADER, readBoard } from "../bundle/build";
import { errorCode } from "../cli/error_text";
import { masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { parseIdentity, topicPrefix } from "../keys/identity";
import { storageFiles } from "../ota/layout";
import { deviceFromBench, deviceKeys, newMasters } from "../simulate/finished_device";
import { productPlace, type SourcePlace, thrownText } from "./product_place";

export type ProductEvent =
  | { kind: "built"; bundle: Bundle; buildMs: number }
  | { kind: "power"; on: boolean }
  /** A pin that the board has given another level. */
  | { kind: "pin"; pin: string; level: number }
  /** What the board has written to an address of I2C1. */
  | { kind: "i2c"; address: number; bytes: Buffer }
  /** On `up/<name>`, or `state`. */
  | { kind: "published"; topic: string; name: string; payload: Buffer; retain: boolean }
  | { kind: "error"; code: number }
  /** What the product has thrown, and where: path and line of the file, and the line. */
  | ({ kind: "threw"; text: string } & SourcePlace)
  | { kind: "console"; line: string };

export interface ProductDeviceOptions {
  /** Path of the product's module. */
  product: string;
  /** A board that the simulator has; esp32-sim where absent. */
  board?: string;
  /** The identity; v1.demo.SN0000001 where absent. */
  identity?: string;
  onEvent?(event: ProductEvent): void;
}

/** What gives the same bytes at each read, and takes whatever is written. */
class FixedDevice implements I2cDevice {
  constructor(
    private readonly bytes: Buffer,
    private readonly onWrite: (bytes: Buffer) => void,
  ) {}
  write(bytes: Buffer): void {
    this.onWrite(bytes);
  }
  read(length: number): Buffer {
    return Buffer.concat([this.bytes, Buffer.alloc(length, 0xff)], length);
  }
}

const BOARD = "esp32-sim";
const IDENTITY = "v1.demo.SN0000001";
/** Longest time that `until` waits, milliseconds, and how often it looks. */
const PATIENCE_MS = 30_000;
const LOOK_MS = 10;

export class ProductDevice {
  /** All that it has published, the oldest first. */
  readonly messages: { name: string; payload: string; retain: boolean }[] = [];

  private constructor(
    readonly machine: Machine,
    readonly gateway: Gateway,
    private readonly loader: string,
    private readonly options: ProductDeviceOptions,
    private bundle: Bundle,
  ) {}

  /** Build it and boot it. Throws UsageError where the product is none. */
  static async start(options: ProductDeviceOptions): Promise<ProductDevice> {
    const { product, board: name = BOARD, onEvent = () => {} } = options;
    const bundle = await built(product, name, onEvent);
    const loader = (await buildBundle({ board: name, entry: LOADER })).code;
    const board = (await readBoard(name)) as unknown as Board;
    const identity = parseIdentity(options.identity ?? IDENTITY);
    const masters = newMasters();
    const gateway = await startGateway({
      master: masterFromBytes(masters.psk, "psk"),
      keyVersion: identity.keyVersion,
      operatorPort: 0,
    });
    const image = {
      ...{ product: identity.product, board: name, hardware: 2 ** board.hardware, sequence: 1, version: "1" },
      ...{ encoding: "none" as const, length: bundle.code.length, digest: Buffer.alloc(32) },
      pieces: [Buffer.from(bundle.code, "latin1")],
    };
    const tell = (line: string) => {
      const code = errorCode(line);
      if (code !== undefined) onEvent({ kind: "error", code });
      else if (line.trim()) onEvent({ kind: "console", line });
    };
    const server = { host: gateway.host, port: gateway.port };
    let device: ProductDevice | undefined;
    const machine = await deviceFromBench(
      board,
      image,
      { identity, keys: deviceKeys(masters, identity.text), server },
      // its console has the port: what the interpreter prints is there for us alone
      {
        onPrint: tell,
        onHidden: tell,
        onThrow: (error, places) => {
          const place = productPlace(device?.bundle ?? bundle, resolve(product), places);
          if (place) onEvent({ kind: "threw", text: thrownText(error), ...place });
        },
      },
    );
    machine.pins.onChange = (pin, level) => onEvent({ kind: "pin", pin, level });
    device = new ProductDevice(machine, gateway, loader, options, bundle);
    device.listen(topicPrefix(identity));
    device.power();
    return device;
  }

  /** Build the product anew; where it has become another one the board starts with it, its settings and its store as they were. */
  async reload(): Promise<boolean> {
    const { product, board: name = BOARD, onEvent = () => {} } = this.options;
    const bundle = await built(product, name, onEvent);
    const { code } = bundle;
    if (code === this.bundle.code) return false;
    this.bundle = bundle;
    const { board, flash } = this.machine;
    this.machine.powerOff();
    const slots = storageFiles(board, code, this.loader, { version: "1", sequence: 1 })[".slots"];
    flash.bytes.write(slots, board.slotsStart - board.storageStart, "latin1");
    this.power();
    return true;
  }

  /** Cut the power, where it is on, and give it again. */
  power(): void {
    const { machine } = this;
    const { onEvent = () => {} } = this.options;
    if (machine.isOn) {
      machine.powerOff();
      onEvent({ kind: "power", on: false });
    }
    onEvent({ kind: "power", on: true });
    machine.boot();
  }

  /** Send a command. */
  command(name: string, payload: string): void {
    const topic = `${topicPrefix(parseIdentity(this.options.identity ?? IDENTITY))}down/${name}`;
    const message = { cmd: "publish" as const, topic, payload: Buffer.from(payload), qos: 0 as const };
    this.gateway.broker.publish({ ...message, dup: false, retain: false }, () => {});
  }

  /** Give a pin a level from outside, or read the one that it has. */
  pin(name: string, level?: number): number {
    if (level !== undefined) this.machine.pins.set(name, level);
    return this.machine.pins.level(name);
  }

  /** Hang something on I2C1: what gives these bytes at each read, or a model; undefined: nothing answers there. */
  i2c(address: number, device: readonly number[] | I2cDevice | undefined): void {
    const { i2c } = this.machine.pins;
    const { onEvent = () => {} } = this.options;
    if (!device) i2c.delete(address);
    else
      i2c.set(
        address,
        "length" in device
          ? new FixedDevice(Buffer.from(device), (bytes) => onEvent({ kind: "i2c", address, bytes }))
          : device,
      );
  }

  /** What was published on `up/<name>`, the oldest first. */
  published(name: string): string[] {
    return this.messages.filter((message) => message.name === name).map(({ payload }) => payload);
  }

  /** Let time pass, second by second, so that the broker keeps up. */
  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await this.machine.later(1000);
      await turn();
    }
  }

  /** Wait until something is so; throws when patience ends. */
  async until(condition: () => boolean): Promise<void> {
    for (let ms = 0; !condition(); ms += LOOK_MS) {
      if (ms > PATIENCE_MS) throw new Error(`${PATIENCE_MS / 1000} s are over: ${condition}`);
      await new Promise((wake) => setTimeout(wake, LOOK_MS));
    }
  }

  async stop(): Promise<void> {
    this.machine.powerOff();
    await this.gateway.close();
  }

  private listen(prefix: string): void {
    const { onEvent = () => {} } = this.options;
    this.gateway.broker.subscribe(
      `${prefix}#`,
      ({ topic, payload, retain }, done) => {
        const name = topic.slice(prefix.length).replace(/^up\//, "");
        if (!name.startsWith("down/")) {
          const bytes = Buffer.from(payload);
          this.messages.push({ name, payload: bytes.toString("latin1"), retain });
          onEvent({ kind: "published", topic, name, payload: bytes, retain });
        }
        done();
      },
      () => {},
    );
  }
}

async function built(
  product: string,
  board: string,
  onEvent: (event: ProductEvent) => void,
): Promise<Bundle> {
  const start = Date.now();
  const bundle = await buildBundle({ board, product });
  onEvent({ kind: "built", bundle, buildMs: Date.now() - start });
  return bundle;
}
