// A simulated board that holds its keys, behind a line, for tests of terminal and page: the real bundle, keys derived from
// throwaway masters, and the seven ways in which a device comes to no session, each with the sentence that must be said.
import { randomBytes } from "node:crypto";
import { createServer as createTlsServer } from "node:tls";
import { SETTINGS_PLACE } from "../../../firmware/profile";
import type { MachineOptions } from "../../../hal/simulator/machine";
import { LINE_RATE } from "../bench/port";
import { LOADER } from "../bundle/build";
import { type DeviceKeys, masterFromBytes } from "../custody/master";
import { startGateway } from "../gateway/gateway";
import { deviceKeys, type Masters, newMasters, simulatedDevice } from "../simulate/finished_device";
import type { SimulatedBoard } from "../simulate/simulated_board";
import { bundleOf } from "./device";
import { PASSPHRASE } from "./factory";

export const BOARD = "esp32-sim";
export const ID = "v1.meter.SN0000041";

export interface ConsoleOptions {
  /** Default BOARD. */
  board?: string;
  host?: string;
  /** The server's; default: one that nothing listens on. */
  port?: number;
  machine?: Partial<MachineOptions>;
  /** Files of Storage besides. */
  files?: Record<string, string>;
  masters?: Masters;
}

export interface TestConsole {
  board: SimulatedBoard;
  /** tcp://HOST:PORT of its line. */
  port: string;
  keys: DeviceKeys;
  stop(): Promise<void>;
}

/** Power a board with these settings and keys. */
export async function startConsole(options: ConsoleOptions = {}): Promise<TestConsole> {
  const { board: name = BOARD, host = "127.0.0.1", port = 1, files, machine } = options;
  const masters = options.masters ?? newMasters();
  const [firmware, loader] = await Promise.all(
    ["firmware/main.ts", LOADER].map(async (entry) => (await bundleOf(name, entry)).code),
  );
  const board = await simulatedDevice({
    ...{ board: name, masters, code: { firmware, loader }, files, machine, lineRate: LINE_RATE * 10 },
    settings: { id: ID, host, port, ssid: "plant-7", pass: PASSPHRASE },
  });
  return {
    board,
    port: await board.start(),
    keys: deviceKeys(masters, ID),
    stop: () => board.unplug(),
  };
}

// ------------------------------------------------------------------------------------------- seven failures

export interface Failure {
  name: string;
  err: number;
  /** The step's word (step_text.ts). */
  step: string;
  sentence: RegExp;
  /** Make the world in which it comes about; `stop` ends what was started. */
  setUp(): Promise<{ options: ConsoleOptions; stop(): Promise<void> }>;
}

const nothing = async () => {};

export const FAILURES: readonly Failure[] = [
  {
    name: "wrong network",
    err: 5,
    step: "network",
    sentence: /The network is not up: check the access point's name and password/,
    setUp: async () => ({
      options: { machine: { network: { up: false, failures: Number.POSITIVE_INFINITY } } },
      stop: nothing,
    }),
  },
  {
    name: "wrong key",
    err: 276,
    step: "Finished",
    sentence: /The server sent alert 20 \(bad_record_mac\): the key is wrong or the identity unknown/,
    async setUp() {
      const gateway = await startGateway({ master: masterFromBytes(randomBytes(16)) });
      return { options: { port: gateway.port }, stop: () => gateway.close() };
    },
  },
  {
    name: "server down",
    err: 6,
    step: "TCP",
    sentence: /The server cannot be reached: nothing listens on that port/,
    setUp: async () => ({ options: { port: 1 }, stop: nothing }),
  },
  {
    name: "server that refuses the suite",
    err: 296,
    step: "ClientHello",
    sentence:
      /The server sent alert 40 \(handshake_failure\): it and the device have no cipher suite in common/,
    async setUp() {
      const server = createTlsServer({
        ciphers: "PSK-AES256-GCM-SHA384",
        maxVersion: "TLSv1.2",
        pskCallback: () => null,
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      return { options: { port }, stop: () => new Promise((resolve) => server.close(() => resolve())) };
    },
  },
  {
    name: "dead noise source",
    err: 3,
    step: "noise",
    sentence: /The noise source gave no sample in time/,
    setUp: async () => ({
      options: { board: "mdbt42q-w5500-sim", machine: { noise: "dead" } },
      stop: nothing,
    }),
  },
  {
    // a register that nothing feeds any more can still be read
    name: "dead noise source behind a register",
    err: 1,
    step: "noise",
    sentence: /The noise source gave the same value over and over/,
    setUp: async () => ({ options: { machine: { noise: "dead" } }, stop: nothing }),
  },
  {
    name: "DNS failing",
    err: 14,
    step: "TCP",
    sentence: /The server's name is unknown: the name server did not answer/,
    setUp: async () => ({
      options: { host: "broker.example.net", machine: { network: { up: true, unknownHosts: true } } },
      stop: nothing,
    }),
  },
];

/** Use up the places for settings. */
export function fillSettings({ board: { machine } }: TestConsole): void {
  for (let at = SETTINGS_PLACE; at < machine.board.settingsLength; at += SETTINGS_PLACE)
    machine.run(`require("Storage").write("conf","used",${at})`);
}
