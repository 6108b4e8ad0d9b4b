/*
 * A simulated board for tests: builds a bundle once for each board and setting, boots it on the simulator's machine
 * with a throwaway identity and key, and opens TLS sockets on it from outside, as an application on it would.
 */
import { Machine, type MachineOptions } from "../../../hal/simulator/machine";
import { BUNDLE_FILE, type Bundle, buildBundle, readBoard } from "../bundle/build";
import { profileOf } from "../bundle/profiles";

export const IDENTITY = "v1.sensor.0001";
export const KEY = Buffer.from("3f1d0c5ab6e94d3790a2c4e66b1f7d58", "hex");
export const SIMULATED_BOARDS = ["esp32-sim", "esp32-idf4-sim", "mdbt42q-w5500-sim"] as const;
export type SimulatedBoard = (typeof SIMULATED_BOARDS)[number];

/** The application that only brings TLS sockets: `tls.connect`. */
const SOCKET_APP = "firmware/tls/socket_app.ts";
/** A defect is told then; nothing waits for it. */
const PATIENCE_MS = 30_000;

type Defines = NonNullable<Parameters<typeof buildBundle>[0]["defines"]>;

export interface DeviceOptions {
  entry?: string;
  /** A name in firmware/profiles.ts. */
  profile?: string;
  /** Path of the product's module. */
  product?: string;
  defines?: Defines;
  /** Fields of the board's data with other values: another driver. */
  board?: Record<string, unknown>;
  identity?: string;
  key?: Buffer;
  host?: string;
  port?: number;
  machine?: Partial<MachineOptions>;
  /** Gets each line of the console as it is printed. */
  onLine?(line: string): void;
  /** Do something with the machine when it has power, before it runs anything. */
  prepare?(machine: Machine): void;
}

const bundles = new Map<string, Promise<Bundle>>();

/** Build a bundle, once for each board, entry, settings and profile. */
export function bundleOf(
  name: string,
  entry: string,
  defines: Defines = {},
  fields: Record<string, unknown> = {},
  profile = "main",
  product?: string,
): Promise<Bundle> {
  const variant = JSON.stringify([name, entry, defines, fields, profile, product]);
  let bundle = bundles.get(variant);
  if (!bundle) {
    bundle = readBoard(name).then((data) =>
      buildBundle({ board: { ...data, ...fields }, entry, defines, profile, product }),
    );
    bundles.set(variant, bundle);
  }
  return bundle;
}

/** Wait for events: `until` looks again at each `wake`. */
export class Watch {
  private waiting = new Set<() => void>();
  wake(): void {
    for (const look of [...this.waiting]) look();
  }
  /** Wait until `condition` holds; with a time, resolves false after it, without one throws when patience ends. */
  until(condition: () => boolean, timeoutMs?: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve, reject) => {
      const done = (result: boolean) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(result);
      };
      const look = () => {
        if (condition()) done(true);
      };
      const timer = setTimeout(() => {
        if (timeoutMs === undefined && !condition())
          reject(new Error(`${PATIENCE_MS / 1000} s are over: ${condition}`));
        done(condition());
      }, timeoutMs ?? PATIENCE_MS);
      this.waiting.add(look);
    });
  }
}

/** The application's end of one TLS socket on the board. */
export class DeviceSocket extends Watch {
  connected = false;
  ended = false;
  closed = false;
  /** The code of the error event, or 0. */
  error = 0;
  errors = 0;
  received = Buffer.alloc(0);
  private socket: {
    write(data: string): boolean;
    end(data?: string): void;
    on(event: string, listener: (value: never) => void): void;
  };

  constructor(machine: Machine, host: string, port: number) {
    super();
    const connect = machine.run("tls.connect") as (
      options: { host: string; port: number },
      callback: () => void,
    ) => DeviceSocket["socket"];
    this.socket = connect({ host, port }, () => {
      this.connected = true;
      this.wake();
    });
    this.socket.on("data", (data: string) => {
      this.received = Buffer.concat([this.received, Buffer.from(data, "latin1")]);
      this.wake();
    });
    this.socket.on("end", () => {
      this.ended = true;
      this.wake();
    });
    this.socket.on("error", (code: number) => {
      this.error = code;
      this.errors += 1;
      this.wake();
    });
    this.socket.on("close", () => {
      this.closed = true;
      this.wake();
    });
  }
  /** Send; what a server that has just closed TCP will not get is lost, as `close` tells next. */
  write(data: Buffer): void {
    try {
      this.socket.write(data.toString("latin1"));
    } catch (error) {
      if ((error as Error).message !== "This socket is closed") throw error;
    }
  }
  end(): void {
    this.socket.end();
  }
}

/** A booted board. */
export class TestDevice extends Watch {
  lines: string[] = [];
  private constructor(
    readonly machine: Machine,
    private readonly variables: string[],
  ) {
    super();
  }

  /** What the bundle's top-level variables hold, each as JSON: where no secret may be left. */
  texts(): string[] {
    return this.variables.map((name) => String(this.machine.run(`JSON.stringify(${name})`)));
  }

  /** Characters that the bundle's top-level variables hold: what a session must not leave behind. */
  get heldCharacters(): number {
    const values = this.variables.map((name) =>
      this.machine.run(`typeof ${name}=="string"?${name}.length:0`),
    );
    return (values as number[]).reduce((sum, length) => sum + length, 0);
  }

  static async boot(boardName: string, options: DeviceOptions = {}): Promise<TestDevice> {
    const {
      entry = SOCKET_APP,
      defines,
      identity = IDENTITY,
      key = KEY,
      host = "127.0.0.1",
      port = 1,
    } = options;
    const { board: fields, profile, product } = options;
    const isBootFile = profile !== undefined && profileOf(profile).isBootFile;
    const bundle = await bundleOf(boardName, entry, defines, fields, profile, product);
    let device: TestDevice | undefined;
    const early: string[] = [];
    let machine: Machine | undefined;
    machine = new Machine({
      board: await readBoard(boardName),
      bundle: isBootFile ? undefined : bundle.code,
      files: {
        ...(isBootFile ? { [BUNDLE_FILE]: bundle.code } : {}),
        conf: JSON.stringify({ id: identity, host, port, ssid: "test", pass: "test" }),
        key: key.toString("latin1"),
      },
      onPrint(line: string) {
        options.onLine?.(line);
        if (!device) early.push(line);
        else {
          device.lines.push(line);
          device.wake();
        }
      },
      onPowerOn() {
        // the first power-on is that of the factory, which writes the files
        if (machine) options.prepare?.(machine);
      },
      ...options.machine,
    });
    machine.names(bundle.names);
    device = new TestDevice(machine, Object.keys(bundle.names.variables));
    machine.boot();
    device.lines.unshift(...early);
    return device;
  }

  /** Open a TLS socket to a port of 127.0.0.1. */
  connect(port: number, host = "127.0.0.1"): DeviceSocket {
    return new DeviceSocket(this.machine, host, port);
  }

  powerOff(): void {
    this.machine.powerOff();
  }
}

const shared = new Map<string, Promise<TestDevice>>();

/** A device that the tests of a file share, one for each board and setting, so that each must leave it as it was. */
export function sharedDevice(
  board: string,
  options: Pick<DeviceOptions, "profile" | "defines"> = {},
): Promise<TestDevice> {
  const name = JSON.stringify([board, options]);
  let device = shared.get(name);
  if (!device) {
    device = TestDevice.boot(board, options);
    shared.set(name, device);
  }
  return device;
}

/** Power them off, for `after`. */
export async function powerOffShared(): Promise<void> {
  for (const device of shared.values()) (await device).powerOff();
}
