// A simulated board as it comes to the bench and as it leaves it, for tests: the image with the place for a key record and
// the bench's program (firmware/boot/provision.ts), a record of random keys, and requests to the port that is locked.
import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { cmac } from "@noble/ciphers/aes.js";
import type { Board } from "../../../boards/board";
import type { Machine, MachineOptions } from "../../../hal/simulator/machine";
import type { Cut, FlashOperation } from "../../../hal/simulator/nor_flash";
import { settingsFile } from "../bench/settings_file";
import { LOADER, readBoard } from "../bundle/build";
import { challengeAnswer, decodeBase32, ROLES, type Role } from "../console/challenge";
import { programIn, storageFiles } from "../ota/layout";
import { bundleOf, type DeviceOptions, IDENTITY, type SimulatedBoard, TestDevice } from "./device";

export const PASSPHRASE = "s3cret-w1fi-passphrase";
export const CONF = JSON.stringify({
  id: IDENTITY,
  host: "127.0.0.1",
  port: 1,
  ssid: "test",
  pass: PASSPHRASE,
});
/** What the image has where the record goes. */
export const PLACE = "\xff".repeat(76);

export interface Keys {
  psk: Buffer;
  console: Buffer;
  /** psk, ota, console, rekey. */
  all: Buffer[];
  record: Buffer;
}

/** Make a key record of random keys. */
export function newKeys(): Keys {
  return recordOf([0, 1, 2, 3].map(() => randomBytes(16)));
}

/** Make the record of these: psk, ota, console, rekey. */
export function recordOf(all: Buffer[]): Keys {
  const record = Buffer.concat([...all, ...all.map((key) => mac(key, Buffer.alloc(16)).subarray(0, 3))]);
  return { psk: all[0], console: all[2], all, record };
}

/** CMAC of what a device has a MAC for: zeros fill the last block. */
export function mac(key: Buffer, ...data: (Buffer | string)[]): Buffer {
  const message = Buffer.concat(data.map((each) => Buffer.from(each)));
  return Buffer.from(cmac(Buffer.concat([message, Buffer.alloc(-message.length & 15)]), key));
}

/** Boot a board from a factory's image, loader and slots and all; `files` go over those that it has. */
export async function bootFactory(
  board: SimulatedBoard,
  files: Record<string, string> = {},
  machine: Partial<MachineOptions> = {},
  options: DeviceOptions = {},
): Promise<TestDevice> {
  const { entry = "firmware/main.ts", defines } = options;
  const [bundle, loader, program] = await Promise.all([
    bundleOf(board, entry, defines, options.board, options.profile, options.product),
    bundleOf(board, LOADER, {}, options.board),
    bundleOf(board, "firmware/boot/provision.ts"),
  ]);
  const data = (await readBoard(board)) as unknown as Board;
  const image = storageFiles(data, bundle.code, loader.code, {
    program: program.code,
  });
  return TestDevice.boot(board, {
    entry,
    ...options,
    machine: {
      bundle: undefined,
      files: { ...image, conf: settingsFile(data, JSON.parse(CONF)), ...files },
      ...machine,
    },
  });
}

/** Boot a board that holds `keys`. */
export function bootLocked(
  board: SimulatedBoard,
  keys: Keys,
  files: Record<string, string> = {},
  options: DeviceOptions = {},
): Promise<TestDevice> {
  return bootFactory(board, { key: keys.record.toString("latin1"), ...files }, {}, options);
}

/** Call `provision(request)` at the prompt and give the line that it prints. */
export async function provision(device: TestDevice, request: string): Promise<string> {
  device.lines = [];
  const { code } = await bundleOf(device.machine.board.name as SimulatedBoard, "firmware/boot/provision.ts");
  device.machine.run(`eval(${programIn(device.machine.board, code.length)})`);
  device.machine.run(`provision(${JSON.stringify(request)})`);
  await device.until(() => device.lines.some((line) => /^E\d+$/.test(line)));
  return device.lines.find((line) => /^E\d+$/.test(line)) ?? "no answer";
}

/** Send a line to the console, which speaks to machines from then on, and give the line that comes back. */
export async function ask(device: TestDevice, request: string): Promise<string> {
  if (!device.machine.value("isJson")) {
    device.machine.type("\njson on\n");
    await device.until(() => device.machine.value("isJson") === true, 1000);
    await settled();
  }
  device.lines = [];
  device.machine.type(`${request}\n`);
  await device.until(() => device.lines.length > 0, 1000);
  return device.lines[0] ?? "no answer";
}

/** The same, for a command that is answered by an object. */
export async function askObject(device: TestDevice, request: string): Promise<Record<string, unknown>> {
  return JSON.parse(await ask(device, request));
}

/** Ask for a challenge and answer it with `key`; gives the code that comes back. */
export async function unlock(
  device: TestDevice,
  key: Buffer,
  role: Role = ROLES.service,
  minutes = 5,
): Promise<number> {
  const { nonce, boots } = await askObject(device, "unlock");
  const challenge = { role, nonce: decodeBase32(String(nonce)) as Buffer, boots: Number(boots), minutes };
  const answer = challengeAnswer(key, challenge);
  return Number((await askObject(device, `unlock ${role} ${minutes} ${answer}`)).err);
}

/** Send the whole factory reset. */
export async function eraseAuthorised(device: TestDevice, key: Buffer): Promise<void> {
  await unlock(device, key, ROLES.reset);
  const { code } = await askObject(device, "factory");
  device.machine.type(`factory ${code}\n`);
  await settled();
}

/** Whether the interpreter's prompt has the port. */
export function isPromptOpen(device: TestDevice): boolean {
  return device.machine.run("E.getConsole()") === device.machine.board.consolePort;
}

/** Wait until what was typed has been handled and a restart that it led to is over. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 6; i++) await turn();
}

/** Find six bytes of a secret that follow each other in flash; undefined where none do. */
export function readableIn(machine: Machine, secrets: Buffer[]): string | undefined {
  const written = machine.flash.written();
  for (const secret of secrets)
    for (let i = 0; i + 6 <= secret.length; i++) {
      const part = secret.subarray(i, i + 6);
      if (written.includes(part)) return `bytes ${i} and on, at ${machine.flash.bytes.indexOf(part)}`;
    }
  return undefined;
}

/** Start a board with this in its flash, the power cut where it says. Gives what is done to the flash from then on. */
export async function startWith(machine: Machine, state: Buffer, cut?: Cut): Promise<FlashOperation[]> {
  machine.powerOff();
  machine.flash.load(state);
  machine.cutPower(cut);
  machine.boot();
  await settled();
  return [...machine.flash.operations];
}
