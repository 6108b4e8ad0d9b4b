// One board from blank to working, with keys of one's own: what the bench does (lib/bench), for one port, one unit, and a serial that
// nobody has to think of. Goes on where it was cut; a board that is done stays as it is. Leaves out fleets.
import { connect } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { Bench } from "../bench/bench";
import { Device } from "../bench/device";
import { makeImage } from "../bench/image";
import type { BenchEvent } from "../bench/interfaces";
import { writeLabel } from "../bench/label";
import { Port } from "../bench/port";
import { settingsPlace } from "../bench/settings_file";
import { wipe } from "../bench/steps";
import { DeviceError, UsageError } from "../cli/exit";
import { quoted } from "../cli/show";
import { type KeySource, keySourceOfMasters } from "../custody/master";
import { IDENTITY_MAX_LENGTH, type Identity, parseIdentity } from "../keys/identity";
import { checkValuesOf, PURPOSES } from "../keys/kdf";
import { serialsOf } from "../keys/serials";
import { type LedgerFile, openLedger } from "../ledger/ledger";
import { homeDevices, rememberDevice } from "./devices";
import { type Examination, examine } from "./examine";
import { type Home, homeMaster } from "./home";

/** Serials that boards at home get, one after the other. */
const SERIALS = { first: "SN0000001", last: "SN0999999" };
const KEY_VERSION = 1;

export interface SetupOptions {
  port: string;
  home: Home;
  /** All boards that have a data file; the one that it is is found, unless `board` names it. */
  boards: readonly Board[];
  board?: string;
  product: string;
  server: { host: string; port: number };
  ssid: string;
  password: string;
  /** 0: a server without extended_master_secret is taken. */
  ems?: number;
  /** A serial of one's own choice. */
  serial?: string;
  onEvent?(event: BenchEvent): void;
  onNotice?(text: string): void;
}

export interface SetupResult {
  identity: string;
  board: string;
  /** Whether nothing had to be done. */
  wasDone: boolean;
}

function keysOf(home: Home): KeySource {
  return keySourceOfMasters(PURPOSES.map((purpose) => homeMaster(purpose, home.folder)));
}

async function withPort<T>(name: string, use: (port: Port) => Promise<T>): Promise<T> {
  const port = await Port.open(name);
  try {
    return await use(port);
  } finally {
    port.close();
    await port.closed;
  }
}

/** Say whether a locked device has the keys that this folder derives for it. */
async function isOurs(keys: KeySource, { state }: Examination): Promise<boolean> {
  const identity = identityOf(state.identity);
  if (!identity) return false;
  const derived = await keys.deviceKeys(identity);
  try {
    return checkValuesOf(derived) === state.checkValues;
  } finally {
    wipe(derived);
  }
}

function identityOf(text: string | undefined): Identity | undefined {
  try {
    return text === undefined ? undefined : parseIdentity(text);
  } catch {
    return undefined;
  }
}

/** Tell who the board belongs to, in a sentence: it is somebody else's. */
function foreign(name: string, { state }: Examination, { folder }: Home): DeviceError {
  return new DeviceError(
    `${name}: this board is ${quoted(state.identity ?? "nobody")}, with keys that are not of ${folder}: it belongs to another key ` +
      "folder, or to a factory. Give that folder with --keys; nothing was changed.",
  );
}

/** Hold what was asked for to what a device takes, before anything is made. Throws UsageError. */
export function checkWishes({
  product,
  serial = SERIALS.first,
  server,
  ssid,
  password,
  ems,
}: Pick<SetupOptions, "product" | "serial" | "server" | "ssid" | "password" | "ems">): void {
  parseIdentity(`v${KEY_VERSION}.${product}.${serial}`);
  settingsPlace({ id: "x".repeat(IDENTITY_MAX_LENGTH), ...settingsOf({ server, ssid, password, ems }) });
}

function settingsOf({
  server,
  ssid,
  password,
  ems,
}: Pick<SetupOptions, "server" | "ssid" | "password" | "ems">) {
  // what may be set afterwards must be there: an update may begin at any hour
  return { ...server, ssid, pass: password, window: 24, ...(ems === undefined ? {} : { ems }) };
}

/** Take one board to where it works. Throws DeviceError and UsageError, a sentence each; what was begun goes on the next time. */
export async function setUp(options: SetupOptions): Promise<SetupResult> {
  const { port: name, home, product, server } = options;
  checkWishes(options);
  const settings = settingsOf(options);
  const keys = keysOf(home);
  const ledger = openLedger(home.ledger);
  try {
    const seen = await withPort(name, (port) => examine(port, options.boards));
    if (seen.state.mode === "locked") {
      if (!(await isOurs(keys, seen))) throw foreign(name, seen, home);
      const identity = identityOf(seen.state.identity) as Identity;
      const isKnown = ledger.unit(identity.product, identity.serial)?.state === "passed";
      if (isKnown) {
        if (identity.product !== product)
          options.onNotice?.(
            `it runs ${identity.product}; another product goes there over the air: npm run push -- --product ${product} ${identity.serial}`,
          );
        return { identity: identity.text, board: "", wasDone: true };
      }
    }
    const board = boardOf(name, seen, options);
    if (board.network === "esp_wifi" && !options.ssid)
      throw new UsageError(
        `${name}: ${board.name} has Wi-Fi: --ssid NAME is missing, the name of your network.`,
      );
    if (!(await answers(server)))
      options.onNotice?.(
        `nothing listens at ${server.host}:${server.port} yet; the board will try again and again.`,
      );
    const serial =
      options.serial ?? identityOf(seen.state.identity)?.serial ?? serialFor(ledger, home, product, seen);
    options.onNotice?.(`it becomes v${KEY_VERSION}.${product}.${serial}; building its firmware`);
    const image = await makeImage(board);
    const bench = new Bench({
      board,
      image: image.bytes,
      imageDigest: image.digest,
      product,
      keyVersion: KEY_VERSION,
      settings: board.system === "nrf_system" ? { ...settings, battery: 0 } : settings,
      keys,
      ledger,
      station: hostname().split(".")[0],
      who: userInfo().username,
      operation: "provision",
      ports: [name],
      range: { first: serial, last: serial },
      writeLabel: (label) => writeLabel(join(home.folder, "labels"), label),
    });
    const failure = await runOne(bench, serial, options.onEvent);
    if (failure) throw new DeviceError(`${name}: ${failure}`);
    rememberDevice(home.folder, serial, {
      identity: `v${KEY_VERSION}.${product}.${serial}`,
      board: board.name,
    });
    return { identity: `v${KEY_VERSION}.${product}.${serial}`, board: board.name, wasDone: false };
  } finally {
    await keys.close();
    ledger.close();
  }
}

function boardOf(name: string, seen: Examination, { boards, board }: SetupOptions): Board {
  const bad = seen.findings.find(({ isGood }) => !isGood);
  if (bad)
    throw new DeviceError(`${name}: ${bad.what}: ${bad.found}: ${bad.advice}. npm run doctor says more.`);
  const found = board ? boards.find((each) => each.name === board) : seen.boards[0];
  if (!found)
    throw new UsageError(
      `${name}: the board does not say what it is; name its file of boards/ with --board.`,
    );
  return found;
}

/** The serial that this chip had before, or the first that is free. */
function serialFor(ledger: LedgerFile, { folder }: Home, product: string, { state }: Examination): string {
  const known = homeDevices(folder);
  for (const serial of serialsOf(SERIALS)) {
    const unit = ledger.unit(product, serial);
    // a serial says at home which device is meant, whatever it is
    if (known[serial] && identityOf(known[serial].identity)?.product !== product) continue;
    if (!unit || (unit.state !== "scrapped" && unit.chip === state.chip)) return serial;
  }
  throw new UsageError(`no serial of ${SERIALS.first}..${SERIALS.last} is free.`);
}

/** Run the bench until its one unit has a result. Returns why it failed. */
async function runOne(
  bench: Bench,
  serial: string,
  onEvent: (event: BenchEvent) => void = () => {},
): Promise<string | undefined> {
  try {
    return await new Promise<string | undefined>((resolve) => {
      bench.subscribe((event) => {
        onEvent(event);
        if (event.kind === "result")
          resolve(event.failure ? `at ${event.step}: ${event.failure.text}` : undefined);
        if (event.kind !== "fixture") return;
        const { state, step, failure } = event;
        if (state === "failed" && step === "detect") resolve(failure?.text);
        // not within the event: the bench is about to say more
        if (state === "ready" && event.serial === undefined)
          setImmediate(() => bench.command({ command: "scan", serial, fixture: 1 }));
        if (state === "ready" && event.serial !== undefined)
          setImmediate(() => bench.fixtures[0].canStart && bench.command({ command: "start", fixture: 1 }));
      });
      bench.start();
    });
  } finally {
    await bench.stop();
  }
}

/** Whether something takes connections there. */
function answers({ host, port }: { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

/** Make a board of ours a plain Espruino again. Throws DeviceError where it is somebody else's; then nothing was changed. */
export async function eraseBoard(
  name: string,
  home: Home,
  boards: readonly Board[],
  boardName?: string,
): Promise<void> {
  const keys = keysOf(home);
  try {
    await withPort(name, async (port) => {
      let seen = await examine(port, boards);
      if (seen.state.mode === "locked") {
        if (!(await isOurs(keys, seen))) throw foreign(name, seen, home);
        const derived = await keys.deviceKeys(identityOf(seen.state.identity) as Identity);
        try {
          const device = new Device(port, boards[0]);
          device.state = seen.state;
          await device.erase(derived.console);
        } finally {
          wipe(derived);
        }
        seen = await examine(port, boards);
      }
      const board = boards.find((each) => each.name === boardName) ?? seen.boards[0];
      if (!board) throw new UsageError(`${name}: the board does not say what it is; name it with --board.`);
      const device = new Device(port, board);
      await device.identify();
      await device.eraseFlash();
    });
  } finally {
    await keys.close();
  }
}
